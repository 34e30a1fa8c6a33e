import type { AttemptSpec } from '../../../contract/attempt.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { Action } from '../../ports.ts'
import { AgentAttempt } from '../../sessions/agent-attempt.ts'
import type { AgentServices } from '../../sessions/agent-services.ts'
import type { AttemptServices } from '../attempt-services.ts'
import type { FolderAttemptOptions } from '../folder-attempt.ts'
import type { AttemptKind, Left, Order } from './attempt-kind.ts'

/** Sessions with agents. */
export class AgentKind implements AttemptKind {
  readonly #services: AttemptServices
  readonly #agents: AgentServices | undefined
  readonly #env: NodeJS.ProcessEnv

  /** `agents`: undefined where this machine carries out none. `env`: this process's. */
  constructor(services: AttemptServices, agents: AgentServices | undefined, env: NodeJS.ProcessEnv) {
    this.#services = services
    this.#agents = agents
    this.#env = env
  }

  start(order: Order<Extract<Action, { kind: 'agent' }>>): AgentAttempt {
    const { spec, action, secrets } = order
    const make = this.#maker(spec)
    const attempt = this.#services.create(order, { kind: 'agent', export_vars: false }, make)
    try {
      attempt.begin(action.prepare(secrets.filledSpec))
    } catch (error) {
      attempt.refuse(error)
    }
    return attempt
  }

  async recover(left: Left): Promise<void> {
    const { spec } = left.facts
    const attempt = await this.#services.takeIn(left, this.#maker(spec))
    if (!attempt) return
    try {
      const action = left.action()
      if (action.kind !== 'agent') throw new Error(`"${spec.action}" is no agent any more.`)
      await attempt.recover(action.prepare(left.secrets?.filledSpec ?? spec))
    } catch (error) {
      attempt.refuse(error)
    }
  }

  #maker(spec: AttemptSpec): (options: FolderAttemptOptions) => AgentAttempt {
    const services = this.#agents
    const env = this.#env
    const workspace = (runId: string) => this.#services.workspaces.create(runId)
    if (services) return (options) => new AgentAttempt({ ...options, services, env, workspace })
    throw new ErrandError(
      'invalid_argument',
      `This machine carries out no agents, as "${spec.action}" needs.`,
    )
  }
}
