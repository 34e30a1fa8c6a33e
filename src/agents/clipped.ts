/** Most bytes of one text that an update may carry; the rest stands in the agent's own log. */
export const TOOL_TEXT_BYTES = 16 * 1024
export const DIFF_TEXT_BYTES = 64 * 1024

/** At most `maxBytes` of UTF-8, cut between characters, with a word on how much is missing. */
export function clipped(text: string, maxBytes: number): string {
  // A UTF-16 unit is at most three bytes of UTF-8.
  if (text.length * 3 <= maxBytes) return text
  const bytes = Buffer.from(text)
  if (bytes.length <= maxBytes) return text
  const note = `\n… (${bytes.length} bytes in all)`
  let end = maxBytes - Buffer.byteLength(note)
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end) + note
}

/** The note at the end of a text that the rest of it was cut off here; empty where there is none. */
export const clipNote = (text: string): string => /(?:\n… \(\d+ bytes in all\)|…)$/.exec(text)?.[0] ?? ''

/** A tool's arguments or its result: a text as it is, all else as JSON. */
export function clippedValue(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  return clipped(typeof value === 'string' ? value : JSON.stringify(value), TOOL_TEXT_BYTES)
}
