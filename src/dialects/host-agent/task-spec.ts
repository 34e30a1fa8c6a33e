import { builtinActions } from '../../contract/actions.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { readInWords } from './in-words.ts'
import type { RunRequest } from './schema.ts'
import { requestIds } from './task-id.ts'

/** Returns the spec of what a request asks to be done. Throws `bad_request` or `invalid_argument` where it cannot be. */
export function taskSpec(request: RunRequest): AttemptSpec {
  checkAction(request)
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.env)) env[name] = String(value)
  return {
    ...requestIds(request),
    request_id: request.request_id,
    workflow_name: request.workflow_name,
    step: request.step ?? request.action,
    host: request.host,
    instance: request.instance,
    try: request.try,
    action: request.action,
    args: request.args,
    env,
    outputs: request.outputs,
    secrets: request.secrets,
    timeout_ms: request.timeout_seconds === undefined ? undefined : request.timeout_seconds * 1000,
    requires: {},
  }
}

/** Names of the actions that a host agent carries out: it has no coding agents, and no containers. */
export const hostActions: readonly string[] = Object.entries(builtinActions)
  .filter(([, { place, inputs, containers }]) => place === 'host' && !inputs && !containers)
  .map(([name]) => name)

function checkAction({ action, args }: RunRequest): void {
  const known = builtinActions[action]
  if (known === undefined || !hostActions.includes(action))
    throw new ErrandError(
      'bad_request',
      known === undefined
        ? `The action "${action}" is not known here.`
        : `The action "${action}" is not carried out by a host agent.`,
      { hint: `This host agent carries out: ${hostActions.join(', ')}.` },
    )
  const read = readInWords(known.args, args, 'args')
  if (read.wrong === undefined) return
  throw new ErrandError('invalid_argument', `The args of ${action} are wrong: ${read.wrong}.`, {
    details: read.details,
    hint: read.hint ?? 'See docs/workflows.md for what each action takes.',
  })
}
