/** A part of a line in one style, with classes of `log.css`. */
export interface Piece {
  text: string
  classes: string
  /** The part matches the search. */
  isHit?: boolean
  /** A web address in the text that may become a link. */
  href?: string
}

// Control sequences (CSI), strings for the terminal (OSC …, ended by BEL or ST), and two-character sequences.
const CODES = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
const LINKS = /https?:\/\/[\w\-.~:/?#[\]@!$&()*+,;=%]*[\w\-~/#=&%]/g

/** Removes control characters from a text, and shows marks that change the writing direction as their code points. */
function shownText(text: string): string {
  return text
    .replace(CONTROLS, '')
    .replace(BIDI, (mark) => `<U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}>`)
}

type Range = readonly [number, number]

/** Returns where the final state of a line begins: a carriage return starts the line again, as progress bars do. */
function lastState(line: string): number {
  if (!line.includes('\r')) return 0
  let end = line.length
  for (;;) {
    const begin = line.lastIndexOf('\r', end - 1) + 1
    if (begin === 0 || line.slice(begin, end).replace(CODES, '') !== '') return begin
    end = begin - 1
    if (end === 0) return 0
  }
}

/**
 * Splits a line of a log into pieces to show. Only the control codes for colours and weights (SGR) count. All others
 * are dropped, as is everything before the last carriage return. `hits` are the ranges to mark, in UTF-16 units of
 * the line without its codes.
 */
export function piecesOf(line: string, hits: readonly Range[] = []): Piece[] {
  const begin = lastState(line)
  const end = line.indexOf('\r', begin) < 0 ? line.length : line.indexOf('\r', begin)
  const pieces: Piece[] = []
  let bold = ''
  let colour: number | undefined
  let back: number | 'grey' | undefined
  let isInverse = false
  const look = new Set<string>()
  let at = begin
  // Position in the text without codes, to which the hits refer.
  let bare = begin === 0 ? 0 : line.slice(0, begin).replace(CODES, '').length
  const push = (text: string) => {
    const [front, behind] = isInverse ? [back === 'grey' ? undefined : back, colour ?? 'ink'] : [colour, back]
    const colours = [front && `sgr-${front}`, behind && `sgr-back-${behind}`]
    const classes = [bold, ...colours, ...look].filter((one) => one).join(' ')
    for (const [part, isHit] of split(text, bare, hits)) {
      const shown = shownText(part)
      if (shown !== '') pieces.push({ text: shown, classes, ...(isHit && { isHit }) })
    }
    bare += text.length
  }
  for (const match of line.slice(begin, end).matchAll(CODES)) {
    push(line.slice(at, begin + match.index))
    at = begin + match.index + match[0].length
    if (match[2] !== 'm') continue
    const numbers = match[1]!.split(/[;:]/).map(Number)
    for (let index = 0; index < numbers.length; index++) {
      const code = numbers[index]!
      if (code === 0) {
        bold = ''
        colour = undefined
        back = undefined
        isInverse = false
        look.clear()
      } else if (code === 1) bold = 'sgr-bold'
      else if (code === 2) bold = 'sgr-dim'
      else if (code === 22) bold = ''
      else if (code === 3) look.add('sgr-italic')
      else if (code === 23) look.delete('sgr-italic')
      else if (code === 4) look.add('sgr-underline')
      else if (code === 24) look.delete('sgr-underline')
      else if (code === 7) isInverse = true
      else if (code === 27) isInverse = false
      else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) colour = code
      else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) back = backOf(code - 10)
      else if (code === 39) colour = undefined
      else if (code === 49) back = undefined
      else if (code === 38 || code === 48) {
        const of256 = numbers[index + 1] === 5
        const found = of256 ? among256(numbers[index + 2] ?? 16) : hueOf(numbers.slice(index + 2, index + 5))
        if (code === 38) colour = found
        else back = found === undefined ? 'grey' : backOf(found)
        index += of256 ? 2 : 4
      }
    }
  }
  push(line.slice(at, end))
  return pieces.flatMap(withLinks)
}

/**
 * Maps one of 256 colours to the theme: the first sixteen are in the theme, the last are greys, the rest form a cube.
 */
function among256(value: number): number | undefined {
  if (value < 16) return value < 8 ? 30 + value : 82 + value
  if (value > 231) return undefined
  const at = value - 16
  return hueOf([at / 36, (at / 6) % 6, at % 6].map((one) => (one < 1 ? 0 : 55 + 40 * Math.floor(one))))
}

/** Returns the theme's colour nearest to an RGB colour, or undefined for a grey, which gets the text's colour. */
function hueOf(rgb: readonly number[]): number | undefined {
  const [least, most] = [Math.min(...rgb), Math.max(...rgb)]
  if (rgb.length < 3 || !(most - least >= 64)) return undefined
  const [red, green, blue] = rgb.map((one) => (one > (least + most) / 2 ? 1 : 0))
  return 30 + red! + 2 * green! + 4 * blue!
}

/** Replaces a black or white background by grey, since it would be invisible in one of the themes. */
const backOf = (code: number): number | 'grey' => ([30, 37, 90, 97].includes(code) ? 'grey' : code)

/** Splits a text that begins at `from` where hits begin and end. */
function split(text: string, from: number, hits: readonly Range[]): [string, boolean][] {
  const parts: [string, boolean][] = []
  let at = 0
  for (const [start, end] of hits) {
    const a = Math.max(at, start - from)
    const b = Math.min(text.length, end - from)
    if (b <= a) continue
    parts.push([text.slice(at, a), false], [text.slice(a, b), true])
    at = b
  }
  parts.push([text.slice(at), false])
  return parts
}

function withLinks(piece: Piece): Piece[] {
  if (piece.isHit || !piece.text.includes('://')) return [piece]
  const parts: Piece[] = []
  let at = 0
  for (const { 0: href, index } of piece.text.matchAll(LINKS)) {
    if (index > at) parts.push({ ...piece, text: piece.text.slice(at, index) })
    parts.push({ ...piece, text: href, href })
    at = index + href.length
  }
  if (at < piece.text.length) parts.push({ ...piece, text: piece.text.slice(at) })
  return parts
}

/** Returns a line as plain text. */
export const plainText = (line: string): string =>
  piecesOf(line)
    .map(({ text }) => text)
    .join('')
