interface Group {
  limit: number
  inside: Set<string>
  queue: { runId: string; start: () => void }[]
}

interface Full {
  inside: number
  /** How many wait before it. */
  before: number
}

/** Lets only so many runs of a concurrency group run at once, first come first served. */
export class Gate {
  readonly #groups = new Map<string, Group>()
  readonly #groupOf = new Map<string, string>()

  /**
   * Undefined: go on. Otherwise how full it is; `start` is called when its turn comes. `running`: it is inside
   * already.
   */
  enter(name: string, limit: number, runId: string, running: boolean, start: () => void): Full | undefined {
    const group = this.#groups.get(name) ?? { limit, inside: new Set(), queue: [] }
    this.#groups.set(name, group)
    group.limit = limit
    this.#groupOf.set(runId, name)
    // The limit may be a higher one than before.
    this.#fill(group)
    if (running || (group.inside.size < limit && group.queue.length === 0)) {
      group.inside.add(runId)
      return undefined
    }
    group.queue.push({ runId, start })
    return { inside: group.inside.size, before: group.queue.length - 1 }
  }

  /** Whether the run is inside the group, or waits to be. */
  has(name: string, runId: string): boolean {
    return this.#groupOf.get(runId) === name
  }

  /** The run has ended, or will not start. */
  leave(runId: string): void {
    const name = this.#groupOf.get(runId)
    const group = name === undefined ? undefined : this.#groups.get(name)
    if (name === undefined || !group) return
    this.#groupOf.delete(runId)
    group.inside.delete(runId)
    group.queue = group.queue.filter((waiting) => waiting.runId !== runId)
    this.#fill(group)
    if (group.inside.size === 0) this.#groups.delete(name)
  }

  #fill(group: Group): void {
    while (group.inside.size < group.limit) {
      const next = group.queue.shift()
      if (!next) break
      group.inside.add(next.runId)
      next.start()
    }
  }
}
