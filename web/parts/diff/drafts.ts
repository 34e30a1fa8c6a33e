import { useCallback, useState } from 'react'

/** A comment on a line that is not sent yet. Its `line` is that of the file before the change for a removed line. */
export interface Draft {
  path: string
  side: 'before' | 'after'
  line: number
  quote: string
  text: string
}

const nameOf = ({ path, side, line }: Pick<Draft, 'path' | 'side' | 'line'>) => `${side} ${line} ${path}`
export const isAt = (one: Pick<Draft, 'path' | 'side' | 'line'>, other: typeof one): boolean =>
  nameOf(one) === nameOf(other)

function kept<T>(key: string, none: T): T {
  try {
    return (JSON.parse(localStorage.getItem(key) ?? 'null') as T | null) ?? none
  } catch {
    return none
  }
}

function keep(key: string, value: unknown, isEmpty: boolean): void {
  try {
    if (isEmpty) localStorage.removeItem(key)
    else localStorage.setItem(key, JSON.stringify(value))
  } catch {
    // They live as long as the page.
  }
}

/** The drafts of a run or task, which survive a reload. One line has one. */
export function useDrafts(scope: string) {
  const key = `errand.comments.${scope}`
  const [drafts, setDrafts] = useState(() => kept<Draft[]>(key, []))
  const set = useCallback(
    (change: (before: Draft[]) => Draft[]) =>
      setDrafts((before) => {
        const next = change(before)
        keep(key, next, next.length === 0)
        return next
      }),
    [key],
  )
  return {
    drafts,
    /** In the place of one on the same line; without text there is none. */
    put: (draft: Draft) =>
      set((before) => {
        const others = before.filter((one) => !isAt(one, draft))
        return draft.text.trim() === '' ? others : [...others, draft]
      }),
    clear: () => set(() => []),
  }
}

const MOST_SEEN = 500

/** Which files of a change a person has seen, by what was changed in them: another change of a file is not seen. */
export function useSeen(scope: string) {
  const key = `errand.seen.${scope}`
  const [seen, setSeen] = useState(() => new Set(kept<string[]>(key, [])))
  const toggle = (print: string) => {
    const next = new Set(seen)
    if (!next.delete(print)) next.add(print)
    keep(key, [...next].slice(-MOST_SEEN), next.size === 0)
    setSeen(next)
  }
  return { seen, toggle }
}

/** Comments as one prompt: of each its file, line and the line itself, in the order of files and lines. */
export function promptOf(drafts: readonly Draft[]): string {
  const sorted = [...drafts].sort((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1))
  const said = sorted.map(({ path, side, line, quote, text }) => {
    const where = side === 'before' ? `${path}, line ${line} before the change` : `${path}:${line}`
    return `${where}\n> ${quote.slice(0, 500)}\n\n${text.trim()}`
  })
  const head = drafts.length === 1 ? 'A comment on a line' : `${drafts.length} comments on lines`
  return `${head} of the change:\n\n${said.join('\n\n')}\n`
}
