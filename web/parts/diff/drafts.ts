import { useCallback, useEffect, useState } from 'react'
import { isOfKept, keep, kept } from '../../data/kept.ts'

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

const listOf = <T>(name: string): T[] => {
  const list = kept(name)
  return Array.isArray(list) ? list : []
}
const keepList = (name: string, list: readonly unknown[]): void =>
  keep(name, list.length === 0 ? undefined : list)

/** Told on the window when drafts were changed: another part of the page, or another tab, shows them too. */
const CHANGED = 'errand-drafts'

/** The drafts of a run or task, which survive a reload. One line has one. */
export function useDrafts(scope: string) {
  const key = `comments.${scope}`
  const [drafts, setDrafts] = useState(() => listOf<Draft>(key))
  useEffect(() => {
    const read = (event: Event) => {
      if (event instanceof StorageEvent ? isOfKept(event, key) : (event as CustomEvent).detail === key)
        setDrafts(listOf<Draft>(key))
    }
    window.addEventListener(CHANGED, read)
    window.addEventListener('storage', read)
    return () => {
      window.removeEventListener(CHANGED, read)
      window.removeEventListener('storage', read)
    }
  }, [key])
  const set = useCallback(
    (change: (before: Draft[]) => Draft[]) => {
      // As they are kept now: another tab may have written one.
      const next = change(listOf<Draft>(key))
      keepList(key, next)
      setDrafts(next)
      window.dispatchEvent(new CustomEvent(CHANGED, { detail: key }))
    },
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
    /** Those that were written anew meanwhile stay. */
    drop: (gone: readonly Draft[]) =>
      set((before) =>
        before.filter((one) => !gone.some((other) => isAt(one, other) && one.text === other.text)),
      ),
  }
}

const MOST_SEEN = 500

/** Which files of a change a person has seen, by what was changed in them: another change of a file is not seen. */
export function useSeen(scope: string) {
  const key = `seen.${scope}`
  const [seen, setSeen] = useState(() => new Set(listOf<string>(key)))
  const toggle = (print: string) => {
    const next = new Set(seen)
    if (!next.delete(print)) next.add(print)
    keepList(key, [...next].slice(-MOST_SEEN))
    setSeen(next)
  }
  return { seen, toggle }
}

/** The change as it was when the last comment was written: its files, each by what was changed in it. */
export function keepCommented(scope: string, prints: readonly string[]): void {
  keepList(`commented.${scope}`, prints.slice(0, MOST_SEEN))
}
export const commented = (scope: string): ReadonlySet<string> => new Set(listOf<string>(`commented.${scope}`))

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
