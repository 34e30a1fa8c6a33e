import { readFileSync, writeFileSync } from 'node:fs'
import { uptime } from 'node:os'
import * as z from 'zod'
import type { Log } from '../../platform/log.ts'
import { bootId } from '../../platform/proc.ts'
import type { HeldAttempt } from '../ports.ts'

export interface LeaseOptions {
  runnerId: string
  /** Returns the attempts that this runner has now. */
  held(): readonly HeldAttempt[]
  /** File that tells the next process of this runner how far the lease goes; if absent, it is not stored. */
  file?: string
  log: Log
  /** Milliseconds since the machine was started, including sleep. Tests provide their own. */
  now?: () => number
}

const LeaseFile = z.object({ boot_id: z.string(), answered_at_ms: z.number(), lost_after_ms: z.number() })

/** Limits for the time between SIGTERM and SIGKILL: milliseconds and a share of the lease. */
const GRACE = { ms: 10_000, share: 1 / 4 }
/** Time of the lease left after SIGKILL: for processes that end slowly, and for clocks that differ. */
const SPARE = { ms: 2_000, share: 1 / 10 }
/** Time for the hub to answer after this process resumes from being stopped or absent. */
const ASK = { ms: 5_000, share: 1 / 4 }
const LOOK = { ms: 500, share: 1 / 20 }
const MIN_LOOK_MS = 20

const within = ({ ms, share }: { ms: number; share: number }, leaseMs: number) =>
  Math.min(ms, leaseMs * share)

/**
 * Tracks how long the hub reserves this runner's attempts for it. The hub counts from the end of the link on its side,
 * after everything it has answered was sent. This class counts from when the last answered message was sent, so the
 * lease is over here before it is over there. By then, every attempt that could begin elsewhere is ended, including the
 * grace.
 *
 * A process that was stopped or absent asks once more first: after a sleep of the whole machine the hub may be
 * unchanged, and a hub that was away may just be back.
 */
export class Lease {
  readonly #options: LeaseOptions
  readonly #now: () => number
  readonly #ending = new WeakSet<HeldAttempt>()
  #answeredAtMs = 0
  /** Time that the hub waits; undefined while it is unknown. */
  #lostAfterMs: number | undefined
  #timer: NodeJS.Timeout | undefined
  #checkedAtMs: number
  #askUntilMs: number

  constructor(options: LeaseOptions) {
    this.#options = options
    this.#now = options.now ?? (() => uptime() * 1000)
    this.#restore()
    this.#checkedAtMs = this.#now()
    // Over before it began: the hub may have been away just as long.
    const over = this.#checkedAtMs >= this.#stopAtMs
    this.#askUntilMs = over
      ? this.#checkedAtMs + within(ASK, this.#lostAfterMs ?? Number.POSITIVE_INFINITY)
      : 0
  }

  now(): number {
    return this.#now()
  }

  /** Begins to end what must not continue once the lease is over. Call it once. */
  begin(): void {
    const everyMs = Math.max(MIN_LOOK_MS, within(LOOK, this.#lostAfterMs ?? Number.POSITIVE_INFINITY))
    this.#timer = setInterval(() => this.look(), everyMs)
  }

  /** Stops the timer. Idempotent. */
  close(): void {
    clearInterval(this.#timer)
  }

  /** Returns the interval in ms at which the hub should be asked. */
  askEveryMs(heartbeatMs: number): number {
    return Math.max(MIN_LOOK_MS, Math.min(heartbeatMs / 2, (this.#lostAfterMs ?? heartbeatMs * 10) / 10))
  }

  /** Records that the hub has compared its attempts with the ones here. */
  welcomed(lostAfterMs: number, sentAtMs: number): void {
    const changed = lostAfterMs !== this.#lostAfterMs
    this.#lostAfterMs = lostAfterMs
    this.#answered(sentAtMs)
    if (!changed || this.#timer === undefined) return
    this.close()
    this.begin()
  }

  /**
   * Records that the hub was there when a message was sent. `linked` means over a link that it has accepted; any other
   * answer does not show, once the lease is over, that the hub has not given up what is here.
   */
  answered(sentAtMs: number, linked: boolean): void {
    if (linked || this.#now() < this.#stopAtMs) this.#answered(sentAtMs)
  }

  /** Checks the lease; called by the timer. */
  look(): void {
    const nowMs = this.#now()
    const leaseMs = this.#lostAfterMs ?? Number.POSITIVE_INFINITY
    const isLate = nowMs - this.#checkedAtMs > within(LOOK, leaseMs) + within(SPARE, leaseMs)
    if (isLate) this.#askUntilMs = nowMs + within(ASK, leaseMs)
    this.#checkedAtMs = nowMs
    if (nowMs >= this.#stopAtMs && nowMs >= this.#askUntilMs) this.#endAll(nowMs)
  }

  get #stopAtMs(): number {
    return this.#lostAfterMs === undefined ? 0 : this.#killAtMs - within(GRACE, this.#lostAfterMs)
  }

  get #killAtMs(): number {
    if (this.#lostAfterMs === undefined) return 0
    return this.#answeredAtMs + this.#lostAfterMs - within(SPARE, this.#lostAfterMs)
  }

  #answered(sentAtMs: number): void {
    // A hub that invents an answer gains nothing.
    if (!(sentAtMs > this.#answeredAtMs && sentAtMs <= this.#now())) return
    this.#answeredAtMs = sentAtMs
    this.#askUntilMs = 0
    this.#keep()
  }

  #bound(): HeldAttempt[] {
    return this.#options.held().filter(({ spec, ended }) => spec.on_disconnect === 'stop' && !ended)
  }

  #endAll(nowMs: number): void {
    const due = this.#bound().filter((held) => !this.#ending.has(held))
    if (due.length === 0) return
    const { runnerId, log } = this.#options
    const since = this.#answeredAtMs === 0 ? '' : ` for ${Math.round((nowMs - this.#answeredAtMs) / 1000)} s`
    const ids = due.map(({ spec }) => spec.attempt_id).join(', ')
    log(
      `Cut off from the hub${since}. Ending attempts that could start elsewhere (on_disconnect: stop): ${ids}.`,
      {
        level: 'warn',
      },
    )
    const message = `Runner "${runnerId}" was cut off from the hub${since}, and ended this attempt before another one could start elsewhere (on_disconnect: stop).`
    const graceMs = Math.max(0, this.#killAtMs - nowMs)
    for (const held of due) {
      this.#ending.add(held)
      held.endAsLost(graceMs, message)
    }
  }

  #restore(): void {
    const { file } = this.#options
    if (file === undefined) return
    try {
      const leaseFile = LeaseFile.parse(JSON.parse(readFileSync(file, 'utf8')))
      // A time from another boot is meaningless, and no process of that boot is alive.
      if (leaseFile.boot_id === '' || leaseFile.boot_id !== bootId()) return
      this.#answeredAtMs = Math.min(leaseFile.answered_at_ms, this.#now())
      this.#lostAfterMs = leaseFile.lost_after_ms
    } catch {
      // Unreadable: treated as if the lease were over.
    }
  }

  #keep(): void {
    const { file } = this.#options
    if (file === undefined || this.#lostAfterMs === undefined || this.#bound().length === 0) return
    const leaseFile: z.infer<typeof LeaseFile> = {
      boot_id: bootId(),
      answered_at_ms: this.#answeredAtMs,
      lost_after_ms: this.#lostAfterMs,
    }
    try {
      writeFileSync(file, JSON.stringify(leaseFile), { mode: 0o600 })
    } catch {
      // The next process finds an older time, by which the lease is over sooner.
    }
  }
}
