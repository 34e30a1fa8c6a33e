import type { Line } from './lines.ts'
import type { RunnerKey } from './needs.ts'
import { takes } from './offers.ts'
import type { Runner } from './roster.ts'

export interface KeptRunnersOptions {
  runners: ReadonlyMap<RunnerKey, Runner>
  /** How often a line is passed over before a runner is kept for it. */
  patience: number
  /** The longest that a runner is kept: what is on it may go on for days. */
  keepMs: number
  /** The runner is open to all again. */
  freed(runner: Runner): void
  signal: AbortSignal
}

/**
 * Keeps what is large from waiting for ever behind what is small: a line that was passed over too often gets a runner
 * on which nothing else is put, until it has room there or the time is over.
 */
export class KeptRunners {
  readonly #options: KeptRunnersOptions
  readonly #timers = new Map<Line, NodeJS.Timeout>()

  constructor(options: KeptRunnersOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => {
      for (const timer of this.#timers.values()) clearTimeout(timer)
    })
  }

  /** Counts that it was the line's turn, and there was no room for it. */
  passedOver(line: Line): void {
    line.passed++
    if (line.passed < this.#options.patience || line.kept || this.#options.signal.aborted) return
    const runner = this.#nearest(line)
    if (!runner) return
    line.kept = runner
    runner.keptFor = line
    this.#timers.set(
      line,
      setTimeout(() => this.release(line), this.#options.keepMs),
    )
  }

  /** One of the line was placed, or it is there no more, or the runner cannot take it. */
  release(line: Line): void {
    const { kept } = line
    line.passed = 0
    line.kept = undefined
    clearTimeout(this.#timers.get(line))
    this.#timers.delete(line)
    if (!kept) return
    kept.keptFor = undefined
    this.#options.freed(kept)
  }

  /** The one that lacks least of the room, the first among equals. */
  #nearest(line: Line): Runner | undefined {
    let nearest: { runner: Runner; lack: number } | undefined
    for (const runner of this.#options.runners.values()) {
      if (runner.kept || line.not.has(runner.key) || !takes(runner, line.need)) continue
      if (line.bound && runner.key !== line.home) continue
      if (!hasRoomBesideBots(runner, line)) continue
      const lack = lackOf(runner, line)
      if (nearest === undefined || lack < nearest.lack) nearest = { runner, lack }
    }
    return nearest?.runner
  }
}

/** Where its bots leave too little, nothing is gained by keeping others from it. */
function hasRoomBesideBots({ forSteps }: Runner, { need }: Line): boolean {
  const { cpus = 0, memory_bytes = 0 } = need.requires
  return forSteps.cpus >= cpus && forSteps.memoryBytes >= memory_bytes
}

/** The share of the runner that must become free. */
function lackOf(runner: Runner, { need }: Line): number {
  const { cpus = 0, memory_bytes = 0 } = need.requires
  const { freeCpus, freeMemoryBytes, slots, used } = runner
  return Math.max(
    (cpus - freeCpus) / runner.cpus,
    (memory_bytes - freeMemoryBytes) / runner.memoryBytes,
    (1 - (slots - used)) / slots,
  )
}
