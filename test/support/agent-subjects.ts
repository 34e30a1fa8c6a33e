import type { Agent, Located, Program } from '../../src/agents/agent.ts'
import { agentsFolder } from '../../src/agents/install/native-binary.ts'
import { agentRegistry } from '../../src/agents/registry.ts'
import { onlyLarge } from './size.ts'

/** A real program of an agent, and how it is pointed at a model server. */
export interface AgentSubject {
  name: string
  model: string
  /** `url` of the server, without `/v1`. */
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

/** A start of OpenCode costs more than one of all others together. */
const isWhole = onlyLarge('OpenCode in boxes, killed, under attack, and with coding tasks')

/** Those, and the agent that comes with Errand. */
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

/** What is installed here, or why it is not and the command that installs it. */
export async function installedAgent(
  name: string,
): Promise<{ agent: Agent; program: Program } | { missing: string }> {
  const agent = agentRegistry.find((each) => each.name === name)
  if (!agent) throw new Error(`There is no agent ${name}.`)
  const located = await agent.locate({ folder: agentsFolder(process.env), env: process.env })
  if (located.type === 'found') return { agent, program: located.program }
  return { missing: agentMissing(agent, located) }
}

/** Reason to skip what needs the agent's program: one for each agent, as it is told with how many tests it keeps away. */
export function agentMissing({ name, title }: Pick<Agent, 'name' | 'title'>, located?: Located): string {
  const why = located?.type === 'broken' ? located.why : `${title} is not installed`
  return `${why}; run: bin/errand agents install --${name.replaceAll('_', '-')}`
}
