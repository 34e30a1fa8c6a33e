/** Most bytes of one text in an update; the agent's own log has the rest. */
export const TOOL_TEXT_BYTES = 16 * 1024
export const DIFF_TEXT_BYTES = 64 * 1024

/** Cuts a text between characters to at most `maxBytes` of UTF-8, with a note of its full size. */
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

/** Returns the note at the end of a text that was cut here, or "" if there is none. */
export const clipNote = (text: string): string => /(?:\n… \(\d+ bytes in all\)|…)$/.exec(text)?.[0] ?? ''

/** Returns a tool's arguments or result as a text, cut to `TOOL_TEXT_BYTES`; values other than texts become JSON. */
export function clippedValue(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  return clipped(typeof value === 'string' ? value : JSON.stringify(value), TOOL_TEXT_BYTES)
}
