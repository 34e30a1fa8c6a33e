import { useCallback, useEffect, useState } from 'react'
import { isOfStored, keep, stored } from '../../data/stored.ts'

/** A comment on a line that is not sent yet. For a removed line, `line` is its number before the change. */
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
  const list = stored(name)
  return Array.isArray(list) ? list : []
}
const keepList = (name: string, list: readonly unknown[]): void =>
  keep(name, list.length === 0 ? undefined : list)

/** Event on the window when drafts have changed, so that other parts of the page show them too. */
const CHANGED = 'errand-drafts'

/** Returns the drafts of a run or task, which survive a reload. Each line has at most one. */
export function useDrafts(scope: string) {
  const key = `comments.${scope}`
  const [drafts, setDrafts] = useState(() => listOf<Draft>(key))
  useEffect(() => {
    const read = (event: Event) => {
      if (event instanceof StorageEvent ? isOfStored(event, key) : (event as CustomEvent).detail === key)
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
      // Start from the stored drafts: another tab may have written one.
      const next = change(listOf<Draft>(key))
      keepList(key, next)
      setDrafts(next)
      window.dispatchEvent(new CustomEvent(CHANGED, { detail: key }))
    },
    [key],
  )
  return {
    drafts,
    /** Replaces the draft on the same line; a draft without text removes it. */
    put: (draft: Draft) =>
      set((before) => {
        const others = before.filter((one) => !isAt(one, draft))
        return draft.text.trim() === '' ? others : [...others, draft]
      }),
    /** Removes sent drafts; those rewritten meanwhile stay. */
    drop: (gone: readonly Draft[]) =>
      set((before) =>
        before.filter((one) => !gone.some((other) => isAt(one, other) && one.text === other.text)),
      ),
  }
}

const MOST_SEEN = 500

/**
 * Returns which files of a change a person has seen. Each is known by the content of its change: a different change
 * of the file is unseen.
 */
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

/** Stores the change as of the last comment: a fingerprint of each file's change. */
export function keepCommented(scope: string, prints: readonly string[]): void {
  keepList(`commented.${scope}`, prints.slice(0, MOST_SEEN))
}
export const commented = (scope: string): ReadonlySet<string> => new Set(listOf<string>(`commented.${scope}`))

/** Joins comments into one prompt: each with its file, line number and line, ordered by file and line. */
export function promptOf(drafts: readonly Draft[]): string {
  const sorted = [...drafts].sort((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1))
  const comments = sorted.map(({ path, side, line, quote, text }) => {
    const where = side === 'before' ? `${path}, line ${line} before the change` : `${path}:${line}`
    return `${where}\n> ${quote.slice(0, 500)}\n\n${text.trim()}`
  })
  const head = drafts.length === 1 ? 'A comment on a line' : `${drafts.length} comments on lines`
  return `${head} of the change:\n\n${comments.join('\n\n')}\n`
}
