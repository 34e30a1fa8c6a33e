import type { Agent, Located, Program } from '../../src/agents/agent.ts'
import { agentsFolder } from '../../src/agents/install/native-binary.ts'
import { agentRegistry } from '../../src/agents/registry.ts'
import { onlyLarge } from './size.ts'

/** Describes a real agent program and how to point it at a model server. */
export interface AgentSubject {
  name: string
  model: string
  /** Returns the variables for a server at `url`, which is without `/v1`. */
  env(url: string, key: string): Record<string, string>
}

export const agentSubjects: readonly AgentSubject[] = [
  {
    name: 'claude_code',
    model: 'claude-sonnet-4-5',
    env: (url, key) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key }),
  },
  {
    name: 'codex',
    model: 'gpt-5.5',
    env: (url, key) => ({ OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }),
  },
  {
    name: 'copilot',
    model: 'test-model',
    env: (url, key) => ({ COPILOT_PROVIDER_BASE_URL: `${url}/v1`, COPILOT_PROVIDER_API_KEY: key }),
  },
  {
    name: 'opencode',
    model: 'anthropic/claude-sonnet-4-5',
    env: (url, key) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key }),
  },
]

/** Starting OpenCode costs more than starting all other agents together. */
const isWhole = onlyLarge('OpenCode in boxes, killed, under attack, and with coding tasks')

/** The real programs and the agent that comes with Errand. */
export const allSubjects: readonly AgentSubject[] = [
  ...agentSubjects.filter(({ name }) => isWhole || name !== 'opencode'),
  {
    name: 'builtin',
    model: 'test-model',
    env: (url, key) => ({ OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }),
  },
]

export function subjectNamed(name: string): AgentSubject {
  const subject = agentSubjects.find((each) => each.name === name)
  if (!subject) throw new Error(`There is no agent ${name} to test with.`)
  return subject
}

/** Returns the installed agent, or why it is not installed and the command that installs it. */
export async function installedAgent(
  name: string,
): Promise<{ agent: Agent; program: Program } | { missing: string }> {
  const agent = agentRegistry.find((each) => each.name === name)
  if (!agent) throw new Error(`There is no agent ${name}.`)
  const located = await agent.locate({ folder: agentsFolder(process.env), env: process.env })
  if (located.type === 'found') return { agent, program: located.program }
  return { missing: agentMissing(agent, located) }
}

/**
 * Returns the reason to skip a test that needs the agent's program. It is the same for all tests of an agent, so that
 * the report can count them.
 */
export function agentMissing({ name, title }: Pick<Agent, 'name' | 'title'>, located?: Located): string {
  const why = located?.type === 'broken' ? located.why : `${title} is not installed`
  return `${why}; run: bin/errand agents install --${name.replaceAll('_', '-')}`
}
