/** The part of a pull request's text that is Errand's; what people write around it stays. */
const BEGIN = '<!-- errand:begin -->'
const END = '<!-- errand:end -->'

/** `block` as Errand's part of `body`: in place of what is between the marks, else after all that is there. */
export function withBlock(body: string, block: string): string {
  const marked = `${BEGIN}\n${block.trim()}\n${END}`
  const start = body.indexOf(BEGIN)
  const end = body.indexOf(END, start)
  if (start < 0 || end < 0) return body.trim() === '' ? marked : `${body.trimEnd()}\n\n${marked}`
  return body.slice(0, start) + marked + body.slice(end + END.length)
}

/** Hidden in a comment, so that it is found again: one comment of ours per key. */
export const commentMark = (key: string): string => `<!-- errand:${key.replace(/[^\w.:-]/g, '_')} -->`

/** How a title says that a pull request is a draft, where a forge has no field for it. */
const draftMarks = { gitea: 'WIP: ', gitlab: 'Draft: ' } as const
const DRAFT = /^\s*(?:\[?(?:WIP|Draft)\]?:?|\((?:Draft)\))\s+/i

export const withDraftMark = (title: string, kind: keyof typeof draftMarks): string =>
  isDraftTitle(title) ? title : draftMarks[kind] + title

/** By both forges' marks, such as "WIP: ", "[WIP] " and "Draft: ". */
export const isDraftTitle = (title: string): boolean =>
  /^\s*(\[(wip|draft)\]|(wip|draft):|\(draft\))/i.test(title)

/** The new title with the mark of the old one, if it has one: only people take it off. */
export function retitled(old: string, title: string): string {
  const mark = isDraftTitle(old) ? (DRAFT.exec(old)?.[0].trimStart() ?? '') : ''
  return mark + title
}

/** Characters that show nothing, or turn the order of others around. */
const HIDDEN =
  /[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/gu
/** A word that closes an issue when it stands before its number or address. */
const CLOSING =
  /\b(close[sd]?|closing|fix(?:e[sd])?|fixing|resolve[sd]?|resolving|implement(?:s|ed|ing)?)((?:\s*:\s*|\s+)(?:issues?\s+)?)(?=#|!|GH-\d|https?:|[\w.-]+\/[\w./-]+[#!]\d)/gi

/** Those that steer a terminal; a tab and the end of a line stay. */
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

/** A text as a forge shows it: without comments of HTML, codes for terminals and characters that show nothing. */
export const visible = (text: string): string =>
  text
    .replace(/\r\n?/g, '\n')
    .replace(HIDDEN, '')
    .replace(STEERING, '')
    .replace(/<!--[\s\S]*?(?:-->|$)/g, '')

/**
 * A stranger's text as part of ours: it tells nobody, closes nothing, hides nothing and ends no mark of ours. Mentions and
 * references stay readable; lines that a forge takes as commands (GitLab's `/merge`) are none any more.
 */
export function harmless(text: string): string {
  return visible(text)
    .replace(/<(?=[A-Za-z/!?])/g, '&lt;')
    .replace(CLOSING, (_, word: string, gap: string) => `${word}${gap}\u2060`)
    .replace(/(^|[^\w`])@(?=[\w-])/g, '$1@\u2060')
    .replace(/^([ \t>]*)\/(?=[a-z_]+\b)/gim, '$1\\/')
    .replace(/!\[/g, '\\![')
}

/** As harmless as `harmless`, on one line. */
export const harmlessLine = (text: string): string => harmless(text).replace(/\s+/g, ' ').trim()

/** A text of at most so many bytes, cut between lines, with a word of how much is gone. */
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

/** A text whose last code fence, where it is left open, does not swallow what follows. */
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
