/** Names of all agents that this program has: those that ship with it, and what was added to its registry. */
export async function knownAgents(): Promise<string[]> {
  const { agentRegistry } = await import('../../../agents/registry.ts')
  return agentRegistry.map(({ name }) => name)
}
