/** Longest line that is left whole; the rest of a longer one comes as further lines. */
const MAX_LINE_CHARACTERS = 64 * 1024

/** Cuts the text of several streams into lines, each stream by itself. */
export class StreamLines<Stream extends string> {
  readonly #open = new Map<Stream, string>()

  /** Returns the lines that this text completes. */
  push(stream: Stream, text: string): string[] {
    const parts = ((this.#open.get(stream) ?? '') + text).split('\n')
    const last = parts.pop()!
    const lines = parts.flatMap(bounded).map((line) => line.replace(/\r$/, ''))
    const rest = bounded(last)
    this.#open.set(stream, rest.pop() ?? '')
    return [...lines, ...rest]
  }

  /** Returns the unfinished last lines, by stream, and clears them. */
  rest(): [Stream, string][] {
    const open = [...this.#open].filter(([, text]) => text !== '')
    this.#open.clear()
    return open
  }
}

function bounded(line: string): string[] {
  if (line.length <= MAX_LINE_CHARACTERS) return [line]
  const parts: string[] = []
  for (let at = 0; at < line.length; at += MAX_LINE_CHARACTERS)
    parts.push(line.slice(at, at + MAX_LINE_CHARACTERS))
  return parts
}

/** Parses a text as JSON; undefined when it is not JSON. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

// Control sequences (CSI), texts to the terminal (OSC …, ended by BEL or ST), and two-character ones.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g

/** Returns the text without its escape sequences, such as colors. */
export const withoutEscapes = (text: string): string => text.replace(ESCAPES, '')

/** Quotes a text as one word for a shell: people copy the commands they see, and the text's author may be malicious. */
export const shellWord = (text: string): string =>
  /^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`

const sizeUnits = ['bytes', 'KB', 'MB', 'GB', 'TB'] as const

/** Formats bytes for a person, to two digits, with the same units as sizes in files: "1.5 GB" (a KB has 1,024). */
export function sizeText(bytes: number): string {
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < sizeUnits.length - 1; unit++) value /= 1024
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${sizeUnits[unit]}`
}
