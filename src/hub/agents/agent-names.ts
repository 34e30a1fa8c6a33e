import { ErrandError } from '../../contract/errors.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import { shippedAgents } from '../../contract/shipped-agents.ts'

/** Names of the agents that the runners have, of their own too. */
export const agentsOf = (runners: readonly RunnerView[]): string[] =>
  runners.flatMap(({ agents = [] }) => agents.map(({ name }) => name))

/**
 * Throws `invalid_argument` for an agent that neither ships with Errand nor is one of the tenant's runners'. A runner that has
 * not told yet what it has may know it.
 */
export function checkAgentName(name: string, runners: readonly RunnerView[]): void {
  if (runners.some(({ agents }) => agents === undefined)) return
  const names = new Set<string>([...shippedAgents, ...agentsOf(runners)])
  if (names.has(name)) return
  throw new ErrandError('invalid_argument', `There is no agent "${name.slice(0, 80)}".`, {
    hint: `There are: ${[...names].join(', ')}.`,
  })
}
