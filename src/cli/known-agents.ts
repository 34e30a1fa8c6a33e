/** Names of all agents that this program has: those that ship with it, and what was added to its registry. */
export async function knownAgents(): Promise<string[]> {
  const [{ agentRegistry }, { builtin }] = await Promise.all([
    import('../agents/registry.ts'),
    import('../agents/builtin/builtin.ts'),
  ])
  return [...agentRegistry, builtin].map(({ name }) => name)
}
