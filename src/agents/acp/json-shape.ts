/** Reading what other programs send: what is not of the wanted shape is absent. */
export type JsonObject = Record<string, unknown>

export function object(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : undefined
}

export const objects = (value: unknown): JsonObject[] =>
  Array.isArray(value) ? value.map(object).filter((each) => each !== undefined) : []

export const string = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

export const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0

export function parsedObject(line: string): JsonObject | undefined {
  // Spares the cost and the error of parsing what is plainly no object.
  if (!line.trimStart().startsWith('{')) return undefined
  try {
    return object(JSON.parse(line))
  } catch {
    return undefined
  }
}
