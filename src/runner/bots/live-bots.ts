import type { BotLive } from '../../contract/bot.ts'
import type { EnginePresence } from './engine-presence.ts'

/** Between two tellings of what changes all the time. */
const TELL_MS = 15_000

type Part = Omit<BotLive, 'attempt_id' | 'engine_away_since'>

/** How the bots of this machine are just now, for whoever shows them: what changes is told at once, usage now and then. */
export class LiveBots {
  readonly #bots = new Map<string, Part>()
  readonly #waiting = new Set<string>()
  readonly #listeners = new Set<(bots: BotLive[]) => void>()
  readonly #tellMs: number
  #presence: EnginePresence | undefined
  #timer: NodeJS.Timeout | undefined

  constructor({ tellMs = TELL_MS }: { tellMs?: number } = {}) {
    this.#tellMs = tellMs
  }

  /** From now on it says whether the engine is there. */
  watch(presence: EnginePresence): void {
    this.#presence = presence
    presence.onChange((event) => {
      if (event === undefined) this.#tell([...this.#bots.keys()])
    })
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
    return { attempt_id, ...this.#bots.get(attempt_id), engine_away_since: this.#presence?.awaySince }
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
