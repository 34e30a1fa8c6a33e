import type { RunnersFace } from '../api-context.ts'

/** The lists of runners, read once after a change for all who follow them. Nothing is kept for a reader. */
export class RunnerLists {
  readonly #runners: RunnersFace
  readonly #lists = new Map<string, Promise<string>>()
  #rung = 0
  #waiting = Promise.withResolvers<void>()

  constructor(runners: RunnersFace) {
    this.#runners = runners
    runners.onChanged?.(() => this.#ring())
  }

  #ring(): void {
    this.#rung++
    this.#lists.clear()
    this.#waiting.resolve()
    this.#waiting = Promise.withResolvers()
  }

  /** Grows with each change. */
  get rung(): number {
    return this.#rung
  }

  /** The tenant's list as it is now, as JSON. */
  of(tenant: string): Promise<string> {
    const known = this.#lists.get(tenant)
    if (known !== undefined) return known
    const list = this.#read(tenant)
    this.#lists.set(tenant, list)
    list.catch(() => this.#lists.delete(tenant))
    return list
  }

  async #read(tenant: string): Promise<string> {
    return JSON.stringify(await this.#runners.list(tenant))
  }

  /** Resolves when something has changed after `since`, or with the signal. */
  async more(since: number, signal: AbortSignal): Promise<void> {
    if (since < this.#rung || signal.aborted) return
    const gone = Promise.withResolvers<void>()
    const leave = () => gone.resolve()
    signal.addEventListener('abort', leave, { once: true })
    await Promise.race([this.#waiting.promise, gone.promise])
    signal.removeEventListener('abort', leave)
  }
}
