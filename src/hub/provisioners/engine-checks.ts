import type { Pool } from '../../contract/fleet/provisioning.ts'
import type { Log } from '../../platform/log.ts'
import type { Semaphore } from '../../platform/sync.ts'
import type { OutsideServices } from '../ops/outside-services.ts'
import type { PoolDrivers } from './pool-drivers.ts'
import { type FoundRunner, ProvisionError, type Provisioner, provisionText } from './provisioner.ts'

export interface EngineChecksOptions {
  pools(): readonly Pool[]
  drivers: PoolDrivers
  calls: Semaphore
  /** Notes which calls to the engines worked and which failed. */
  outside?: Pick<OutsideServices, 'failed' | 'worked'> | undefined
  log: Log
  /** Milliseconds between polls. */
  everyMs: number
  /** Milliseconds between polls while runners are away that may have ended. */
  urgentMs: number
  isUrgent(): boolean
  /** Called just before a group is polled. The function that it returns is called with the runners found. */
  look(pool: Pool, driver: Provisioner): (found: readonly FoundRunner[]) => Promise<void>
  /** Called when the group's engine answers again. */
  recovered(group: string): void
  /** Called after all groups were polled. */
  checked(): void
  signal: AbortSignal
}

interface Failure {
  since: string
  text: string
  /** True if the engine gave no answer, so that nothing is known about its runners. */
  silent: boolean
}

const names = { docker: 'Docker', kubernetes: 'The Kubernetes API' } as const

/** Polls the engines for the runners of each group, and knows which engines do not answer. */
export class EngineChecks {
  readonly #options: EngineChecksOptions
  readonly #failing = new Map<string, Failure>()
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #hurried = false
  #next = Promise.withResolvers<void>()

  constructor(options: EngineChecksOptions) {
    this.#options = options
  }

  /** Polls now; if a poll is under way, polls once more after it. */
  now(): void {
    clearTimeout(this.#timer)
    if (this.#options.signal.aborted) return
    if (this.#looking !== undefined) this.#hurried = true
    else
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined
        this.#next.resolve()
        this.#next = Promise.withResolvers()
        this.#soon()
      })
  }

  /** Waits for the last poll. Abort the signal first. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#looking
    this.#next.resolve()
  }

  /**
   * Returns the message that the group's engine does not answer, and since when. Undefined if it answers, as far as
   * is known.
   */
  silence(group: string): string | undefined {
    const failure = this.#failing.get(group)
    return failure?.silent ? failure.text : undefined
  }

  /** Resolves at once unless the group's engine is known to be silent. Then it resolves after the next poll. */
  async checkWait(group: string): Promise<void> {
    if (this.silence(group) !== undefined && !this.#options.signal.aborted) await this.#next.promise
  }

  /** Notes that a call to the group's engine, begun at `beganMs`, has failed. */
  async failed(pool: Pool, error: unknown, beganMs: number): Promise<void> {
    const { drivers, outside, log } = this.#options
    const { group } = pool
    const silent = error instanceof ProvisionError && error.unanswered
    const service = await serviceOf(drivers.of(pool))
    if (service !== undefined) outside?.failed(service, error)
    const before = this.#failing.get(group)
    const since = before?.silent === silent ? before.since : new Date(beganMs).toISOString()
    const who = service === undefined ? 'It' : `${names[service.service]} at ${service.address}`
    const message = provisionText(error)
    const text = silent ? `${who} has not answered since ${since}: ${message}` : message
    if (before?.text !== text)
      log(`The runners of group "${group}" cannot be checked: ${text}`, { level: 'warn' })
    this.#failing.set(group, { since, text, silent })
  }

  #soon(): void {
    const { everyMs, urgentMs, isUrgent, signal } = this.#options
    if (signal.aborted) return
    const afterMs = this.#hurried ? 0 : isUrgent() ? urgentMs : everyMs
    this.#hurried = false
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.now(), afterMs)
  }

  async #look(): Promise<void> {
    const { pools, drivers, calls, outside, look, recovered, checked, signal } = this.#options
    for (const pool of pools()) {
      const beganMs = Date.now()
      try {
        const driver = drivers.of(pool)
        const compare = look(pool, driver)
        const found = await calls.run(() => driver.find(signal), signal)
        const service = await serviceOf(driver)
        if (service !== undefined) outside?.worked(service)
        // Runners that could not be provisioned while the engine was away can be provisioned now.
        if (this.#failing.delete(pool.group)) recovered(pool.group)
        await compare(found)
      } catch (error) {
        if (signal.aborted) return
        await this.failed(pool, error, beganMs)
      }
    }
    checked()
  }
}

/** Returns the service of a driver; none if its kubeconfig cannot be read. */
const serviceOf = async (driver: Provisioner) => await driver.service?.().catch(() => undefined)
