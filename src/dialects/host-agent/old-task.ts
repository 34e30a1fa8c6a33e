import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { Scalar } from '../../contract/workflow.ts'
import { readInWords } from './in-words.ts'
import { RunRequest, type TaskAnswer } from './schema.ts'
import { attemptIdOf } from './task-id.ts'

/**
 * The envelope of the workflow runner's own dispatcher: `{"task": {"ID", "RunID", "Step", "Host", "Vars"}}` in,
 * `{"result": {"task_id", "status", "output", "error"}, "run_id", "error"}` out. Its keys may be in any case.
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

/** The request that an old task stands for, and the id its sender knows it by. Throws `bad_request`. */
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
  throw new ErrandError('bad_request', `The task is wrong: ${read.wrong}.`, {
    hint: 'A task has the step with its action and args: {"task": {"step": {"action": "cmd.run", "args": {"cmd": "..."}}}}',
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

/** "90s", "1m30s", "2h"; none where it is empty. */
function seconds(duration: string | null | undefined): number | undefined {
  if (!duration) return undefined
  const parts = [...duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  if (parts.map(([whole]) => whole).join('') !== duration)
    throw new ErrandError('bad_request', `The timeout "${duration}" is no duration.`, {
      hint: 'Write "90s" or "1m30s".',
    })
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitSeconds[unit!]!, 0)
}
