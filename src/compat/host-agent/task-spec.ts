import { createHash, randomInt } from 'node:crypto'
import * as z from 'zod'
import { builtinActions } from '../../contract/actions.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { attemptId, newRunId, splitAttemptId } from '../../contract/ids.ts'
import { boxFor } from '../../contract/isolation.ts'
import { Scalar } from '../../contract/workflow.ts'
import { RunRequest, readInWords, type TaskAnswer } from './wire.ts'

/** Returns the spec for a request. Throws `bad_request` or `invalid_argument` when the request is invalid. */
export function taskSpec(request: RunRequest): AttemptSpec {
  checkAction(request)
  checkBox(request)
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

/** Names of the actions that a host agent runs: it has no coding agents, and no containers. */
export const hostActions: readonly string[] = Object.entries(builtinActions)
  .filter(([, { place, inputs, containers }]) => place === 'host' && !inputs && !containers)
  .map(([name]) => name)

function checkAction({ action, args }: RunRequest): void {
  const known = builtinActions[action]
  if (known === undefined || !hostActions.includes(action))
    throw new ErrandError(
      'bad_request',
      known === undefined ? `Unknown action "${action}".` : `Host agents do not run the action "${action}".`,
      { hint: `This host agent runs: ${hostActions.join(', ')}.` },
    )
  const read = readInWords(known.args, args, 'args')
  if (read.wrong === undefined) return
  throw new ErrandError('invalid_argument', `The args of ${action} are not valid: ${read.wrong}.`, {
    details: read.details,
    hint: read.hint ?? 'See docs/workflows.md for what each action takes.',
  })
}

function checkBox({ isolation, network }: RunRequest): void {
  const box = boxFor(isolation, network) ?? 'none'
  if (box === 'none') return
  throw new ErrandError(
    'invalid_argument',
    `The task asks for a ${box}, but host agents do not make boxes.`,
    {
      hint: 'Run it on a runner of a hub, or remove isolation and network.',
    },
  )
}

const attemptPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.[1-9][0-9]{0,14}$/
const runPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/

/**
 * Returns the attempt id for a client's task id. Old clients choose their own (`task-1733…`, any text). The result
 * depends only on the text, so that it is found again after a restart.
 */
export function attemptIdOf(taskId: string): string {
  if (attemptPattern.test(taskId)) return taskId
  if (runPattern.test(taskId)) return attemptId(taskId, 1)
  const hash = createHash('sha256').update(taskId).digest('hex').slice(0, 16)
  return attemptId(`task-${taskId.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, 70)}-${hash}`, 1)
}

/** Adds missing ids to a request. */
function requestIds(ids: { attempt_id?: string; run_id?: string }): {
  attempt_id: string
  run_id: string
} {
  if (ids.attempt_id !== undefined) {
    const id = attemptIdOf(ids.attempt_id)
    return { attempt_id: id, run_id: ids.run_id ?? splitAttemptId(id).runId }
  }
  const run = ids.run_id ?? newRunId()
  return { attempt_id: attemptId(run, randomInt(1, 2 ** 47)), run_id: run }
}

/**
 * Recognizes the envelope of the workflow runner's own dispatcher: `{"task": {"ID", "RunID", "Step", "Host", "Vars"}}`
 * in, `{"result": {"task_id", "status", "output", "error"}, "run_id", "error"}` out. Its keys may be in any case.
 */
export const isOldTask = (body: unknown): body is { task: unknown } =>
  typeof body === 'object' && body !== null && 'task' in body

const text = z.string().nullish()
const anything = z.record(z.string(), z.unknown()).nullish()
const OldTask = z.object({
  id: text,
  runid: text,
  step: z.object({ name: text, action: z.string().min(1), args: anything, with: anything, timeout: text }),
  host: z.object({ name: text }).nullish(),
  vars: anything,
})

/** Converts an old task to a request, with the id by which its sender knows it. Throws `bad_request`. */
export function fromOldTask(body: { task: unknown }): { request: RunRequest; taskId?: string } {
  const { id, runid, step, host, vars } = read(OldTask, lowerKeys(body.task, lowerKeys))
  const { env: argsEnv, dir, ...args } = step.args ?? step.with ?? {}
  if (dir !== undefined) args.cwd = dir
  if (typeof args.export_vars === 'string')
    args.export_vars = /^(1|true|yes|on)$/i.test(args.export_vars.trim())
  if (typeof args.max_output_bytes === 'string') args.max_output_bytes = Number(args.max_output_bytes)
  const request = read(RunRequest, {
    attempt_id: id ? attemptIdOf(id) : undefined,
    run_id: runid || undefined,
    step: step.name || undefined,
    host: host?.name || undefined,
    action: step.action,
    args,
    env: { ...variables(vars?.env), ...variables(argsEnv) },
    timeout_seconds: seconds(step.timeout),
  })
  return { request, taskId: id || undefined }
}

function read<S extends z.ZodType>(schema: S, value: unknown): z.infer<S> {
  const read = readInWords(schema, value, 'it')
  if (read.wrong === undefined) return read.data
  throw new ErrandError('bad_request', `The task is not valid: ${read.wrong}.`, {
    hint: 'A task contains a step with its action and args: {"task": {"step": {"action": "cmd.run", "args": {"cmd": "..."}}}}',
  })
}

export function oldAnswer(answer: TaskAnswer): unknown {
  const error =
    answer.status === 'running' || answer.status === 'success' ? undefined : (answer.message ?? answer.status)
  const vars = answer.exports
  return {
    result: {
      task_id: answer.task_id,
      status: answer.status,
      output: {
        stdout: answer.stdout ?? '',
        stderr: answer.stderr ?? '',
        ...(vars === undefined ? {} : { vars }),
      },
      error,
    },
    run_id: answer.run_id,
    error,
  }
}

function lowerKeys(value: unknown, inner = (held: unknown) => held): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, held]) => [key.toLowerCase(), inner(held)]))
}

function variables(value: unknown): Record<string, string | number | boolean> {
  return z.record(z.string(), Scalar).catch({}).parse(value)
}

const unitSeconds: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600 }

/** Parses "90s", "1m30s", "2h" to seconds; undefined when it is empty. */
function seconds(duration: string | null | undefined): number | undefined {
  if (!duration) return undefined
  const parts = [...duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  if (parts.map(([whole]) => whole).join('') !== duration)
    throw new ErrandError('bad_request', `The timeout "${duration}" is not a valid duration.`, {
      hint: 'Write "90s" or "1m30s".',
    })
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitSeconds[unit!]!, 0)
}
