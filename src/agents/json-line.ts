/** Reading lines whose shape is another program's: nothing throws, what does not fit is undefined or empty. */
export type Json = Record<string, unknown>

export function jsonLine(line: string): Json | undefined {
  try {
    return record(JSON.parse(line))
  } catch {
    return undefined
  }
}

export function record(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined
}

export const records = (value: unknown): Json[] =>
  Array.isArray(value) ? value.flatMap((each) => record(each) ?? []) : []

export const string = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

export const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []

/** A count of tokens and the like: whole, not negative, else 0. */
export const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? Math.round(value) : 0
