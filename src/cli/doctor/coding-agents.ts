import { agentsHere } from '../agents-here.ts'
import { type Check, ok, warning } from './check.ts'

export const codingAgents: Check = {
  name: 'agents',
  async run() {
    const agents = (await agentsHere()).filter(({ name }) => name !== 'acp')
    const usable = agents.filter((agent) => agent.usable)
    const findings = usable.map(({ title, version }) => ok(`${title} ${version ?? ''}`.trimEnd()))
    const broken = agents.filter(
      ({ usable, installed, version }) => !usable && installed && version !== undefined,
    )
    for (const { title, why, install } of broken)
      findings.push(
        warning(`${title} cannot be used: ${why?.replace(/\.$/, '')}.`, install ?? 'See docs/agents.md.'),
      )
    if (usable.length > 0 || broken.length > 0) return findings
    return [
      warning(
        'No coding agent can be used here.',
        'errand agents install; then errand agents list says what is missing.',
      ),
    ]
  },
}
