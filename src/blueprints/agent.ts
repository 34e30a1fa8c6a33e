import type { AgentRunArgs, Attachment } from '../contract/actions.ts'
import { MAX_INPUT_BYTES } from '../contract/agent.ts'
import { AgentRequest, type AgentRequestInput } from '../contract/agent-api.ts'
import { ErrandError } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import { askAfter, type BoxAsk, checkNetworkHasBox, strictestAsk } from '../contract/isolation.ts'
import { withoutMisleading } from '../contract/names.ts'
import type { RunRecord } from '../contract/run.ts'
import type { StepSecrets } from '../contract/step-secrets.ts'
import type { WorkspaceAsk } from '../contract/tasks/workspace-ask.ts'
import { DEFAULT_HOST, type Workflow, type WorkflowFile } from '../contract/workflow.ts'
import { plain, unplain } from './workflow.ts'

/** Name of the only step. */
const AGENT_STEP = 'agent'

type StepArgs = Record<string, unknown>

/**
 * Makes a run that asks an agent: a workflow of one step. `attached`: the attachments that it names. Throws
 * `body_too_large`, `invalid_argument`.
 */
export function agentRun(request: AgentRequestInput, attached: readonly Attachment[] = []) {
  const {
    attachments: ids = [],
    env,
    secrets,
    timeout_seconds,
    artifacts,
    workspace,
    runner,
    group,
    labels,
    isolation,
    network,
    image,
    ...args
  } = AgentRequest.parse(request)
  checkPromptSize(args.prompt)
  if (ids.length > 0 && attached.length === 0)
    throw new ErrandError(
      'invalid_argument',
      'attachments are stored by a hub, and this request does not use one.',
      {
        hint: 'Use a hub, or name the files in the prompt.',
      },
    )
  for (const key of ['command', 'proxy_env'] as const)
    if (args.agent !== 'acp' && args[key] !== undefined)
      throw new ErrandError('invalid_argument', `${key} is for the agent "acp", not for "${args.agent}".`, {
        hint: `Remove ${key}, or use the agent "acp".`,
      })
  checkBox({ isolation, network, image })
  const box = { isolation, network, image }
  return agentWorkflow(
    { ...args, attachments: attached.length > 0 ? [...attached] : undefined },
    {
      env,
      secrets,
      timeout_seconds,
      artifacts,
      workspace,
      box,
      host: { runner, group, labels },
    },
  )
}

/** Makes the workflow for arguments of `agent.run`, which are taken literally. */
function agentWorkflow(
  args: StepArgs & { prompt: string; output_schema?: unknown },
  {
    env,
    secrets,
    timeout_seconds,
    artifacts,
    workspace,
    box,
    host,
  }: {
    env?: Record<string, string | number | boolean>
    secrets?: StepSecrets
    timeout_seconds?: number
    artifacts?: string[]
    workspace?: WorkspaceAsk
    box: BoxAsk
    host: { runner?: string; group?: string; labels?: Record<string, string> }
  },
): { blueprint: string; workflow: Record<string, unknown> } {
  const chosen = Object.values(host).some((value) => value !== undefined)
  const { verify, output_schema, ...texts } = args
  const workflow: WorkflowFile = {
    version: 'v0.1',
    name: titleOf(args.prompt),
    ...box,
    workspace: workspace && checkoutOf(workspace),
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
        args: withoutUnset({ ...(plain(texts) as StepArgs), verify, output_schema, keep_change: true }),
        env: env && (plain(env) as typeof env),
        secrets,
        timeout_seconds,
        artifacts,
        outputs: { ANSWER: 'answer', FILES: 'files', ...(output_schema ? { VALUE: 'value' } : {}) },
      },
    ],
  }
  // As it would arrive over a wire: without undefined values.
  return { blueprint: 'agent', workflow: JSON.parse(JSON.stringify(workflow)) }
}

/** Makes its texts literal; secrets are not in texts with variables. */
const checkoutOf = ({ secrets, ...texts }: WorkspaceAsk): WorkspaceAsk => ({
  ...(plain(texts) as Omit<WorkspaceAsk, 'secrets'>),
  secrets,
})

/** Returns the step that asks the agent; a step for its checkout may precede it. */
function agentStepOf(workflow: Workflow): Workflow['steps'][number] {
  return workflow.steps.find(({ name }) => name === AGENT_STEP) ?? workflow.steps[0]!
}

/** Throws `invalid_argument` for a box that no machine could provide. */
function checkBox(box: BoxAsk): void {
  const { isolation, image } = box
  checkNetworkHasBox(box)
  if (image !== undefined && isolation !== 'container')
    throw new ErrandError('invalid_argument', 'image is set, but no container is requested.', {
      hint: 'Set isolation to "container", or remove image.',
    })
}

