import type { AttemptSpec } from '../../contract/attempt.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import type { Dispatch } from './dispatch.ts'
import type { KnownRunners } from './known-runners.ts'
import type { Ledger } from './ledger.ts'
import type { Reception } from './reception.ts'
import type { Runner } from './roster.ts'

export interface ManagedRunnersOptions {
  runners: Map<string, Runner>
  known: KnownRunners
  ledger: Ledger
  dispatch: Dispatch
  reception: Reception
}

/** What people see of the runners, and what an admin does with them. */
export class ManagedRunners {
  readonly #options: ManagedRunnersOptions

  constructor(options: ManagedRunnersOptions) {
    this.#options = options
  }

  /** Those of the tenant, or all. */
  list(tenant?: string): RunnerView[] {
    return [...this.#options.runners.values()]
      .filter((runner) => tenant === undefined || runner.tenant === tenant)
      .flatMap((runner) => (runner.hello ? [runner.view(runner.hello)] : []))
  }

  /** What the runner was given and has not ended. */
  attempts(id: string): AttemptSpec[] {
    const { runners, ledger } = this.#options
    const runner = runners.get(id)
    return runner ? ledger.givenTo(runner).map(({ spec }) => spec) : []
  }

  /** The runner takes nothing new and finishes what it has, until `undrain`; kept when this resolves. False: there is none. */
  drain(id: string): Promise<boolean> {
    return this.#setDrained(id, true)
  }

  /** False: there is none. */
  undrain(id: string): Promise<boolean> {
    return this.#setDrained(id, false)
  }

  /** Sends the runner away; what it had is lost, and where it hears of that it ends it. False: there is none. */
  async remove(id: string): Promise<boolean> {
    const { runners, known, ledger, dispatch, reception } = this.#options
    const runner = runners.get(id)
    if (!runner) return false
    const why = `Runner "${id}" was removed from this hub.`
    for (const { spec, epoch } of ledger.givenTo(runner))
      runner.link?.send({ type: 'superseded', attempt_id: spec.attempt_id, epoch, why })
    runner.link?.refuse('forbidden', why, false)
    clearTimeout(runner.lostTimer)
    reception.giveUp(runner, why)
    runners.delete(id)
    dispatch.rosterChanged(runner)
    await known.forget(id)
    return true
  }

  async #setDrained(id: string, drained: boolean): Promise<boolean> {
    const { runners, known, dispatch } = this.#options
    const runner = runners.get(id)
    if (!runner) return false
    runner.drained = drained
    dispatch.rosterChanged(runner)
    await known.keep(runner)
    return true
  }
}
