/** A node of the graph before it has a place, with the ids of the nodes before it. */
export interface GraphNode {
  id: string
  needs: readonly string[]
  /** The node may be folded with others, since nothing in it needs attention. */
  quiet: boolean
}
/** A node that is drawn: one step, or several that are folded into one. */
export interface Placed {
  id: string
  /** Ids of the steps that it represents; the first is its name. */
  members: readonly string[]
  needs: readonly string[]
  /** Column and row, from 0; rows may be halves. */
  column: number
  row: number
}
export interface Layout {
  nodes: Placed[]
  columns: number
  rows: number
}

/** Maximum number of nodes that are drawn one by one; in a larger graph, quiet ones are folded. */
export const MOST_NODES = 40

/** Places nodes in columns from left to right, each after all nodes that it needs. Unknown ids are ignored. */
export function layoutOf(nodes: readonly GraphNode[], open: ReadonlySet<string> = new Set()): Layout {
  const folded = nodes.length > MOST_NODES ? fold(nodes, open) : nodes.map(alone)
  return place(folded)
}

type Folded = Omit<Placed, 'column' | 'row'>
const alone = ({ id, needs }: GraphNode): Folded => ({ id, members: [id], needs })

/**
 * Folds quiet nodes that form a chain without branches, then quiet nodes that need the same nodes and are needed by
 * the same ones.
 */
function fold(nodes: readonly GraphNode[], open: ReadonlySet<string>): Folded[] {
  const quiet = new Map(nodes.map((node) => [node.id, node.quiet && !open.has(node.id)]))
  const dependents = dependentsOf(nodes)
  const headOf = new Map<string, string>()
  const chains = new Map<string, string[]>()
  for (const { id, needs } of sorted(nodes)) {
    const before = needs.length === 1 ? needs[0]! : undefined
    const head = before === undefined ? undefined : headOf.get(before)
    const follows = head !== undefined && quiet.get(id) && quiet.get(before!)
    if (follows && dependents.get(before!)!.length === 1) {
      chains.get(head)!.push(id)
      headOf.set(id, head)
    } else {
      chains.set(id, [id])
      headOf.set(id, id)
    }
  }
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const inRow = [...chains].map(([id, members]) => ({
    id,
    members,
    needs: [...new Set(byId.get(id)!.needs.map((need) => headOf.get(need) ?? need))],
  }))
  const after = dependentsOf(inRow)
  const groups = Map.groupBy(inRow, (one) =>
    one.members.every((id) => quiet.get(id))
      ? JSON.stringify([[...one.needs].sort(), [...after.get(one.id)!].sort()])
      : one.id,
  )
  const representative = new Map<string, string>()
  for (const group of groups.values()) for (const { id } of group) representative.set(id, group[0]!.id)
  return [...groups.values()].map((group) => ({
    id: group[0]!.id,
    members: group.flatMap(({ members }) => members),
    needs: [...new Set(group[0]!.needs.map((need) => representative.get(need) ?? need))],
  }))
}

type Linked = Pick<GraphNode, 'id' | 'needs'>

function dependentsOf(nodes: readonly Linked[]): Map<string, string[]> {
  const found = new Map(nodes.map(({ id }) => [id, [] as string[]]))
  for (const { id, needs } of nodes) for (const need of needs) found.get(need)?.push(id)
  return found
}

/** Sorts nodes so that each follows those that it needs, otherwise in the given order; nodes in a cycle come last. */
function sorted<T extends Linked>(nodes: readonly T[]): T[] {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const left = new Map(nodes.map(({ id, needs }) => [id, needs.filter((need) => byId.has(need)).length]))
  const dependents = dependentsOf(nodes)
  const ready = nodes.filter(({ id }) => left.get(id) === 0)
  for (let at = 0; at < ready.length; at++)
    for (const id of dependents.get(ready[at]!.id)!) {
      left.set(id, left.get(id)! - 1)
      if (left.get(id) === 0) ready.push(byId.get(id)!)
    }
  const seen = new Set(ready)
  return [...ready, ...nodes.filter((node) => !seen.has(node))]
}

/**
 * Places nodes: the longest way from the left gives the column, and the middle of the neighbours before and after
 * gives the row.
 */
function place(folded: readonly Folded[]): Layout {
  const column = new Map<string, number>()
  const inOrder = sorted(folded)
  for (const { id, needs } of inOrder)
    column.set(id, Math.max(-1, ...needs.map((need) => column.get(need) ?? -1)) + 1)
  // An edge across several columns reserves a place in each column that it crosses.
  interface Cell {
    id: string
    before: string[]
    real: boolean
  }
  const cells: Cell[][] = []
  const put = (at: number, cell: Cell) => {
    cells[at] ??= []
    cells[at].push(cell)
  }
  for (const { id, needs } of inOrder) {
    const own: string[] = []
    for (const need of needs) {
      const from = column.get(need)
      if (from === undefined) continue
      let last = need
      for (let at = from + 1; at < column.get(id)!; at++) {
        const through = `${need}\0${at}`
        if (!cells[at]?.some((cell) => cell.id === through))
          put(at, { id: through, before: [last], real: false })
        last = through
      }
      own.push(last)
    }
    put(column.get(id)!, { id, before: own, real: true })
  }
  const row = new Map<string, number>()
  const rank = (list: Cell[]) => {
    for (const [index, { id }] of list.entries()) row.set(id, index - (list.length - 1) / 2)
  }
  const middle = (ids: readonly string[]) =>
    ids.length === 0 ? undefined : ids.reduce((sum, id) => sum + row.get(id)!, 0) / ids.length
  for (const list of cells) rank(list)
  const after = new Map<string, string[]>()
  for (const { id, before } of cells.flat())
    for (const one of before) after.set(one, [...(after.get(one) ?? []), id])
  const order = (list: Cell[], beside: (cell: Cell) => readonly string[]) => {
    const wish = new Map(list.map((cell) => [cell, middle(beside(cell)) ?? row.get(cell.id)!]))
    list.sort((a, b) => wish.get(a)! - wish.get(b)!)
    rank(list)
  }
  for (let sweep = 0; sweep < 3; sweep++) {
    for (const list of cells) order(list, ({ before }) => before)
    for (const list of [...cells].reverse()) order(list, ({ id }) => after.get(id) ?? [])
  }
  for (const list of cells) order(list, ({ before }) => before)
  const rows = folded.map(({ id }) => row.get(id)!)
  const top = Math.min(0, ...rows)
  return {
    nodes: folded.map((one) => ({ ...one, column: column.get(one.id)!, row: row.get(one.id)! - top })),
    columns: cells.length,
    rows: Math.max(0, ...rows) - top + 1,
  }
}
