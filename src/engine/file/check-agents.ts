import { shippedAgents } from '../../contract/shipped-agents.ts'
import { isTemplate } from './check-args.ts'
import { nearest } from './did-you-mean.ts'
import { asList, own } from './loose.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './report.ts'

/** Warns of agents that neither ship with Errand nor are among `others`: a runner may still have them. */
export function checkAgents(report: Report, workflow: unknown, others: readonly string[]): void {
  const known = [...new Set([...shippedAgents, ...others])]
  for (const list of ['steps', 'finally'] as const)
    for (const [index, step] of asList(own(workflow, list)).entries()) {
      checkAgent(report, [list, index], step, known)
      checkAgent(report, [list, index, 'rollback'], own(step, 'rollback'), known)
    }
}

function checkAgent(report: Report, path: ValuePath, step: unknown, known: readonly string[]): void {
  const agent = own(own(step, 'args'), 'agent')
  if (own(step, 'action') !== 'agent.run' || typeof agent !== 'string' || agent === '') return
  if (isTemplate(agent) || known.includes(agent)) return
  const there = `there are ${known.join(', ')}, or an agent that was added to a runner`
  const near = nearest(agent, known)
  report.say(
    [...path, 'args', 'agent'],
    `names ${JSON.stringify(agent.slice(0, 80))}, which is not known here`,
    {
      hint: near === undefined ? there : `did you mean "${near}"? ${there}`,
      severity: 'warning',
    },
  )
}
