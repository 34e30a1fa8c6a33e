import { readFileSync } from 'node:fs'

/** Reads the JSON object in the file of a user's sign-in; undefined if there is none or it cannot be read. */
export function readSignIn(file: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Returns the part of a sign-in with that name, or {} if it is not an object. */
export function partOf(
  value: Readonly<Record<string, unknown>> | undefined,
  name: string,
): Readonly<Record<string, unknown>> {
  const part = value?.[name]
  return isRecord(part) ? part : {}
}

/** Returns the value if it is a non-empty text. */
export const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
