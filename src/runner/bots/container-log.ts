import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerEngine } from '../containers/ports.ts'
import type { BotLog } from './bot-log.ts'
import { isAway } from './patience.ts'

/** Once a container has ended, how long its log may take to say so too. */
const LOG_END_MS = 5_000
/** How long an engine may take to remove a container. */
const REMOVAL_MS = 10_000
/** Between two looks at a container whose log cannot be followed just now. */
const AGAIN_MS = 200

export interface ContainerLogOptions {
  engine: ContainerEngine
  /** Of the container. */
  id: string
  /** Where it is written. */
  log: BotLog
  /** Asks again while the engine is away. */
  patiently<T>(ask: () => Promise<T>): Promise<T>
  /** Aborted where this process lets go of it. */
  leave: AbortSignal
}

/** Reads a container's log at its engine. */
export class ContainerLog {
  readonly #options: ContainerLogOptions

  constructor(options: ContainerLogOptions) {
    this.#options = options
  }

  /** Until the container has ended, or the engine is away. */
  async follow(): Promise<void> {
    const { engine, id, leave } = this.#options
    const over = new AbortController()
    const signal = AbortSignal.any([leave, over.signal])
    const read = this.#read(true, signal)
    const ended = engine.wait(id, signal)
    try {
      await Promise.race([read, ended])
      // An engine may never end a log that was rotated.
      await Promise.race([read, sleep(LOG_END_MS, undefined, { signal })])
    } catch (error) {
      if (!isAway(error) && !(await this.#isGone())) throw error
      await sleep(AGAIN_MS, undefined, { signal: leave })
    } finally {
      over.abort()
      await Promise.allSettled([read, ended])
    }
  }

  /** Reads what there is, of a container that has ended. */
  async readRest(): Promise<void> {
    const { leave, patiently } = this.#options
    try {
      await patiently(() => this.#read(false, leave))
    } catch (error) {
      if (!(await this.#isGone())) throw error
    }
    leave.throwIfAborted()
  }

  /** Someone else removes it, which takes an engine a moment: that its log cannot be read tells nothing then. */
  async #isGone(): Promise<boolean> {
    const { engine, id, leave, patiently } = this.#options
    for (const until = performance.now() + REMOVAL_MS; performance.now() < until; ) {
      const state = await patiently(() => engine.state(id))
      if (state.type === 'gone') return true
      await sleep(AGAIN_MS, undefined, { signal: leave })
    }
    return false
  }

  async #read(follow: boolean, signal: AbortSignal): Promise<void> {
    const { engine, id, log } = this.#options
    log.flush()
    try {
      for await (const piece of engine.logs(id, { since: log.open(), follow, signal })) log.take(piece)
    } finally {
      log.flush()
    }
  }
}
