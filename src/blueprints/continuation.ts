import type { AgentRunArgs } from '../contract/actions.ts'
import { ErrandError } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import type { RunRecord } from '../contract/run.ts'
import { DEFAULT_HOST, type Workflow } from '../contract/workflow.ts'
import { agentWorkflow, checkPromptSize } from './agent.ts'
import { unplain } from './plain-text.ts'

/** Where a session with an agent stands, as the log of its run tells. */
export interface SessionFound {
  session_id?: string
  runner?: string
}

/** Reads on; give it every event of the run, in order. */
export function findSession(found: SessionFound, event: RunEvent): void {
  if (event.type === 'attempt.created' || event.type === 'attempt.assigned')
    found.runner = event.runner ?? found.runner
  if (event.type === 'agent.update' && event.update.kind === 'session')
    found.session_id = event.update.session_id ?? found.session_id
}

/**
 * A run that goes on with the session of an ended one: same agent, folder, model, permissions and runner, another
 * prompt. Throws `run_ended` for a run that asked no agent, `no_input` where its agent told no session.
 */
export function continuationRun(
  record: Pick<RunRecord, 'run_id' | 'blueprint' | 'workflow'>,
  found: SessionFound,
  { prompt, interactive }: { prompt: string; interactive?: boolean },
) {
  const { run_id } = record
  if (record.blueprint !== 'agent')
    throw new ErrandError(
      'run_ended',
      `Run ${run_id} is no run of an agent alone: nothing goes on with it after its agent.`,
      {
        hint: 'A prompt can be given to an agent step while it runs, and to a run of the blueprint "agent" at any time.',
      },
    )
  const workflow = record.workflow as Workflow
  const step = workflow.steps[0]!
  const { verify, output_schema, ...texts } = step.args as AgentRunArgs
  const args = unplain(texts) as Omit<AgentRunArgs, 'verify' | 'output_schema'>
  // One that went on with it may have ended before its agent could load it.
  const session_id = found.session_id ?? args.session?.session_id
  if (session_id === undefined)
    throw new ErrandError(
      'no_input',
      `Run ${run_id} was over before its agent told the id of its session: there is nothing to go on with.`,
      { hint: 'Ask again, as a new run.' },
    )
  checkPromptSize(prompt)
  const session = { session_id, workspace_of: firstOf(record) }
  const { group, labels, runner } = workflow.inventory?.hosts[DEFAULT_HOST] ?? {}
  return {
    ...agentWorkflow(
      { ...args, verify, output_schema, prompt, session, interactive: interactive ?? args.interactive },
      {
        env: step.env && (unplain(step.env) as typeof step.env),
        secrets: step.secrets,
        timeout_seconds: step.timeout_seconds,
        // The session is on the machine that had it.
        host: { runner: found.runner ?? runner, group, labels },
      },
    ),
    continues: run_id,
  }
}

/** The run that began the session. */
export function firstOf({ run_id, workflow }: Pick<RunRecord, 'run_id' | 'workflow'>): string {
  const { session } = (workflow as Workflow).steps[0]!.args as AgentRunArgs
  return session?.workspace_of ?? run_id
}
