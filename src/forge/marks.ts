/** Marks around Errand's part of a pull request's text; text that people write outside of them stays. */
const BEGIN = '<!-- errand:begin -->'
const END = '<!-- errand:end -->'

/**
 * Returns `body` with `block` as Errand's part: in place of the text between the marks, or at the end without marks.
 */
export function withBlock(body: string, block: string): string {
  const marked = `${BEGIN}\n${block.trim()}\n${END}`
  const start = body.indexOf(BEGIN)
  const end = body.indexOf(END, start)
  if (start < 0 || end < 0) return body.trim() === '' ? marked : `${body.trimEnd()}\n\n${marked}`
  return body.slice(0, start) + marked + body.slice(end + END.length)
}

/** Returns a hidden mark by which Errand finds its own comment again; there is one comment per key. */
export const commentMark = (key: string): string => `<!-- errand:${key.replace(/[^\w.:-]/g, '_')} -->`

/** Prefix of a title that marks a pull request as a draft on a forge without a field for it. */
const draftMarks = { gitea: 'WIP: ', gitlab: 'Draft: ' } as const
const DRAFT = /^\s*(?:\[?(?:WIP|Draft)\]?:?|\((?:Draft)\))\s+/i

export const withDraftMark = (title: string, kind: keyof typeof draftMarks): string =>
  isDraftTitle(title) ? title : draftMarks[kind] + title

/** Reports whether a title has a draft mark of either forge, such as "WIP: ", "[WIP] " or "Draft: ". */
export const isDraftTitle = (title: string): boolean =>
  /^\s*(\[(wip|draft)\]|(wip|draft):|\(draft\))/i.test(title)

/** Returns the new title with the draft mark of the old one, if it has one: only people remove that mark. */
export function retitled(old: string, title: string): string {
  const mark = isDraftTitle(old) ? (DRAFT.exec(old)?.[0].trimStart() ?? '') : ''
  return mark + title
}

/** Invisible characters, and characters that reverse the direction of text. */
const HIDDEN =
  /[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/gu
/** Matches a word that closes an issue if the issue's number or address follows it. */
const CLOSING =
  /\b(close[sd]?|closing|fix(?:e[sd])?|fixing|resolve[sd]?|resolving|implement(?:s|ed|ing)?)((?:\s*:\s*|\s+)(?:issues?\s+)?)(?=#|!|GH-\d|https?:|[\w.-]+\/[\w./-]+[#!]\d)/gi

/** Control characters for terminals, except the tab and the line feed. */
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

/** Returns a text as a forge shows it: without HTML comments, terminal codes and invisible characters. */
export const visible = (text: string): string =>
  text
    .replace(/\r\n?/g, '\n')
    .replace(HIDDEN, '')
    .replace(STEERING, '')
    .replace(/<!--[\s\S]*?(?:-->|$)/g, '')

/**
 * Defuses a stranger's text for use in Errand's own: it notifies nobody, closes and hides nothing, and ends none of
 * Errand's marks. Mentions and references stay readable. Lines that a forge takes for commands (GitLab's `/merge`) no
 * longer are.
 */
export function harmless(text: string): string {
  return visible(text)
    .replace(/<(?=[A-Za-z/!?])/g, '&lt;')
    .replace(CLOSING, (_, word: string, gap: string) => `${word}${gap}\u2060`)
    .replace(/(^|[^\w`])@(?=[\w-])/g, '$1@\u2060')
    .replace(/^([ \t>]*)\/(?=[a-z_]+\b)/gim, '$1\\/')
    .replace(/!\[/g, '\\![')
}

/** Defuses a text like `harmless` and puts it on one line. */
export const harmlessLine = (text: string): string => harmless(text).replace(/\s+/g, ' ').trim()

/** Cuts a text between lines to at most `mostBytes`, and adds a note with the number of lines left out. */
export function cutAtLines(text: string, mostBytes: number): string {
  if (Buffer.byteLength(text) <= mostBytes) return text
  const note = (lines: number) => `\n\n*${lines} more lines left out*`
  const lines = text.split('\n')
  const room = mostBytes - Buffer.byteLength(note(lines.length))
  let bytes = 0
  let count = 0
  for (const line of lines) {
    bytes += Buffer.byteLength(line) + 1
    if (bytes > room) break
    count++
  }
  return withFencesClosed(lines.slice(0, count).join('\n')) + note(lines.length - count)
}

/** Closes the last code fence of a text if it is open, so that it does not swallow the text that follows. */
export function withFencesClosed(text: string): string {
  let open: string | undefined
  for (const line of text.split('\n')) {
    const [, fence, rest] = /^ {0,3}(?:[>\-*+] ?|\d+\. ?)*\s*(`{3,}|~{3,})(.*)$/.exec(line) ?? []
    if (fence === undefined) continue
    if (open === undefined) open = fence
    else if (fence.startsWith(open) && rest!.trim() === '') open = undefined
  }
  return open === undefined ? text : `${text}\n${open}`
}
