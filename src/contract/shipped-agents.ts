/** The agents that ship with Errand. A runner may have more of its own. */
export const shippedAgents = ['claude_code', 'codex', 'opencode', 'copilot', 'acp', 'builtin'] as const
