import { MAX_INPUT_BYTES } from '../contract/agent.ts'
import { AgentRequest, type AgentRequestInput } from '../contract/agent-request.ts'
import { ErrandError } from '../contract/errors.ts'
import type { StepSecrets } from '../contract/step-secrets.ts'
import { DEFAULT_HOST, type WorkflowFile } from '../contract/workflow.ts'
import { plain } from './plain-text.ts'

/** Name of the one step. */
const AGENT_STEP = 'agent'

type StepArgs = Record<string, unknown>

/** A run that asks an agent: a workflow of one step. Throws `body_too_large`, `invalid_argument`. */
export function agentRun(given: AgentRequestInput) {
  const { env, secrets, timeout_seconds, runner, group, labels, ...args } = AgentRequest.parse(given)
  checkPromptSize(args.prompt)
  if (args.agent !== 'acp' && args.command !== undefined)
    throw new ErrandError('invalid_argument', `command is for the agent "acp", not for "${args.agent}".`, {
      hint: 'Leave command out, or ask the agent "acp".',
    })
  return agentWorkflow(args, { env, secrets, timeout_seconds, host: { runner, group, labels } })
}

/** Returns the workflow of arguments of `agent.run`, which are taken as they stand. */
export function agentWorkflow(
  args: StepArgs & { prompt: string; output_schema?: unknown },
  {
    env,
    secrets,
    timeout_seconds,
    host,
  }: {
    env?: Record<string, string | number | boolean>
    secrets?: StepSecrets
    timeout_seconds?: number
    host: { runner?: string; group?: string; labels?: Record<string, string> }
  },
): { blueprint: string; workflow: Record<string, unknown> } {
  const chosen = Object.values(host).some((value) => value !== undefined)
  const { verify, output_schema, ...texts } = args
  const workflow: WorkflowFile = {
    version: 'v0.1',
    name: titleOf(args.prompt),
    inventory: chosen ? { hosts: { [DEFAULT_HOST]: host } } : undefined,
    outputs: {
      ANSWER: '${ANSWER:-}',
      FILES: '${FILES:-}',
      ...(output_schema ? { VALUE: '${VALUE:-}' } : {}),
    },
    steps: [
      {
        name: AGENT_STEP,
        action: 'agent.run',
        args: withoutUnset({ ...(plain(texts) as StepArgs), verify, output_schema }),
        env: env && (plain(env) as typeof env),
        secrets,
        timeout_seconds,
        outputs: { ANSWER: 'answer', FILES: 'files', ...(output_schema ? { VALUE: 'value' } : {}) },
      },
    ],
  }
  // As it would come over a wire: without what is undefined.
  return { blueprint: 'agent', workflow: JSON.parse(JSON.stringify(workflow)) }
}

/** Throws `body_too_large` for a prompt that no runner could be sent. */
export function checkPromptSize(prompt: string): void {
  const bytes = Buffer.byteLength(JSON.stringify(prompt))
  if (bytes <= MAX_INPUT_BYTES) return
  throw new ErrandError(
    'body_too_large',
    `The prompt has ${bytes} bytes; the most is ${MAX_INPUT_BYTES} bytes (3 MiB).`,
    { hint: 'Put what is long into a file, and name the file in the prompt.' },
  )
}

const withoutUnset = (args: StepArgs): StepArgs =>
  Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined))

const TITLE_CHARACTERS = 80

/** Returns the name of the run: how its prompt begins. */
function titleOf(prompt: string): string {
  const line = prompt
    .slice(0, 10_000)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
  const characters = [...line]
  if (characters.length === 0) return 'agent'
  return characters.length <= TITLE_CHARACTERS
    ? line
    : `${characters
        .slice(0, TITLE_CHARACTERS - 1)
        .join('')
        .trimEnd()}…`
}
