/**
 * How many bytes at the end are the beginning of a character whose rest has not come: 0 to 3. Bytes that are no
 * UTF-8 count as whole, so nothing is ever held back for longer than one character.
 */
export function incompleteUtf8(tail: Buffer): number {
  for (let back = 1; back <= Math.min(3, tail.length); back++) {
    const byte = tail[tail.length - back]!
    if (byte < 0x80) return 0
    if (byte < 0xc0) continue
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return needs > back ? back : 0
  }
  return 0
}
