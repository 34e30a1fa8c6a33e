import { readFileSync, writeFileSync } from 'node:fs'
import { uptime } from 'node:os'
import * as z from 'zod'
import type { Log } from '../../platform/log.ts'
import { bootId } from '../../platform/proc.ts'
import type { HeldAttempt } from '../ports.ts'

export interface LeaseOptions {
  runnerId: string
  /** The attempts that this runner has now. */
  held(): readonly HeldAttempt[]
  /** Tells the next process of this runner how far the lease goes. Absent: it is kept nowhere. */
  file?: string
  log: Log
  /** Milliseconds since the machine was started, those that it was asleep included. A test has its own. */
  now?: () => number
}

const Kept = z.object({ boot_id: z.string(), answered_at_ms: z.number(), lost_after_ms: z.number() })

/** At most so long a time, and so great a share of the lease, between SIGTERM and SIGKILL. */
const GRACE = { ms: 10_000, share: 1 / 4 }
/**
 * Time of the lease left after SIGKILL: for processes that take a moment to go, and for clocks that differ.
 */
const SPARE = { ms: 2_000, share: 1 / 10 }
/** How long the hub may take to answer once this process goes on that was stopped, or not there. */
const ASK = { ms: 5_000, share: 1 / 4 }
const LOOK = { ms: 500, share: 1 / 20 }
const MIN_LOOK_MS = 20

const within = ({ ms, share }: { ms: number; share: number }, leaseMs: number) =>
  Math.min(ms, leaseMs * share)

/**
 * How long the hub keeps for this runner what it was given. The hub counts from when the link ended at its side, so
 * all that it has answered was sent before that: counted from the sending of what it answered last, the lease is over
 * here before it is there. By then what could begin elsewhere is ended, the grace included.
 *
 * A process that was stopped, or not there, asks once more before that: after a sleep of the whole machine the hub may
 * be as it was, and a hub that was away may just be back.
 */
export class Lease {
  readonly #options: LeaseOptions
  readonly #now: () => number
  readonly #ending = new WeakSet<HeldAttempt>()
  #answeredAtMs = 0
  /** Undefined: it is not known how long the hub waits. */
  #lostAfterMs: number | undefined
  #timer: NodeJS.Timeout | undefined
  #lookedAtMs: number
  #askUntilMs: number

  constructor(options: LeaseOptions) {
    this.#options = options
    this.#now = options.now ?? (() => uptime() * 1000)
    this.#recall()
    this.#lookedAtMs = this.#now()
    // Over before it began: the hub may have been away as long.
    const over = this.#lookedAtMs >= this.#stopAtMs
    this.#askUntilMs = over
      ? this.#lookedAtMs + within(ASK, this.#lostAfterMs ?? Number.POSITIVE_INFINITY)
      : 0
  }

  now(): number {
    return this.#now()
  }

  /** Ends from now on what must not go on. Once. */
  begin(): void {
    const everyMs = Math.max(MIN_LOOK_MS, within(LOOK, this.#lostAfterMs ?? Number.POSITIVE_INFINITY))
    this.#timer = setInterval(() => this.look(), everyMs)
  }

  /** May be called twice. */
  close(): void {
    clearInterval(this.#timer)
  }

  /** How often the hub should be asked. */
  askEveryMs(heartbeatMs: number): number {
    return Math.max(MIN_LOOK_MS, Math.min(heartbeatMs / 2, (this.#lostAfterMs ?? heartbeatMs * 10) / 10))
  }

  /** The hub has compared what it gave with what is here. */
  welcomed(lostAfterMs: number, sentAtMs: number): void {
    const changed = lostAfterMs !== this.#lostAfterMs
    this.#lostAfterMs = lostAfterMs
    this.#answered(sentAtMs)
    if (!changed || this.#timer === undefined) return
    this.close()
    this.begin()
  }

  /**
   * The hub was there when this was sent. `linked`: over a link that it has welcomed; any other does not tell that it
   * has not given up already what is here, once the lease is over.
   */
  answered(sentAtMs: number, linked: boolean): void {
    if (linked || this.#now() < this.#stopAtMs) this.#answered(sentAtMs)
  }

  /** Now and then, by the timer. */
  look(): void {
    const nowMs = this.#now()
    const leaseMs = this.#lostAfterMs ?? Number.POSITIVE_INFINITY
    const stood = nowMs - this.#lookedAtMs > within(LOOK, leaseMs) + within(SPARE, leaseMs)
    if (stood) this.#askUntilMs = nowMs + within(ASK, leaseMs)
    this.#lookedAtMs = nowMs
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
      `Cut off from the hub${since}: what could begin elsewhere is ended (on_disconnect: stop), which is ${ids}.`,
      {
        level: 'warn',
      },
    )
    const message = `Runner "${runnerId}" was cut off from the hub${since}, and ended it before another try could begin elsewhere (on_disconnect: stop).`
    const graceMs = Math.max(0, this.#killAtMs - nowMs)
    for (const held of due) {
      this.#ending.add(held)
      held.endAsLost(graceMs, message)
    }
  }

  #recall(): void {
    const { file } = this.#options
    if (file === undefined) return
    try {
      const kept = Kept.parse(JSON.parse(readFileSync(file, 'utf8')))
      // The time of another boot says nothing; nor does a process of it live.
      if (kept.boot_id === '' || kept.boot_id !== bootId()) return
      this.#answeredAtMs = Math.min(kept.answered_at_ms, this.#now())
      this.#lostAfterMs = kept.lost_after_ms
    } catch {
      // Nothing that can be read: as if the lease were over.
    }
  }

  #keep(): void {
    const { file } = this.#options
    if (file === undefined || this.#lostAfterMs === undefined || this.#bound().length === 0) return
    const kept: z.infer<typeof Kept> = {
      boot_id: bootId(),
      answered_at_ms: this.#answeredAtMs,
      lost_after_ms: this.#lostAfterMs,
    }
    try {
      writeFileSync(file, JSON.stringify(kept), { mode: 0o600 })
    } catch {
      // The next process finds an older time, by which the lease is over sooner.
    }
  }
}
