import { useEffect, useMemo, useRef, useState } from 'react'

/** Rows that stand in the page at once. */
export const MOST_ROWS = 300

/** How rows of a list are identified and grouped. */
export interface Grouping<Row> {
  id: (row: Row) => string
  group: (row: Row) => string
  /** Groups that come before all others, in this order. */
  first: readonly string[]
  /** The rows are in an order of their own, other than by their creation. */
  isSorted?: boolean
}

/** The places of rows that stay: the group of each, and what is newer than all of them. */
export interface Places {
  newest: string
  groups: Map<string, string>
}

interface Dated {
  created_at: string
}

export const newestOf = (rows: readonly Dated[]): string =>
  rows.reduce((newest, { created_at }) => (created_at > newest ? created_at : newest), '')

/**
 * Rows in groups, each once, the newest first. Those that `places` has stand in their group there, which it takes over of the others;
 * with `held` what is newer than `places` waits.
 */
export function groupRows<Row extends Dated>(
  rows: readonly Row[],
  places: Places,
  held: boolean,
  { id, group, first, isSorted }: Grouping<Row>,
): { groups: Map<string, Row[]>; waiting: number } {
  // A row that ends between two pages may be in both.
  const once = [...new Map(rows.map((row) => [id(row), row])).entries()]
  if (!isSorted)
    once.sort(([a, { created_at: from }], [b, { created_at: to }]) =>
      from === to ? (a < b ? 1 : -1) : from < to ? 1 : -1,
    )
  const groups = new Map<string, Row[]>(first.map((name) => [name, []]))
  let waiting = 0
  for (const [key, row] of once) {
    let name = places.groups.get(key)
    if (name === undefined) {
      if (held && row.created_at > places.newest) {
        waiting++
        continue
      }
      name = group(row)
      places.groups.set(key, name)
    }
    const here = groups.get(name)
    if (here === undefined) groups.set(name, [row])
    else here.push(row)
  }
  for (const name of first) if (groups.get(name)!.length === 0) groups.delete(name)
  return { groups, waiting }
}

/** Rows in groups. While they are held, as by a pointer, each stays where it was, and what is newer waits. */
export function useRowGroups<Row extends Dated>(
  rows: readonly Row[],
  held: boolean,
  scope: string,
  grouping: Grouping<Row>,
) {
  const kept = useRef<Places & { scope?: string }>({ newest: '', groups: new Map() })
  const { isSorted } = grouping
  // biome-ignore lint/correctness/useExhaustiveDependencies: the functions of a grouping are the same each time
  return useMemo(() => {
    if (!held || kept.current.scope !== scope)
      kept.current = { scope, newest: newestOf(rows), groups: new Map() }
    return groupRows(rows, kept.current, held, grouping)
  }, [rows, held, scope, isSorted])
}

/** The rows of the groups from the one with this number on, as many as stand in the page at once. */
export function windowOf<Row>(groups: ReadonlyMap<string, Row[]>, from: number): [string, Row[]][] {
  let at = 0
  return [...groups].flatMap(([name, rows]) => {
    const part = rows.slice(Math.max(0, from - at), Math.max(0, from + MOST_ROWS - at))
    at += rows.length
    return part.length > 0 ? [[name, part] as [string, Row[]]] : []
  })
}

/** Which part of the page has the pointer, by its `data-holds`; what stands below one that goes is told by the browser's `pointerover` alone. */
export function useHovered<Part extends string>() {
  const [hovered, setHovered] = useState<Part>()
  useEffect(() => {
    const come = ({ target, pointerType }: PointerEvent) => {
      const part = pointerType === 'mouse' ? (target as Element).closest<HTMLElement>('[data-holds]') : null
      setHovered(part?.dataset.holds as Part | undefined)
    }
    const leave = () => setHovered(undefined)
    document.addEventListener('pointerover', come)
    document.documentElement.addEventListener('pointerleave', leave)
    return () => {
      document.removeEventListener('pointerover', come)
      document.documentElement.removeEventListener('pointerleave', leave)
    }
  }, [])
  return [hovered, setHovered] as const
}
