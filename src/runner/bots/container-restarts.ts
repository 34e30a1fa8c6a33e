import { setTimeout as sleep } from 'node:timers/promises'
import type { Ending } from '../attempts/outcome.ts'
import type { ContainerEngine, ContainerLimits } from '../containers/ports.ts'
import type { BotPlan } from '../ports.ts'
import type { BotRecord } from './bot-record.ts'
import { exitEnding, exitText } from './exit-ending.ts'
import { patiently } from './patience.ts'
import { type Exited, nextRestart } from './restart-policy.ts'

/** Exit code after SIGKILL. */
const KILLED = 137

export interface ContainerRestartsOptions {
  engine: ContainerEngine
  /** Of the container. */
  id: string
  plan: BotPlan
  limits: ContainerLimits
  record: BotRecord
  tell(phase: 'restarting', message: string): void
  /** Aborted where the attempt is to end. */
  halt: AbortSignal
  /** Aborted where this process lets go of it. */
  leave: AbortSignal
}

/** What follows when a container has ended. */
export class ContainerRestarts {
  readonly #options: ContainerRestartsOptions

  constructor(options: ContainerRestartsOptions) {
    this.#options = options
  }

  /** The end of the attempt; or undefined, once it is time to start it again. `wasAway`: its engine was, meanwhile. */
  async after(exited: Exited, wasAway: boolean): Promise<Ending | undefined> {
    const { plan, limits, record, tell, halt } = this.#options
    const exit = await this.#withMemory(exited)
    const before = record.facts.restart
    const restart = halt.aborted ? undefined : nextRestart(plan.restart, exit, before, Date.now())
    const failed = exitEnding(exit, limits, before?.inARow ?? 0)
    if (exit.exitCode === 0 && !halt.aborted && (wasAway || (await this.#wasSignaled(exit))))
      return { type: 'lost', why: 'Its container was stopped by its engine, or by someone else.' }
    if (restart === undefined || failed.type === 'start_failed') return failed
    if (restart !== before) {
      const inSeconds = Math.ceil((restart.dueAtMs - Date.now()) / 1000)
      const which = `Restart ${restart.inARow} of ${plan.restart.max_restarts}`
      tell('restarting', `${exitText(exit)}. ${which} in ${inSeconds} s.`)
      record.keep({ restart })
    }
    return (await this.#isDue(restart.dueAtMs)) ? undefined : failed
  }

  /** With what the engine came to know of its memory only after the end. */
  async #withMemory(exit: Exited): Promise<Exited> {
    const { engine, id, halt, leave } = this.#options
    if (exit.oom || exit.exitCode !== KILLED || halt.aborted) return exit
    return { ...exit, oom: await patiently(() => engine.wasOutOfMemory(id, exit.startedAt), leave) }
  }

  /** An engine that is stopped asks its containers to end, and they may do so as if all were well. */
  async #wasSignaled({ startedAt }: Exited): Promise<boolean> {
    const { engine, id, leave } = this.#options
    return await patiently(() => engine.wasSignaled(id, startedAt), leave)
  }

  /** Waits; false where it is to end before. */
  async #isDue(atMs: number): Promise<boolean> {
    const { halt, leave } = this.#options
    try {
      const signal = AbortSignal.any([halt, leave])
      await sleep(Math.max(0, atMs - Date.now()), undefined, { signal })
      return true
    } catch {
      leave.throwIfAborted()
      return false
    }
  }
}
