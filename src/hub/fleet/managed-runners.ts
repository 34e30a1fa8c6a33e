import type { AttemptSpec } from '../../contract/attempt.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import type { TenantRunner } from '../store/accounts.ts'
import { type BotAsk, checkBotRoom } from './bot-room.ts'
import type { Dispatch } from './dispatch.ts'
import type { KnownRunners } from './known-runners.ts'
import type { Ledger } from './ledger.ts'
import { type RunnerKey, runnerKey } from './needs.ts'
import type { Reception } from './reception.ts'
import type { Runner } from './roster.ts'

export interface ManagedRunnersOptions {
  runners: Map<RunnerKey, Runner>
  known: KnownRunners
  ledger: Ledger
  dispatch: Dispatch
  reception: Reception
}

/** The runners as people see them, and what an admin does with them. */
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

  /** Throws `invalid_argument` where none of those that are there could ever hold it. */
  checkBot(ask: BotAsk): void {
    checkBotRoom(this.#options.runners.values(), ask)
  }

  /** The attempts that the runner was given and has not ended. */
  attempts(which: TenantRunner): AttemptSpec[] {
    const runner = this.#find(which)
    return runner ? this.#options.ledger.givenTo(runner).map(({ spec }) => spec) : []
  }

  /** The runner takes nothing new and finishes what it has, until `undrain`; kept when this resolves. False: there is none. */
  drain(which: TenantRunner): Promise<boolean> {
    return this.#setDrained(which, true)
  }

  /** False: there is none. */
  undrain(which: TenantRunner): Promise<boolean> {
    return this.#setDrained(which, false)
  }

  /** Sends the runner away; what it had is lost, and where it hears of that it ends it. False: there is none. */
  async remove(which: TenantRunner): Promise<boolean> {
    const { runners, known, ledger, dispatch, reception } = this.#options
    const runner = this.#find(which)
    if (!runner) return false
    const why = `Runner "${runner.id}" was removed from this hub.`
    for (const { spec, epoch } of ledger.givenTo(runner))
      runner.link?.send({ type: 'superseded', attempt_id: spec.attempt_id, epoch, why })
    runner.link?.refuse('forbidden', why, false)
    clearTimeout(runner.lostTimer)
    reception.giveUp(runner, why)
    runners.delete(runner.key)
    dispatch.rosterChanged(runner)
    await known.forget(runner)
    return true
  }

  async #setDrained(which: TenantRunner, drained: boolean): Promise<boolean> {
    const { known, dispatch } = this.#options
    const runner = this.#find(which)
    if (!runner) return false
    runner.drained = drained
    dispatch.rosterChanged(runner)
    await known.keep(runner)
    return true
  }

  #find({ tenant, id }: TenantRunner): Runner | undefined {
    return this.#options.runners.get(runnerKey(tenant, id))
  }
}
