/** Returns the part of a text that was typed while the rest was being sent. */
export function unsentOf(text: string, sent: string): string {
  return text.startsWith(sent) ? text.slice(sent.length).trimStart() : text
}
