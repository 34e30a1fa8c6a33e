import type { AttemptSpec } from '../../../contract/attempt.ts'
import type { Action, AgentPlan } from '../../ports.ts'
import { AgentAttempt } from '../../sessions/agent-attempt.ts'
import type { AgentServices } from '../../sessions/agent-services.ts'
import type { AttemptServices } from '../attempt-services.ts'
import type { FolderAttemptOptions } from '../folder-attempt.ts'
import { PlannedKind } from './planned-kind.ts'

/** Sessions with agents. */
export class AgentKind extends PlannedKind<AgentPlan, AgentAttempt> {
  readonly #agents: AgentServices | undefined
  readonly #env: NodeJS.ProcessEnv

  /** `agents`: undefined where this machine carries out none. `env`: this process's. */
  constructor(services: AttemptServices, agents: AgentServices | undefined, env: NodeJS.ProcessEnv) {
    super(services, 'agent')
    this.#agents = agents
    this.#env = env
  }

  protected override planOf(action: Action, spec: AttemptSpec): AgentPlan {
    if (action.kind !== 'agent') throw new Error(`"${spec.action}" is no agent any more.`)
    return action.prepare(spec)
  }

  protected override maker(): ((options: FolderAttemptOptions) => AgentAttempt) | undefined {
    const services = this.#agents
    const env = this.#env
    const workspace = (runId: string) => this.services.workspaces.create(runId)
    return services && ((options) => new AgentAttempt({ ...options, services, env, workspace }))
  }
}
