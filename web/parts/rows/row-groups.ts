import { useEffect, useMemo, useRef, useState } from 'react'

/** Maximum number of rows in the page at once. */
export const MOST_ROWS = 300

/** Describes how rows of a list are identified and grouped. */
export interface Grouping<Row> {
  id: (row: Row) => string
  group: (row: Row) => string
  /** Groups that come before all others, in this order. */
  first: readonly string[]
  /** The rows have an order of their own, other than by creation. */
  isSorted?: boolean
}

/** The places of held rows: the group of each row, and the creation time of the newest. */
export interface RowPlaces {
  newest: string
  groups: Map<string, string>
}

interface Dated {
  created_at: string
}

export const newestOf = (rows: readonly Dated[]): string =>
  rows.reduce((newest, { created_at }) => (created_at > newest ? created_at : newest), '')

/**
 * Groups rows, each once, newest first. A row in `places` stays in its group there; groups of other rows are added to
 * `places`. If `held`, rows newer than `places` wait and are only counted.
 */
export function groupRows<Row extends Dated>(
  rows: readonly Row[],
  places: RowPlaces,
  held: boolean,
  { id, group, first, isSorted }: Grouping<Row>,
): { groups: Map<string, Row[]>; waiting: number } {
  // A row that ends between two requests may be on both pages.
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

/** Groups rows. While they are held, for example by a pointer, each row stays where it was and newer ones wait. */
export function useRowGroups<Row extends Dated>(
  rows: readonly Row[],
  held: boolean,
  scope: string,
  grouping: Grouping<Row>,
) {
  const remembered = useRef<RowPlaces & { scope?: string }>({ newest: '', groups: new Map() })
  const { isSorted } = grouping
  // biome-ignore lint/correctness/useExhaustiveDependencies: the functions of a grouping are the same each time
  return useMemo(() => {
    if (!held || remembered.current.scope !== scope)
      remembered.current = { scope, newest: newestOf(rows), groups: new Map() }
    return groupRows(rows, remembered.current, held, grouping)
  }, [rows, held, scope, isSorted])
}

/** Returns the rows to have in the page, from the row with this number on, in their groups. */
export function windowOf<Row>(groups: ReadonlyMap<string, Row[]>, from: number): [string, Row[]][] {
  let at = 0
  return [...groups].flatMap(([name, rows]) => {
    const part = rows.slice(Math.max(0, from - at), Math.max(0, from + MOST_ROWS - at))
    at += rows.length
    return part.length > 0 ? [[name, part] as [string, Row[]]] : []
  })
}

/**
 * Reports which part of the page has the pointer, by its `data-holds`. Only `pointerover` tells what is under the
 * pointer once an element has gone.
 */
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
