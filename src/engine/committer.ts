import type { RunEvent } from '../contract/events.ts'

interface Batch {
  events: RunEvent[]
  after: (() => void)[]
  settled: PromiseWithResolvers<void>
}

export interface CommitterOptions {
  /** Keeps events; one call at a time. */
  write(events: RunEvent[]): Promise<void>
  /** After each commit, before its effects. */
  committed(events: RunEvent[]): void
  /** A write failed: answers how long to wait before it is tried again; undefined gives up. */
  failed(error: unknown, tries: number): number | undefined
  /** `committed` or an effect threw, which neither may: the others go on. */
  broke(error: unknown): void
}

/** How long an event that nobody waits for may wait for company. */
const LAZY_MS = 25

/**
 * Commits the events of one run in order, one write at a time; what comes during a write shares the next one.
 * Effects run after their events are committed, never before.
 */
export class Committer {
  readonly #options: CommitterOptions
  #batch: Batch | undefined
  #writing = false
  #lazy: NodeJS.Timeout | undefined
  #gaveUp: unknown

  constructor(options: CommitterOptions) {
    this.#options = options
  }

  /** Resolves after the commit; rejects only after giving up. `lazy`: it may wait a moment for others. */
  add(events: readonly RunEvent[], effects: readonly (() => void)[], lazy: boolean): Promise<void> {
    if (this.#gaveUp !== undefined) return Promise.reject(this.#gaveUp)
    this.#batch ??= { events: [], after: [], settled: Promise.withResolvers() }
    // One by one: a hundred thousand are more than a call takes arguments.
    for (const event of events) this.#batch.events.push(event)
    for (const effect of effects) this.#batch.after.push(effect)
    const { promise } = this.#batch.settled
    if (!lazy) this.#run()
    else this.#lazy ??= setTimeout(() => this.#run(), LAZY_MS)
    return promise
  }

  /** Resolves when all that was added so far is committed. */
  async flush(): Promise<void> {
    if (this.#batch || this.#writing || this.#gaveUp !== undefined) await this.add([], [], false)
  }

  #run(): void {
    clearTimeout(this.#lazy)
    this.#lazy = undefined
    if (this.#writing || !this.#batch) return
    this.#writing = true
    // A microtask later, so that what is added in one go is one write.
    queueMicrotask(() => void this.#drain())
  }

  async #drain(): Promise<void> {
    while (this.#batch) {
      const batch: Batch = this.#batch
      this.#batch = undefined
      batch.settled.promise.catch(() => {})
      try {
        await this.#write(batch.events)
      } catch (error) {
        this.#gaveUp = error
        batch.settled.reject(error)
        this.#drop(error)
        break
      }
      for (const effect of [() => this.#options.committed(batch.events), ...batch.after])
        this.#carryOut(effect)
      batch.settled.resolve()
    }
    this.#writing = false
  }

  #carryOut(effect: () => void): void {
    try {
      effect()
    } catch (error) {
      this.#options.broke(error)
    }
  }

  #drop(error: unknown): void {
    this.#batch?.settled.promise.catch(() => {})
    this.#batch?.settled.reject(error)
    this.#batch = undefined
  }

  async #write(events: RunEvent[]): Promise<void> {
    for (let tries = 1; ; tries++)
      try {
        return await this.#options.write(events)
      } catch (error) {
        const waitMs = this.#options.failed(error, tries)
        if (waitMs === undefined) throw error
        await new Promise((resolve) => setTimeout(resolve, waitMs))
      }
  }
}
