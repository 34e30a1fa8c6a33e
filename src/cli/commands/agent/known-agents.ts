/** Returns the names of all agents in the registry: those that ship with Errand and those that were added. */
export async function knownAgents(): Promise<string[]> {
  const { agentRegistry } = await import('../../../agents/registry.ts')
  return agentRegistry.map(({ name }) => name)
}
