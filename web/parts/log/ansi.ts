/** A stretch of a line in one look: classes of `log.css`. */
export interface Piece {
  text: string
  classes: string
}

// Control sequences (CSI), texts to the terminal (OSC …, ended by BEL or ST), and two-character ones.
const CODES = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** Text without what moves a terminal's cursor; marks that turn writing around are shown as their numbers. */
function shownText(text: string): string {
  return text
    .replace(CONTROLS, '')
    .replace(BIDI, (mark) => `<U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}>`)
}

/**
 * A line of a log as pieces to show. Of the control codes only colours and weights (SGR) count; all else is dropped.
 * After a carriage return a line begins anew, as a progress bar does: the last state that is not empty stays.
 */
export function piecesOf(line: string): Piece[] {
  const states = line.split('\r')
  const last = states.findLast((state) => state.replace(CODES, '') !== '') ?? ''
  const pieces: Piece[] = []
  let bold = ''
  let colour = ''
  const look = new Set<string>()
  let at = 0
  const push = (text: string) => {
    const shown = shownText(text)
    if (shown !== '')
      pieces.push({ text: shown, classes: [bold, colour, ...look].filter((one) => one !== '').join(' ') })
  }
  for (const match of last.matchAll(CODES)) {
    push(last.slice(at, match.index))
    at = match.index + match[0].length
    if (match[2] !== 'm') continue
    const numbers = match[1]!.split(/[;:]/).map(Number)
    for (let index = 0; index < numbers.length; index++) {
      const code = numbers[index]!
      if (code === 0) {
        bold = ''
        colour = ''
        look.clear()
      } else if (code === 1) bold = 'sgr-bold'
      else if (code === 2) bold = 'sgr-dim'
      else if (code === 22) bold = ''
      else if (code === 3) look.add('sgr-italic')
      else if (code === 23) look.delete('sgr-italic')
      else if (code === 4) look.add('sgr-underline')
      else if (code === 24) look.delete('sgr-underline')
      else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) colour = `sgr-${code}`
      else if (code === 39) colour = ''
      else if (code === 38 || code === 48) {
        // One of 256, of which the first sixteen are in the theme, or of all colours, which are not.
        const of256 = numbers[index + 1] === 5
        const value = numbers[index + 2] ?? 16
        if (code === 38) colour = of256 && value < 16 ? `sgr-${value < 8 ? 30 + value : 82 + value}` : ''
        index += of256 ? 2 : 4
      }
    }
  }
  push(last.slice(at))
  return pieces
}

/** A line as it is copied: without codes. */
export const plainText = (line: string): string =>
  piecesOf(line)
    .map(({ text }) => text)
    .join('')
