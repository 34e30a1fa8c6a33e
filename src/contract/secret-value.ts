export const MAX_SECRET_BYTES = 64 * 1024
/** A shorter value stands in texts by chance: it cannot be masked. */
const MIN_MASKED_BYTES = 6

const bytesOf = (text: string): number => new TextEncoder().encode(text).length

/** Why a value can be no secret, in words that do not tell it. */
export function secretFault(value: unknown): string | undefined {
  if (typeof value !== 'string') return 'must be text'
  if (value === '') return 'must not be empty'
  if (value.includes('\0')) return 'must not hold a NUL character'
  if (!value.isWellFormed()) return 'must be text that UTF-8 can hold'
  const bytes = bytesOf(value)
  return bytes > MAX_SECRET_BYTES ? `has ${bytes} bytes; the most is ${MAX_SECRET_BYTES}` : undefined
}

/** Returns what who sets the value should know. */
export function secretWarnings(value: string): string[] {
  if (bytesOf(value.trim()) >= MIN_MASKED_BYTES) return []
  return [`It has under ${MIN_MASKED_BYTES} bytes: so short a value cannot be masked in what a step prints.`]
}

/** A text from a file or from standard input: the line break at the end of a single line is none of the secret's. */
export const secretText = (text: string): string =>
  /^[^\n]*\n$/.test(text) ? text.replace(/\r?\n$/, '') : text
