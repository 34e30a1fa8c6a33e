import type { BotHealth } from '../../contract/bot.ts'
import { MAX_HEALTH_OUTPUT } from '../../contract/bot.ts'
import type { ContainerEngine, ContainerHealth } from '../containers/ports.ts'
import type { BotMeter } from './bot-meter.ts'
import type { EnginePresence } from './engine-presence.ts'
import type { LiveBots } from './live-bots.ts'

const FIRST_MS = 1_000
const EVERY_MS = 10_000
/** An engine keeps so much of what a check says, and marks what it has cut. */
const ENGINE_OUTPUT_BYTES = 4096
const CUT_END = /\uFFFD*(\.\.\.)?$/

export interface ContainerWatchOptions {
  engine: Pick<ContainerEngine, 'state' | 'use'>
  presence: EnginePresence
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
