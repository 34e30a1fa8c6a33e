import { type BotHealth, type BotLive, MAX_HEALTH_OUTPUT } from '../../contract/bots/bot.ts'
import type { ContainerHealth, DockerEngine } from '../docker/docker-engine.ts'
import type { BotMeter } from './bot-meter.ts'
import type { DockerPresence } from './docker-presence.ts'

const FIRST_MS = 1_000
const EVERY_MS = 10_000
/** An engine keeps so much of what a check says, and marks what it has cut. */
const ENGINE_OUTPUT_BYTES = 4096
const CUT_END = /\uFFFD*(\.\.\.)?$/

export interface ContainerWatchOptions {
  engine: Pick<DockerEngine, 'state' | 'use'>
  presence: DockerPresence
  live: LiveBots
  meter: BotMeter
  attemptId: string
  /** Of the container. */
  id: string
  startedAt: string
  /** As it was found running. */
  health?: ContainerHealth
  /** Hides the secrets of the bot; of a text that was cut, the beginning of one at its end too. */
  mask(text: string, isCut: boolean): string
  onUnhealthy(health: BotHealth): void
  onMeasured(): void
  /** Default 10,000. */
  everyMs?: number
}

/** Looks at a container while it runs: whether it is healthy, as soon as its engine says so, and now and then what it uses. */
export class ContainerWatch {
  readonly #options: ContainerWatchOptions
  readonly #forget: () => void
  #timer: NodeJS.Timeout | undefined
  #hasCheck = true
  #told = ''
  #closed = false

  constructor(options: ContainerWatchOptions) {
    const { presence, id, everyMs = EVERY_MS } = options
    this.#options = options
    this.#forget = presence.onChange((event) => {
      if (event?.type === 'health' && event.id === id) void this.#lookAtHealth()
    })
    this.#tell(options.health)
    this.#schedule(Math.min(FIRST_MS, everyMs))
  }

  /** May be called twice. */
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

  /** A look that fails is tried again the next time. */
  async #lookAtHealth(): Promise<void> {
    const { engine, id, startedAt } = this.#options
    const state = await engine.state(id).catch(() => undefined)
    if (this.#closed || state?.type !== 'running' || state.startedAt !== startedAt) return
    this.#tell(state.health)
  }

  #tell(found: ContainerHealth | undefined): void {
    const { live, attemptId, onUnhealthy } = this.#options
    this.#hasCheck = found !== undefined
    const health = found && this.#shown(found)
    const text = JSON.stringify(health) ?? ''
    if (text === this.#told) return
    this.#told = text
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

/** Between two tellings of what changes all the time. */
const TELL_MS = 15_000

type Part = Omit<BotLive, 'attempt_id' | 'engine_away_since' | 'cannot_reach'>

/** How the bots of this machine are just now, for whoever shows them: what changes is told at once, usage now and then. */
export class LiveBots {
  readonly #bots = new Map<string, Part>()
  readonly #waiting = new Set<string>()
  readonly #listeners = new Set<(bots: BotLive[]) => void>()
  readonly #tellMs: number
  #presence: DockerPresence | undefined
  #cannotReach: string | undefined
  #timer: NodeJS.Timeout | undefined

  constructor({ tellMs = TELL_MS }: { tellMs?: number } = {}) {
    this.#tellMs = tellMs
  }

  /** From now on it says whether the engine is there. */
  watch(presence: DockerPresence): void {
    this.#presence = presence
    presence.onChange((event) => {
      if (event === undefined) this.#tell([...this.#bots.keys()])
    })
  }

  /** Why bots may not reach what they are allowed; undefined: nothing is known to be in the way. */
  cannotReach(why: string | undefined): void {
    if (why === this.#cannotReach) return
    this.#cannotReach = why
    this.#tell([...this.#bots.keys()])
  }

  all(): BotLive[] {
    return [...this.#bots.keys()].map((id) => this.#one(id))
  }

  /** `soon`: with the next that is told. */
  set(attemptId: string, part: Part, { soon }: { soon: boolean }): void {
    this.#bots.set(attemptId, { ...this.#bots.get(attemptId), ...part })
    this.#waiting.add(attemptId)
    if (!soon) this.#tell([])
    else this.#timer ??= setTimeout(() => this.#tell([]), this.#tellMs).unref()
  }

  /** Called when it has ended, or is let go. */
  drop(attemptId: string): void {
    this.#bots.delete(attemptId)
    this.#waiting.delete(attemptId)
  }

  /** Answers how to stop being told. */
  onNews(listener: (bots: BotLive[]) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** May be called twice. */
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

  /** With all that waits. */
  #tell(attemptIds: readonly string[]): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const ids = new Set([...attemptIds, ...this.#waiting])
    this.#waiting.clear()
    if (ids.size === 0) return
    const bots = [...ids].map((id) => this.#one(id))
    for (const listener of [...this.#listeners]) listener(bots)
  }
}
