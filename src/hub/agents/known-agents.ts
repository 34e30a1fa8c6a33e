import { shippedAgents } from '../../contract/actions.ts'
import type { AgentState } from '../../contract/agent.ts'
import type { AgentHealth, AgentsHealth } from '../../contract/agent-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunnerView } from '../../contract/protocol.ts'

/**
 * Lists the agents of the connected runners. Agents that ship with Errand are listed even if no runner reports them.
 */
export function agentsHealth(runners: readonly RunnerView[], showRunners: boolean): AgentsHealth {
  const connected = runners.filter(({ status }) => status !== 'disconnected')
  const reported = connected.flatMap(({ id, agents = [] }) => agents.map((agent) => ({ id, agent })))
  const names = new Set<string>([...shippedAgents, ...reported.map(({ agent }) => agent.name)])
  const agents: Record<string, AgentHealth> = {}
  for (const name of names) {
    const have = reported.filter(({ agent }) => agent.name === name)
    const best = bestOf(have.map(({ agent }) => agent)) ?? unreportedAgent(name, connected)
    agents[name] = {
      ...best,
      available: best.usable,
      error: best.why,
      ...(showRunners ? { runners: have.map(({ id, agent }) => ({ id, ...summary(agent) })) } : {}),
    }
  }
  return { agents }
}

/** Returns the most capable state. */
const bestOf = (states: readonly AgentState[]): AgentState | undefined =>
  states.find(({ usable }) => usable) ?? states.find(({ installed }) => installed) ?? states[0]

const summary = ({ version, usable, why, isolation, isolation_why }: AgentState) => ({
  ...{ version, usable, why },
  ...(isolation !== undefined && { isolation, isolation_why }),
})

function unreportedAgent(name: string, connected: readonly RunnerView[]): AgentState {
  const why =
    connected.length === 0
      ? 'no runner is connected'
      : connected.every(({ agents }) => agents === undefined)
        ? 'the runners have not reported their agents yet'
        : 'no connected runner knows it'
  return { name, title: name, installed: false, usable: false, why }
}

/** Returns the names of the agents that the runners have, including their own. */
export const agentsOf = (runners: readonly RunnerView[]): string[] =>
  runners.flatMap(({ agents = [] }) => agents.map(({ name }) => name))

/**
 * Throws `invalid_argument` for an agent that neither ships with Errand nor is on one of the tenant's runners. A
 * runner that has not reported its agents yet may have it.
 */
export function checkAgentName(name: string, runners: readonly RunnerView[]): void {
  if (runners.some(({ agents }) => agents === undefined)) return
  const names = new Set<string>([...shippedAgents, ...agentsOf(runners)])
  if (names.has(name)) return
  throw new ErrandError('invalid_argument', `Unknown agent "${name.slice(0, 80)}".`, {
    hint: `Known agents: ${[...names].join(', ')}.`,
  })
}
