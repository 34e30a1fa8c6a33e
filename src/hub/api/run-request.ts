import { agentRun } from '../../blueprints/agent.ts'
import { workflowRun } from '../../blueprints/workflow.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { CreateRun } from '../../contract/run.ts'
import { oldAgentRequest } from '../../dialects/agent-api.ts'
import type { Submission } from '../../engine/face.ts'

type Made = Pick<Submission, 'blueprint' | 'yaml' | 'workflow' | 'vars'>

const shapes = ['yaml', 'workflow', 'agent', 'input'] as const

/**
 * What a request to create a run asks for, by the shape that it has. Throws `bad_request` and what blueprints and
 * `checkAgent` throw.
 */
export async function blueprintRun(
  body: CreateRun,
  checkAgent: (name: string) => Promise<void>,
): Promise<Made> {
  const given = shapes.filter((shape) => body[shape] !== undefined)
  const [shape, other] = given
  if (shape === undefined || other !== undefined)
    throw new ErrandError(
      'bad_request',
      `body: exactly one of "yaml", "workflow" and "agent" is needed${listed(given)}.`,
      {
        hint: 'A workflow: its text as "yaml", or the same as JSON in "workflow". An agent: {"agent": {"prompt": "..."}}.',
      },
    )
  const blueprint = shape === 'yaml' || shape === 'workflow' ? 'workflow' : 'agent'
  if (body.blueprint !== undefined && body.blueprint !== blueprint)
    throw new ErrandError('bad_request', `body: blueprint "${body.blueprint}" does not take "${shape}".`, {
      hint: `It takes ${body.blueprint === 'agent' ? '"agent"' : '"yaml" or "workflow"'}.`,
    })
  if (body.metadata !== undefined && shape !== 'input')
    throw new ErrandError('bad_request', 'body: "metadata" stands beside "input" only.', {
      hint: 'Leave it out, or ask as the agent API does: {"input": {"text": "..."}, "metadata": {...}}',
    })
  if (blueprint === 'workflow') return workflowRun(body)
  if (Object.keys(body.vars).length > 0)
    throw new ErrandError('bad_request', 'body.vars: a run of an agent has no variables.', {
      hint: 'What the agent is to see in its environment goes into "agent": {"env": {...}}.',
    })
  const asked = body.agent ?? oldAgentRequest(body.input!, body.metadata)
  const made = agentRun(asked)
  if (asked.agent !== undefined) await checkAgent(asked.agent)
  return made
}

const listed = (given: readonly string[]) =>
  given.length === 0 ? '' : `, not ${given.map((shape) => `"${shape}"`).join(' and ')} at once`
