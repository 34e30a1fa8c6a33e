import { readFileSync, writeFileSync } from 'node:fs'
import * as z from 'zod'
import { bootId } from '../../platform/proc.ts'
import { within } from '../../platform/races.ts'
import { type Ending, signalOf } from './verdict.ts'

export interface RunnerStopOptions {
  /** File that tells the next process of this runner when this one was told to stop. */
  file: string
  /** Time in ms that the end of something killed by a foreign signal is held back. Default 1,000. */
  holdMs?: number
}

const StopFile = z.object({ boot_id: z.string(), told_at_ms: z.number() })

/**
 * Time in ms within which an end counts as part of the stop. A stopping machine may signal all processes at once, or
 * those of a service one after another, so the runner hears of its own stop and of its steps' ends in random order.
 */
const HOLD_MS = 1_000
/**
 * Time in ms that also covers a service manager that kills the rest of a service late (systemd: after 90 s), when its
 * runner may have ended before.
 */
const LEFT_MS = 100_000

/**
 * Decides whether this runner was told to stop when something was ended by a SIGTERM or SIGKILL that Errand did not
 * send. If so, whoever stops the machine, the container or the service sent the signal. The end then says nothing about
 * the work, which is lost.
 */
export class RunnerStop {
  readonly #options: RunnerStopOptions
  readonly #startedAtMs = Date.now()
  readonly #announced = Promise.withResolvers<void>()
  #announcedAtMs: number | undefined
  /** Time when an earlier process of this runner was told to stop. */
  readonly #beforeMs: number | undefined

  constructor(options: RunnerStopOptions) {
    this.#options = options
    this.#beforeMs = announcedBefore(options.file)
  }

  /** Tells whether this process was told to stop. */
  get isAnnounced(): boolean {
    return this.#announcedAtMs !== undefined
  }

  /** Records that this process was told to stop. Idempotent. */
  announce(): void {
    if (this.#announcedAtMs !== undefined) return
    this.#announcedAtMs = Date.now()
    this.#announced.resolve()
    const stopFile: z.infer<typeof StopFile> = { boot_id: bootId(), told_at_ms: this.#announcedAtMs }
    try {
      writeFileSync(this.#options.file, JSON.stringify(stopFile), { mode: 0o600 })
    } catch {
      // The next process judges whatever ended meanwhile by its exit code alone.
    }
  }

  /** Returns the ending that counts; may hold it back for a moment. */
  async judge(ending: Ending, endedAtMs: number): Promise<Ending> {
    const signal = signalOf(ending)
    if (signal === undefined || !(await this.wasNear(endedAtMs))) return ending
    return {
      type: 'lost',
      why: `${signal} ended it while its machine or its runner was being stopped. Its outcome is unknown.`,
    }
  }

  /** Reports whether this runner was told to stop around the time when something ended, or is told so soon after. */
  async wasNear(endedAtMs: number): Promise<boolean> {
    const { holdMs = HOLD_MS } = this.#options
    const isOlder = endedAtMs < this.#startedAtMs
    const before = this.#beforeMs
    const afterMs = isOlder ? LEFT_MS : holdMs
    if (before !== undefined && endedAtMs >= before - holdMs && endedAtMs <= before + afterMs) return true
    if (isOlder) return false
    if (this.#announcedAtMs === undefined) {
      await within(holdMs, this.#announced.promise, () => undefined)
    }
    return this.#announcedAtMs !== undefined && endedAtMs >= this.#announcedAtMs - holdMs
  }
}

function announcedBefore(file: string): number | undefined {
  try {
    const stopFile = StopFile.parse(JSON.parse(readFileSync(file, 'utf8')))
    // Anything that ended in another boot is lost in any case.
    return stopFile.boot_id === bootId() ? stopFile.told_at_ms : undefined
  } catch {
    return undefined
  }
}
