/** Lines that fold: from the line that names the group to the last line in it. */
export interface Group {
  from: number
  to: number
  title: string
  /** The last line is the mark that ends the group; it is not shown. */
  isClosed: boolean
}

/** A regular expression for the lines that begin or end a group, as GitHub's and Azure's runners write them. */
export const GROUP_MARKS = '^(::group::|##\\[group\\]|::endgroup::|##\\[endgroup\\])'
const mark = new RegExp(GROUP_MARKS)

export const isGroupMark = (text: string): boolean => mark.test(text)

/** Returns the groups of a log of `total` lines by their marks, in order. As in those runners, groups do not nest. */
export function groupsOf(marks: readonly { number: number; text: string }[], total: number): Group[] {
  const groups: Group[] = []
  let open: Group | undefined
  for (const { number, text } of [...marks].sort((a, b) => a.number - b.number)) {
    const found = mark.exec(text)?.[0]
    if (found === undefined) continue
    const isEnd = found.includes('end')
    if (open !== undefined) {
      open.to = isEnd ? number : number - 1
      open.isClosed = isEnd
    }
    open = isEnd ? undefined : { from: number, to: total, title: text.slice(found.length), isClosed: false }
    if (open !== undefined) groups.push(open)
  }
  return groups
}

/**
 * Returns the stretches of lines to hide: all of a folded group but its first line, and the end mark of an open one.
 */
export function hiddenLines(
  groups: readonly Group[],
  isFolded: (group: Group) => boolean,
): [number, number][] {
  return groups.flatMap((group): [number, number][] => {
    const { from, to, isClosed } = group
    if (isFolded(group)) return to > from ? [[from + 1, to]] : []
    return isClosed ? [[to, to]] : []
  })
}
