import type { AttemptSpec } from '../../../contract/attempt.ts'
import type { BotAttempt } from '../../bots/bot-attempt.ts'
import type { BotServices } from '../../bots/bot-services.ts'
import type { Action, BotPlan } from '../../ports.ts'
import type { AttemptServices } from '../attempt-services.ts'
import type { FolderAttemptOptions } from '../folder-attempt.ts'
import type { Left } from './attempt-kind.ts'
import { PlannedKind } from './planned-kind.ts'

/** Bots in their containers. */
export class BotKind extends PlannedKind<BotPlan, BotAttempt> {
  readonly #bots: BotServices | undefined
  /** Loaded with the first bot. */
  #BotAttempt: typeof BotAttempt | undefined

  /** `bots`: undefined where this machine carries out none. */
  constructor(services: AttemptServices, bots: BotServices | undefined) {
    super(services, 'bot')
    this.#bots = bots
  }

  async load(): Promise<void> {
    if (this.#bots) this.#BotAttempt ??= (await import('../../bots/bot-attempt.ts')).BotAttempt
  }

  override async recover(left: Left): Promise<void> {
    await this.load()
    await super.recover(left)
  }

  protected override planOf(action: Action, spec: AttemptSpec): BotPlan {
    if (action.kind !== 'bot') throw new Error(`"${spec.action}" is no bot any more.`)
    return action.prepare(spec)
  }

  protected override maker(): ((options: FolderAttemptOptions) => BotAttempt) | undefined {
    const services = this.#bots
    const Loaded = this.#BotAttempt
    return services && Loaded && ((options) => new Loaded({ ...options, services }))
  }
}
