export interface TextRules {
  /** True if the reader is a terminal: lines may be shown that the next text replaces. */
  tty: boolean
  /** True if the reader wants colours, Errand's own and those of the steps. */
  color: boolean
}

/** Sequences that make the terminal cut a line at its edge, as a wrapped second line could not be cleared. */
const [NO_WRAP, WRAP] = ['\x1b[?7l', '\x1b[?7h']
/** Returns a line for a terminal that `CLEAR_LINE` removes again. */
export const passingLine = (text: string): string => `${NO_WRAP}${text}${WRAP}`
export const CLEAR_LINE = '\r\x1b[K'

// CSI, OSC/DCS/PM/APC/SOS with their texts, and the two- and three-byte escapes.
const escapes =
  /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]/g
const colorEscape = /^\x1b\[[0-9;:]*m$/
const controls = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;:]*m)/g
/**
 * Characters that change the direction of the text around them, so that it reads as something else. Direction marks
 * are legitimate in longer texts.
 */
const overriding = /[\u202a-\u202e\u2066-\u2069]/g
const turning = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
const breaks = /[\t\r\n\u2028\u2029]+/g
const RESET = '\x1b[0m'

/** Makes an untrusted name or message one safe line: nothing in it controls the terminal or the text's direction. */
export const lineText = (text: string): string =>
  withoutTurning(terminalText(text.replace(breaks, ' '), false))

/** Works like `lineText`, for a text of several lines. */
export const linesText = (text: string): string => text.split('\n').map(lineText).join('\n')

/** Replaces each character that changes the text's direction by a visible one. */
export const withoutTurning = (text: string): string => text.replace(turning, '\ufffd')

/** Removes terminal controls from a piece of a text that arrives in pieces. */
export const pieceText = (text: string): string =>
  text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '').replace(overriding, '\ufffd')

/** Makes one line of a step's output (without line feed) safe for a terminal, or a file that may be shown in one. */
export function terminalText(line: string, color: boolean): string {
  // Text that a terminal would have overwritten is not shown: a progress bar ends in its last state.
  const shown = line.includes('\r') ? (line.split('\r').findLast((part) => part !== '') ?? '') : line
  if (!/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/.test(shown)) return shown
  let colored = false
  const text = shown.replace(escapes, (sequence) => {
    if (!color || !colorEscape.test(sequence)) return ''
    colored = true
    return sequence
  })
  const safe = text
    .replace(controls, (char) => {
      const code = char.charCodeAt(0)
      return code < 0x20 ? `^${String.fromCharCode(code + 0x40)}` : '\ufffd'
    })
    .replace(overriding, '\ufffd')
  return colored ? safe + RESET : safe
}

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const
export type Color = keyof typeof codes
export type Paint = (color: Color, text: string) => string

export const palette = (color: boolean): Paint =>
  color ? (name, text) => (text === '' ? '' : `\x1b[${codes[name]}m${text}\x1b[0m`) : (_, text) => text

export const colorChoices = ['auto', 'always', 'never'] as const
export type ColorChoice = (typeof colorChoices)[number]

/** Decides on colours: the option first, then NO_COLOR (https://no-color.org) and FORCE_COLOR, then the terminal. */
export function usesColor(tty: boolean, env: NodeJS.ProcessEnv, choice: ColorChoice = 'auto'): boolean {
  if (choice !== 'auto') return choice === 'always'
  if (env.NO_COLOR) return false
  if (env.FORCE_COLOR && env.FORCE_COLOR !== '0') return true
  return tty && env.TERM !== 'dumb'
}

/** Reports whether a line on this terminal can be removed again. */
export const hasLiveLines = (tty: boolean, env: NodeJS.ProcessEnv): boolean => tty && env.TERM !== 'dumb'
