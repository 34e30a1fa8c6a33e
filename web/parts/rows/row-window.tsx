import { useEffect, useRef, useState } from 'react'
import { type Grouping, MOST_ROWS, useHovered, useRowGroups, windowOf } from './row-groups.ts'

/** Number of rows that one press moves by. */
const STEP = 100

interface Pages {
  hasNextPage: boolean
  isFetchingNextPage: boolean
  fetchNextPage: () => Promise<unknown>
  /** Number of loaded rows. */
  loaded: number
}

/** Returns the rows of a list that are in the page; a new `scope` starts at the top. */
export function useRowWindow<Row>(groups: ReadonlyMap<string, Row[]>, scope: string, pages: Pages) {
  const [from, setFrom] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another list begins at its top
  useEffect(() => setFrom(0), [scope])
  const listed = [...groups.values()].reduce((sum, rows) => sum + rows.length, 0)
  const last = Math.max(0, listed - MOST_ROWS)
  return {
    listed,
    shown: windowOf(groups, Math.min(from, last)),
    hasNewer: from > 0,
    hasOlder: pages.hasNextPage || from + MOST_ROWS < listed,
    isLoading: pages.isFetchingNextPage,
    toTop: () => setFrom(0),
    newer: () => setFrom(Math.max(0, Math.min(from, last) - STEP)),
    older: async () => {
      if (pages.hasNextPage && from + MOST_ROWS >= listed) await pages.fetchNextPage()
      setFrom(Math.max(0, Math.min(from + STEP, Math.max(listed, pages.loaded) + STEP - MOST_ROWS)))
    },
  }
}

type RowWindow = ReturnType<typeof useRowWindow>

/**
 * Manages a grouped list on a page of its own, with a window of rows. `main` is for the element that scrolls, `list`
 * for the one with the rows. While these have the pointer or the focus, or are scrolled, each row stays in its group,
 * and new rows wait for `showNew`.
 */
export function useRowList<Row extends { created_at: string }>(
  rows: readonly Row[],
  scope: string,
  grouping: Grouping<Row>,
  pages: Omit<Pages, 'loaded'>,
) {
  const [hovered, setHovered] = useHovered<'list'>()
  const [focused, setFocused] = useState(false)
  const [scrolled, setScrolled] = useState(false)
  const [round, setRound] = useState(0)
  const main = useRef<HTMLElement>(null)
  const held = hovered !== undefined || focused || scrolled || grouping.isSorted === true
  const { groups, waiting } = useRowGroups(rows, held, `${scope} ${round}`, grouping)
  const window = useRowWindow(groups, scope, { ...pages, loaded: rows.length })
  return {
    groups,
    window,
    waiting,
    main: {
      ref: main,
      onScroll: ({ currentTarget }: React.UIEvent) => setScrolled(currentTarget.scrollTop > 40),
    },
    list: {
      'data-holds': 'list',
      onFocus: ({ target }: React.FocusEvent) => setFocused(target.matches(':focus-visible')),
      onBlur: () => setFocused(false),
    },
    showNew: () => {
      setRound(round + 1)
      setHovered(undefined)
      setFocused(false)
      setScrolled(false)
      window.toTop()
      main.current?.scrollTo(0, 0)
    },
  }
}

/** The button above a list that shows the waiting rows. */
export function NewRows({ words, show }: { words: readonly string[]; show: () => void }) {
  if (words.length === 0) return null
  return (
    <div className="sticky top-2 z-20 flex h-0 justify-center">
      <button type="button" className="button shrink-0 shadow-(--float)" onClick={show}>
        {words.join(' · ')}
      </button>
    </div>
  )
}

/** Returns the label of that button: `3 new runs`. */
export const newWords = (count: number, one: string): string[] =>
  count === 0 ? [] : [`${count} new ${one}${count === 1 ? '' : 's'}`]

/** The button above the rows that shows newer ones. */
export function Newer({ of, what }: { of: RowWindow; what: string }) {
  if (!of.hasNewer) return null
  return (
    <div className="flex justify-center p-2">
      <button type="button" className="button" onClick={of.newer}>
        Newer {what}
      </button>
    </div>
  )
}

/** The button below the rows that shows older ones. */
export function Older({ of, what }: { of: RowWindow; what: string }) {
  if (!of.hasOlder) return null
  return (
    <div className="flex justify-center p-4">
      <button type="button" className="button" aria-disabled={of.isLoading} onClick={of.older}>
        {of.isLoading ? 'Loading…' : `Older ${what}`}
      </button>
    </div>
  )
}
