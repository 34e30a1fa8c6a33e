export type Block =
  | { kind: 'heading'; level: number; text: string }
  | { kind: 'code' | 'text'; text: string }
  | { kind: 'list'; ordered: boolean; items: string[] }
  | { kind: 'rule' }
  | { kind: 'table'; rows: string[][] }

const MOST_BLOCKS = 500
const MOST_ROWS = 1000
/** A table with more columns stays text. */
const MOST_COLUMNS = 100
/** Matches the line below a table's head. Trim the line first: a long line of spaces would take seconds. */
const UNDER_HEAD = /^\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?\s*)?$/

/** Splits a line into cells. A `|` after a backslash belongs to its cell. */
const cellsOf = (line: string): string[] =>
  line
    .trim()
    .replace(/^\||(?<!\\)\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'))

const isTableHead = (line: string, next = ''): boolean =>
  line.includes('|') && UNDER_HEAD.test(next.trim()) && cellsOf(line).length <= MOST_COLUMNS

/** Returns the words of a heading, without the marks that may close it. */
function headingOf(text: string): string {
  let end = text.length
  while (text[end - 1] === '#') end--
  return text.slice(0, end).trimEnd()
}

/**
 * Splits a Markdown text into the blocks that reports use. Quotes and HTML stay text. A table's first row is its
 * head.
 */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  const lines = text.split(/\r?\n/)
  for (let at = 0; at < lines.length && blocks.length < MOST_BLOCKS; at++) {
    const line = lines[at]!
    const last = blocks.at(-1)
    const isNext = at > 0 && lines[at - 1] !== ''
    const fence = /^\s{0,3}(```+|~~~+)/.exec(line)?.[1]
    const heading = /^(#{1,6})\s+(.*)$/.exec(line)
    const item = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$/.exec(line)
    if (fence !== undefined) {
      const end = lines.findIndex((one, index) => index > at && one.trim().startsWith(fence))
      const to = end < 0 ? lines.length : end
      blocks.push({ kind: 'code', text: lines.slice(at + 1, to).join('\n') })
      at = to
    } else if (heading !== null)
      blocks.push({ kind: 'heading', level: heading[1]!.length, text: headingOf(heading[2]!) })
    else if (isTableHead(line, lines[at + 1])) {
      const rows = [cellsOf(line)]
      for (at += 2; rows.length < MOST_ROWS && lines[at]?.includes('|'); at++) rows.push(cellsOf(lines[at]!))
      at--
      blocks.push({ kind: 'table', rows })
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) blocks.push({ kind: 'rule' })
    else if (item !== null) {
      const ordered = item[1] !== undefined
      if (last?.kind === 'list' && last.ordered === ordered) last.items.push(item[2]!)
      else blocks.push({ kind: 'list', ordered, items: [item[2]!] })
    } else if (line.trim() === '') continue
    else if (last?.kind === 'text' && isNext) last.text += `\n${line}`
    else if (last?.kind === 'list' && isNext && /^\s/.test(line))
      last.items.push(`${last.items.pop()} ${line.trim()}`)
    else blocks.push({ kind: 'text', text: line })
  }
  return blocks
}

/** Splits a line into pieces: code, strong and emphasis. A link becomes its words, followed by its address. */
export function inlineOf(text: string): { kind: 'plain' | 'code' | 'strong' | 'em'; text: string }[] {
  const pieces: ReturnType<typeof inlineOf> = []
  // Lengths after a bracket are limited: otherwise a text of nothing but brackets takes minutes.
  const marks =
    /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|!?\[([^[\]]*)\]\(([^)\s]{0,2048})(?:\s[^)]{0,512})?\)/g
  let from = 0
  for (const found of text.matchAll(marks)) {
    if (found.index > from) pieces.push({ kind: 'plain', text: text.slice(from, found.index) })
    const [, code, strong, em, words, to] = found
    if (code !== undefined) pieces.push({ kind: 'code', text: code })
    else if (strong !== undefined) pieces.push({ kind: 'strong', text: strong })
    else if (em !== undefined) pieces.push({ kind: 'em', text: em })
    else pieces.push({ kind: 'plain', text: words === to ? (words ?? '') : `${words} (${to})` })
    from = found.index + found[0].length
  }
  if (from < text.length) pieces.push({ kind: 'plain', text: text.slice(from) })
  return pieces
}
