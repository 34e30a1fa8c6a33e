interface Group {
  limit: number
  inside: Set<string>
  queue: { runId: string; start: () => void }[]
}

export interface Full {
  inside: number
  /** How many wait before it. */
  before: number
  /** Who is inside, where that is not for the asking elsewhere. */
  holders?: string
}

/** Lets only so many runs of a concurrency group run at once, first come first served. */
export interface ConcurrencyGate {
  /**
   * Undefined: go on. Otherwise how full it is; `start` is called once when its turn comes, unless it has left. `running`: it
   * is inside already. Throws where no place can be had or waited for.
   */
  enter(name: string, limit: number, runId: string, running: boolean, start: () => void): Full | undefined
  /** Whether a run that entered here is inside the group, or waits to be. */
  has(name: string, runId: string): boolean
  /** The run has ended, or will not start. One that is not there changes nothing. */
  leave(runId: string): void
  /** All leave. May be called twice. */
  close(): void
}

/** The gate of the runs of one engine. */
export class Gate implements ConcurrencyGate {
  readonly #groups = new Map<string, Group>()
  readonly #groupOf = new Map<string, string>()

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

  has(name: string, runId: string): boolean {
    return this.#groupOf.get(runId) === name
  }

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

  close(): void {
    this.#groups.clear()
    this.#groupOf.clear()
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