/** Throws `body_too_large` for a prompt that no runner could receive. */
function checkPromptSize(prompt: string): void {
  const bytes = Buffer.byteLength(JSON.stringify(prompt))
  if (bytes <= MAX_INPUT_BYTES) return
  throw new ErrandError(
    'body_too_large',
    `The prompt has ${bytes} bytes; the maximum is ${MAX_INPUT_BYTES} bytes (3 MiB).`,
    { hint: 'Put long text into a file, and name the file in the prompt.' },
  )
}

const withoutUnset = (args: StepArgs): StepArgs =>
  Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined))

const TITLE_CHARACTERS = 80

/** Returns the name of the run: the beginning of its prompt. */
function titleOf(prompt: string): string {
  const line = withoutMisleading(prompt.slice(0, 10_000).replace(/[\p{Cc}\s]/gu, ' '))
    .replace(/ +/g, ' ')
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

/** The facts about a session with an agent from the log of its run. */
export interface FoundSession {
  /** The box that it was in. */
  box?: BoxAsk
  session_id?: string
  runner?: string
  /** Set when its agent can branch it. */
  forks?: true
  /** The model that it was switched to. */
  model?: string
}

/** Updates the facts; call it with every event of the run, in order. */
export function findSession(found: FoundSession, event: RunEvent): void {
  if (event.type === 'attempt.created' || event.type === 'attempt.assigned')
    found.runner = event.runner ?? found.runner
  if (event.type === 'attempt.started') found.box = strictestAsk(found.box ?? {}, askAfter(event))
  if (event.type === 'agent.update' && event.update.kind === 'session')
    found.session_id = event.update.session_id ?? found.session_id
  if (event.type === 'agent.update' && event.update.kind === 'session' && event.update.forks)
    found.forks = true
  if (event.type === 'agent.update' && event.update.kind === 'model' && event.update.refused === undefined)
    found.model = event.update.model
}

/**
 * Makes a run that continues the session of an ended one: same agent, folder, model, permissions and runner, another
 * prompt. Throws `run_ended` for a run that asked no agent, `no_input` when its agent reported no session.
 */
export function continuationRun(
  record: Pick<RunRecord, 'run_id' | 'blueprint' | 'workflow'>,
  found: FoundSession,
  {
    prompt,
    interactive,
    attachments,
    fork,
  }: { prompt: string; interactive?: boolean; attachments?: readonly Attachment[]; fork?: true },
) {
  const { run_id } = record
  if (record.blueprint !== 'agent')
    throw new ErrandError(
      'run_ended',
      `Run ${run_id} is not an agent run: its session cannot be continued after the agent has ended.`,
      {
        hint: 'Send a prompt to an agent step while it runs, or to a run of the blueprint "agent" at any time.',
      },
    )
  const workflow = record.workflow as Workflow
  const step = agentStepOf(workflow)
  const { verify, output_schema, ...texts } = step.args as AgentRunArgs
  const args = unplain(texts) as Omit<AgentRunArgs, 'verify' | 'output_schema'>
  // A run that continued it may have ended before its agent could load the session.
  const session_id = found.session_id ?? args.session?.session_id
  if (session_id === undefined)
    throw new ErrandError(
      'no_input',
      `Run ${run_id} ended before its agent reported a session id: there is no session to continue.`,
      { hint: 'Start a new run instead.' },
    )
  if (fork && !found.forks)
    throw new ErrandError('invalid_argument', `The agent of run ${run_id} cannot branch a session.`, {
      hint: 'Continue the session itself, or start a new one.',
    })
  checkPromptSize(prompt)
  // If the agent never made the branch, it still has to be made.
  const branch = fork ?? (found.session_id === undefined ? args.session?.fork : undefined)
  const session = { session_id, workspace_of: firstOf(record), ...(branch && { fork: branch }) }
  const attached = attachments && attachments.length > 0 ? [...attachments] : undefined
  const { group, labels, runner } = workflow.inventory?.hosts[DEFAULT_HOST] ?? {}
  return {
    ...agentWorkflow(
      {
        ...args,
        verify,
        output_schema,
        prompt,
        attachments: attached,
        session,
        model: found.model ?? args.model,
        interactive: interactive ?? args.interactive,
      },
      {
        env: step.env && (unplain(step.env) as typeof step.env),
        secrets: step.secrets,
        timeout_seconds: step.timeout_seconds,
        artifacts: step.artifacts,
        // Work of a session in a box must not continue outside of one.
        box: strictestAsk(strictestAsk(workflow, step), found.box ?? {}),
        // The session is on the machine that had it.
        host: { runner: found.runner ?? runner, group, labels },
      },
    ),
    continues: run_id,
  }
}

/** Returns the id of the run that began the session. */
export function firstOf({ run_id, workflow }: Pick<RunRecord, 'run_id' | 'workflow'>): string {
  const { session } = agentStepOf(workflow as Workflow).args as AgentRunArgs
  return session?.workspace_of ?? run_id
}
