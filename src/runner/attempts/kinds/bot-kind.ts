import type { AttemptSpec } from '../../../contract/attempt.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { BotAttempt } from '../../bots/bot-attempt.ts'
import type { BotServices } from '../../bots/bot-services.ts'
import type { Action } from '../../ports.ts'
import type { AttemptServices } from '../attempt-services.ts'
import type { FolderAttemptOptions } from '../folder-attempt.ts'
import type { AttemptKind, Left, Order } from './attempt-kind.ts'

/** Bots in their containers. */
export class BotKind implements AttemptKind {
  readonly #services: AttemptServices
  readonly #bots: BotServices | undefined
  /** Loaded with the first bot. */
  #BotAttempt: typeof BotAttempt | undefined

  /** `bots`: undefined where this machine carries out none. */
  constructor(services: AttemptServices, bots: BotServices | undefined) {
    this.#services = services
    this.#bots = bots
  }

  async load(): Promise<void> {
    if (this.#bots) this.#BotAttempt ??= (await import('../../bots/bot-attempt.ts')).BotAttempt
  }

  start(order: Order<Extract<Action, { kind: 'bot' }>>): BotAttempt {
    const { spec, action, secrets } = order
    const make = this.#maker(spec)
    const attempt = this.#services.create(order, { kind: 'bot', export_vars: false }, make)
    try {
      attempt.begin(action.prepare(secrets.filledSpec))
    } catch (error) {
      attempt.refuse(error)
    }
    return attempt
  }

  async recover(left: Left): Promise<void> {
    const { spec } = left.facts
    await this.load()
    const attempt = await this.#services.takeIn(left, this.#maker(spec))
    if (!attempt) return
    try {
      const action = left.action()
      if (action.kind !== 'bot') throw new Error(`"${spec.action}" is no bot any more.`)
      await attempt.recover(action.prepare(left.secrets?.filledSpec ?? spec))
    } catch (error) {
      attempt.refuse(error)
    }
  }

  #maker(spec: AttemptSpec): (options: FolderAttemptOptions) => BotAttempt {
    const services = this.#bots
    const Loaded = this.#BotAttempt
    if (services && Loaded) return (options) => new Loaded({ ...options, services })
    throw new ErrandError('invalid_argument', `This machine carries out no bots, as "${spec.action}" needs.`)
  }
}
