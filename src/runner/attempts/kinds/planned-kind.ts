import type { AttemptSpec } from '../../../contract/attempt.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { Action } from '../../ports.ts'
import { noDescriptors } from '../attempt-folders.ts'
import type { AttemptServices } from '../attempt-services.ts'
import type { FolderAttempt, FolderAttemptOptions } from '../folder-attempt.ts'
import type { AttemptKind, Left, Order } from './attempt-kind.ts'

interface PlannedAttempt<Plan> extends FolderAttempt {
  begin(plan: Plan): void
  recover(plan: Plan): Promise<void>
  refuse(error: unknown): void
}

/** Attempts that carry out a plan. What is wrong with that is their end, not an error. */
export abstract class PlannedKind<Plan, Attempt extends PlannedAttempt<Plan>> implements AttemptKind {
  protected readonly services: AttemptServices
  readonly #kind: 'agent' | 'bot'

  constructor(services: AttemptServices, kind: 'agent' | 'bot') {
    this.services = services
    this.#kind = kind
  }

  start(order: Order): Attempt {
    const { spec, action, secrets } = order
    const make = this.#maker(spec)
    const attempt = this.services.create(order, { kind: this.#kind, export_vars: false }, make)
    try {
      attempt.begin(this.planOf(action, secrets.filledSpec))
    } catch (error) {
      attempt.refuse(error)
    }
    return attempt
  }

  async recover(left: Left): Promise<void> {
    const { spec } = left.facts
    const attempt = await this.services.takeIn(left, this.#maker(spec))
    if (!attempt) return
    try {
      await attempt.recover(this.planOf(left.action(), left.secrets?.filledSpec ?? spec))
    } catch (error) {
      if (noDescriptors(error)) throw error
      attempt.refuse(error)
    }
  }

  /** Throws where it cannot be carried out, or is of another kind by now. */
  protected abstract planOf(action: Action, spec: AttemptSpec): Plan

  /** Undefined where this machine carries out none. */
  protected abstract maker(): ((options: FolderAttemptOptions) => Attempt) | undefined

  #maker({ action }: AttemptSpec): (options: FolderAttemptOptions) => Attempt {
    const make = this.maker()
    if (make) return make
    throw new ErrandError(
      'invalid_argument',
      `This machine carries out no ${this.#kind}s, as "${action}" needs.`,
    )
  }
}
