import type { RunSpec } from '../../contract/run.ts'
import type { Plan } from '../core/plan.ts'
import { fillText, lookupIn } from '../workflow-file/template.ts'

interface Group {
  limit: number
  inside: Set<string>
  queue: { runId: string; start: () => void }[]
}

export interface Full {
  inside: number
  /** Number of runs that wait before it. */
  before: number
  /** The runs inside, where they cannot be asked for elsewhere. */
  holders?: string
}

/** Limits how many runs of a concurrency group run at once, first come, first served. */
export interface ConcurrencyLimiter {
  /**
   * Enters a run. Undefined means that it may run. Otherwise returns how full the group is, and calls `start` once when
   * the run's turn comes, unless it has left. `running`: the run is inside already. Throws when it can neither enter
   * nor wait.
   */
  enter(name: string, limit: number, runId: string, running: boolean, start: () => void): Full | undefined
  /** Reports whether a run that entered here is inside the group, or waits for it. */
  has(name: string, runId: string): boolean
  /** Removes a run that has ended, or will not start. Ignores unknown ones. */
  leave(runId: string): void
  /** Removes all runs. May be called twice. */
  close(): void
}

/** Limits the runs of one engine. */
export class InProcessLimiter implements ConcurrencyLimiter {
  readonly #groups = new Map<string, Group>()
  readonly #groupOf = new Map<string, string>()

  enter(name: string, limit: number, runId: string, running: boolean, start: () => void): Full | undefined {
    const group = this.#groups.get(name) ?? { limit, inside: new Set(), queue: [] }
    this.#groups.set(name, group)
    group.limit = limit
    this.#groupOf.set(runId, name)
    // The limit may have been raised.
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

/** A run that may be in a concurrency group. */
export interface GroupMember {
  readonly spec: RunSpec
  readonly plan: Plan
  /** Called when its turn has come. */
  start(): Promise<void>
}

/** The places of runs in the concurrency groups that their workflows name. */
export class ConcurrencyGroups {
  readonly #conductor: (runId: string) => GroupMember | undefined
  readonly #makeGate: () => ConcurrencyLimiter | Promise<ConcurrencyLimiter>
  #gate: ConcurrencyLimiter | undefined

  constructor(
    conductor: (runId: string) => GroupMember | undefined,
    makeGate: () => ConcurrencyLimiter | Promise<ConcurrencyLimiter> = () => new InProcessLimiter(),
  ) {
    this.#conductor = conductor
    this.#makeGate = makeGate
  }

  /** Await it before a run of a group enters. */
  async open(): Promise<void> {
    const gate = this.#gate ?? (await this.#makeGate())
    this.#gate ??= gate
  }

  /**
   * Enters a run. Undefined means that it may run. Otherwise returns why it waits, and starts it when its turn comes.
   * `running`: it runs already.
   */
  enter(conductor: GroupMember, running: boolean): string | undefined {
    const { concurrency } = conductor.plan.workflow
    const gate = this.#gate
    if (!concurrency || !gate) return undefined
    const { run_id, vars, tenant, parent } = conductor.spec
    const group = fillText(concurrency.group, lookupIn(vars))
    const name = `${tenant}/${group}`
    // A sub-workflow shares the place of the run that waits for it; otherwise they would wait for each other.
    for (let above = parent; above; above = this.#conductor(above.run_id)?.spec.parent)
      if (gate.has(name, above.run_id)) return undefined
    const start = () => void conductor.start().catch(() => {})
    const full = gate.enter(name, concurrency.limit, run_id, running, start)
    if (!full) return undefined
    const holders = full.holders ? ` (${full.holders})` : ''
    const place = full.before === 0 ? 'next in line' : `${full.before} ahead in line`
    return `concurrency group "${group}" runs ${full.inside} of ${concurrency.limit}${holders}; ${place}`
  }

  /** Removes a run that has ended, or is no longer conducted here. */
  leave(runId: string): void {
    this.#gate?.leave(runId)
  }

  /** Removes all runs, since nothing is conducted here any more. */
  close(): void {
    this.#gate?.close()
  }
}
