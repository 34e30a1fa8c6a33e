import { type BotHealth, type BotLive, MAX_HEALTH_OUTPUT } from '../../contract/bots/bot.ts'
import type { ContainerHealth, DockerEngine } from '../docker/docker-engine.ts'
import type { BotMeter } from './bot-meter.ts'
import type { DockerPresence } from './docker-presence.ts'

const FIRST_MS = 1_000
const EVERY_MS = 10_000
/** Limit in bytes for the output of a check at the engine, which marks a cut. */
const ENGINE_OUTPUT_BYTES = 4096
const CUT_END = /\uFFFD*(\.\.\.)?$/

export interface ContainerWatchOptions {
  engine: Pick<DockerEngine, 'state' | 'use'>
  presence: DockerPresence
  live: LiveBots
  meter: BotMeter
  attemptId: string
  /** Id of the container. */
  id: string
  startedAt: string
  /** Health when it was found running. */
  health?: ContainerHealth
  /** Hides the secrets of the bot; `isCut`: also the beginning of one at the end of the text. */
  mask(text: string, isCut: boolean): string
  onUnhealthy(health: BotHealth): void
  onMeasured(): void
  /** Interval in ms; default 10,000. */
  everyMs?: number
}

/** Watches a running container: its health, as soon as its engine reports it, and at intervals its use. */
export class ContainerWatch {
  readonly #options: ContainerWatchOptions
  readonly #forget: () => void
  #timer: NodeJS.Timeout | undefined
  #hasCheck = true
  #reported = ''
  #closed = false

  constructor(options: ContainerWatchOptions) {
    const { presence, id, everyMs = EVERY_MS } = options
    this.#options = options
    this.#forget = presence.onChange((event) => {
      if (event?.type === 'health' && event.id === id) void this.#lookAtHealth()
    })
    this.#report(options.health)
    this.#schedule(Math.min(FIRST_MS, everyMs))
  }

  /** Stops watching. Idempotent. */
  close(): void {
    this.#closed = true
    this.#forget()
    clearTimeout(this.#timer)
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => void this.#look(), ms).unref()
  }

  async #look(): Promise<void> {
    await Promise.all([this.#hasCheck ? this.#lookAtHealth() : undefined, this.#measure()])
    if (!this.#closed) this.#schedule(this.#options.everyMs ?? EVERY_MS)
  }

  /** Checks the health; a failed check is repeated the next time. */
  async #lookAtHealth(): Promise<void> {
    const { engine, id, startedAt } = this.#options
    const state = await engine.state(id).catch(() => undefined)
    if (this.#closed || state?.type !== 'running' || state.startedAt !== startedAt) return
    this.#report(state.health)
  }

  #report(found: ContainerHealth | undefined): void {
    const { live, attemptId, onUnhealthy } = this.#options
    this.#hasCheck = found !== undefined
    const health = found && this.#shown(found)
    const text = JSON.stringify(health) ?? ''
    if (text === this.#reported) return
    this.#reported = text
    live.set(attemptId, { health }, { soon: false })
    if (health?.state === 'unhealthy') onUnhealthy(health)
  }

  #shown({ state, output, checkedAt }: ContainerHealth): BotHealth {
    if (output === undefined) return { state, checked_at: checkedAt }
    const { mask } = this.#options
    const isCut = Buffer.byteLength(output) >= ENGINE_OUTPUT_BYTES
    // Masked before it is cut once more.
    const text = isCut ? mask(output.replace(CUT_END, ''), true) : mask(output, false)
    return { state, output: text.trim().slice(0, MAX_HEALTH_OUTPUT), checked_at: checkedAt }
  }

  async #measure(): Promise<void> {
    const { engine, id, startedAt, live, attemptId, meter, onMeasured } = this.#options
    const use = await engine.use(id).catch(() => undefined)
    if (this.#closed || use === undefined) return
    const isFirst = meter.facts === undefined
    live.set(attemptId, { usage: meter.take(use, startedAt) }, { soon: !isFirst })
    onMeasured()
  }
}

/** Milliseconds between reports of values that change all the time. */
const REPORT_MS = 15_000

type Part = Omit<BotLive, 'attempt_id' | 'engine_away_since' | 'cannot_reach'>

/**
 * Holds the present state of the bots of this machine for display: changes are reported at once, usage at intervals.
 */
export class LiveBots {
  readonly #bots = new Map<string, Part>()
  readonly #waiting = new Set<string>()
  readonly #listeners = new Set<(bots: BotLive[]) => void>()
  readonly #reportMs: number
  #presence: DockerPresence | undefined
  #cannotReach: string | undefined
  #timer: NodeJS.Timeout | undefined

  constructor({ reportMs = REPORT_MS }: { reportMs?: number } = {}) {
    this.#reportMs = reportMs
  }

  /** Reports from now on whether the engine is there. */
  watch(presence: DockerPresence): void {
    this.#presence = presence
    presence.onChange((event) => {
      if (event === undefined) this.#report([...this.#bots.keys()])
    })
  }

  /** Sets why bots may not reach what they are allowed; undefined: no problem is known. */
  cannotReach(why: string | undefined): void {
    if (why === this.#cannotReach) return
    this.#cannotReach = why
    this.#report([...this.#bots.keys()])
  }

  all(): BotLive[] {
    return [...this.#bots.keys()].map((id) => this.#one(id))
  }

  /** Sets a part of the state; `soon`: it waits for the next report. */
  set(attemptId: string, part: Part, { soon }: { soon: boolean }): void {
    this.#bots.set(attemptId, { ...this.#bots.get(attemptId), ...part })
    this.#waiting.add(attemptId)
    if (!soon) this.#report([])
    else this.#timer ??= setTimeout(() => this.#report([]), this.#reportMs).unref()
  }

  /** Drops a bot that has ended, or is left. */
  drop(attemptId: string): void {
    this.#bots.delete(attemptId)
    this.#waiting.delete(attemptId)
  }

  /** Subscribes to reports; returns a function that unsubscribes. */
  onNews(listener: (bots: BotLive[]) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Stops the reports. Idempotent. */
  close(): void {
    clearTimeout(this.#timer)
    this.#listeners.clear()
  }

  #one(attempt_id: string): BotLive {
    return {
      attempt_id,
      ...this.#bots.get(attempt_id),
      engine_away_since: this.#presence?.awaySince,
      cannot_reach: this.#cannotReach,
    }
  }

  /** Reports these bots, together with everything that waits. */
  #report(attemptIds: readonly string[]): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const ids = new Set([...attemptIds, ...this.#waiting])
    this.#waiting.clear()
    if (ids.size === 0) return
    const bots = [...ids].map((id) => this.#one(id))
    for (const listener of [...this.#listeners]) listener(bots)
  }
}
