import { readFileSync, writeFileSync } from 'node:fs'
import * as z from 'zod'
import { bootId } from '../../platform/proc.ts'
import { within } from '../../platform/races.ts'
import { type Ending, signalOf } from './verdict.ts'

export interface RunnerStopOptions {
  /** Tells the next process of this runner when this one was told to stop. */
  file: string
  /** How long the end of what a signal of nobody's has ended is held back. Default 1,000. */
  holdMs?: number
}

const Kept = z.object({ boot_id: z.string(), told_at_ms: z.number() })

/**
 * A machine that stops may send its signal to all processes at once, or to those of a service one after another: in which order
 * the runner hears of it and of the end of its steps is chance. So it counts whatever is this close.
 */
const HOLD_MS = 1_000
/** A service manager kills what is left of a service after so long (systemd: 90 s), when its runner may have ended before. */
const LEFT_MS = 100_000

/**
 * Whether this runner was told to stop when something was ended by SIGTERM or SIGKILL that nobody of Errand sent. Then it was
 * ended by whoever stops the machine, the container or the service, and says nothing of what it did: it is lost.
 */
export class RunnerStop {
  readonly #options: RunnerStopOptions
  readonly #startedAtMs = Date.now()
  readonly #told = Promise.withResolvers<void>()
  #toldAtMs: number | undefined
  /** When an earlier process of this runner was told so. */
  readonly #beforeMs: number | undefined

  constructor(options: RunnerStopOptions) {
    this.#options = options
    this.#beforeMs = toldBefore(options.file)
  }

  /** Whether this process was told to stop. */
  get isTold(): boolean {
    return this.#toldAtMs !== undefined
  }

  /** This process was told to stop. May be called twice. */
  told(): void {
    if (this.#toldAtMs !== undefined) return
    this.#toldAtMs = Date.now()
    this.#told.resolve()
    const kept: z.infer<typeof Kept> = { boot_id: bootId(), told_at_ms: this.#toldAtMs }
    try {
      writeFileSync(this.#options.file, JSON.stringify(kept), { mode: 0o600 })
    } catch {
      // The next process takes what was ended meanwhile for what its exit code says.
    }
  }

  /** The ending that counts. May hold it back for a moment. */
  async judge(ending: Ending, endedAtMs: number): Promise<Ending> {
    const signal = signalOf(ending)
    if (signal === undefined || !(await this.wasNear(endedAtMs))) return ending
    return {
      type: 'lost',
      why: `It was ended by ${signal} while its machine, or its runner, was being stopped. What became of it is not known.`,
    }
  }

  /** Whether this runner was told to stop when something ended, or is so soon after. */
  async wasNear(endedAtMs: number): Promise<boolean> {
    const { holdMs = HOLD_MS } = this.#options
    const isOlder = endedAtMs < this.#startedAtMs
    const before = this.#beforeMs
    const afterMs = isOlder ? LEFT_MS : holdMs
    if (before !== undefined && endedAtMs >= before - holdMs && endedAtMs <= before + afterMs) return true
    if (isOlder) return false
    if (this.#toldAtMs === undefined) {
      await within(holdMs, this.#told.promise, () => undefined)
    }
    return this.#toldAtMs !== undefined && endedAtMs >= this.#toldAtMs - holdMs
  }
}

function toldBefore(file: string): number | undefined {
  try {
    const kept = Kept.parse(JSON.parse(readFileSync(file, 'utf8')))
    // What another boot has ended is lost in any case.
    return kept.boot_id === bootId() ? kept.told_at_ms : undefined
  } catch {
    return undefined
  }
}
