import type { AgentState } from '../../contract/agent.ts'
import type { AgentServices } from './agent-services.ts'
import { agentStates } from './agent-states.ts'

const LOOKED_EVERY_MS = 120_000

/** Looks which agents this machine has, at once and now and then, and tells of what is new. */
export class AgentWatch {
  readonly #services: AgentServices
  readonly #tell: (agents: AgentState[]) => void
  readonly #timer: NodeJS.Timeout
  #told = ''
  #closed = false

  constructor(services: AgentServices, tell: (agents: AgentState[]) => void) {
    this.#services = services
    this.#tell = tell
    this.#timer = setInterval(() => void this.#look(), LOOKED_EVERY_MS)
    void this.#look()
  }

  /** May be called twice. */
  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    const agents = await agentStates(this.#services, process.env)
    const text = JSON.stringify(agents)
    if (this.#closed || text === this.#told) return
    this.#told = text
    this.#tell(agents)
  }
}
