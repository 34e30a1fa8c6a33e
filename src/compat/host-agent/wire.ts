import * as z from 'zod'
import { AttemptEnd, AttemptReport, StreamName } from '../../contract/attempt.ts'
import { RunId } from '../../contract/ids.ts'
import { Isolation, Network } from '../../contract/isolation.ts'
import { SecretUse } from '../../contract/step-secrets.ts'
import { OutputSource, Scalar, StepArgs, VarName } from '../../contract/workflow.ts'
import {
  type Finding,
  findingsOf,
  MOST_FAULTS,
  safeParse,
  unknownKey,
} from '../../engine/workflow-file/issue-messages.ts'
import { cutShort } from '../../engine/workflow-file/problems.ts'

/** The requests to a host agent, and its answers. */

/** `POST /run`. Only `action` is required; missing ids are generated. */
export const RunRequest = z.object({
  run_id: z.optional(RunId),
  attempt_id: z
    .string()
    .min(1)
    .max(300)
    .optional()
    .describe('Sending the same id twice creates only one task'),
  request_id: z.string().max(100).optional().describe('Distinguishes two requests with the same attempt_id'),
  workflow_name: z.string().default('task'),
  step: z.string().min(1).optional(),
  host: z.string().min(1).default('local'),
  instance: z.number().int().min(0).default(0),
  try: z.number().int().min(1).default(1),
  action: z.string().min(1),
  args: z._default(StepArgs, {}),
  env: z.record(VarName, Scalar).default({}),
  outputs: z.record(VarName, OutputSource).optional(),
  secrets: z.record(VarName, SecretUse).optional(),
  secret_values: z
    .record(VarName, z.string())
    .optional()
    .describe('Secrets that are not mounted, by variable'),
  timeout_seconds: z.number().positive().max(31_536_000).optional(),
  isolation: z.optional(Isolation).describe('Host agents do not make boxes: anything but `none` is refused'),
  network: z.optional(Network).describe('Likewise, anything but `all` is refused'),
})
export type RunRequest = z.infer<typeof RunRequest>

const count = z.coerce.number().int().min(0)
const Encoding = z.enum(['text', 'base64'])

/** Query of `POST /run`. */
export const RunQuery = z.object({
  encoding: Encoding.default('text'),
  wait_ms: count.optional().describe("How long to wait for the end, at most the agent's own limit"),
  reports_from: count.optional(),
})

/** Query of `GET /status`. */
export const StatusQuery = z.object({
  task_id: z.string().min(1),
  stdout_offset: count.optional().describe('Byte to start from; default: where the last answer ended'),
  stderr_offset: count.optional(),
  encoding: Encoding.default('text'),
  wait_ms: count.default(0).describe('Answer only once there is something new, or after this time'),
  reports_from: count.optional().describe('Also return the reports from this number on, starting at 0'),
})

/** Query of `POST /cancel`. */
export const CancelQuery = z.object({
  task_id: z.string().min(1),
  grace_ms: count.max(600_000).optional(),
  reason: z.string().max(100).default('canceled'),
})

export const TaskStatus = z.enum(['running', 'success', 'failed', 'canceled', 'interrupted'])
export type TaskStatus = z.infer<typeof TaskStatus>

/** Query of `GET /tasks`. */
export const TasksQuery = z.object({ run_id: z.string().min(1).optional(), status: TaskStatus.optional() })

/** A task without its output, as `GET /tasks` and `GET /run-status` list it. */
export const ListedTask = z.object({
  task_id: z.string(),
  run_id: z.string(),
  workflow_name: z.string(),
  step: z.string(),
  host: z.string(),
  try: z.number(),
  status: TaskStatus,
  message: z.string().optional(),
  started_at: z.string().optional(),
})
export type ListedTask = z.infer<typeof ListedTask>
export const TaskList = z.object({ tasks: z.array(ListedTask) })

const length = z.number().int().min(0)

/** A task with a part of its output. `…_offset` is where the next part begins, `…_length` the present length. */
export const TaskAnswer = AttemptEnd.omit({ type: true, outcome: true }).extend({
  task_id: z.string(),
  run_id: z.string(),
  status: TaskStatus,
  stdout: z.string().optional(),
  stderr: z.string().optional(),
  stdout_base64: z.string().optional(),
  stderr_base64: z.string().optional(),
  stdout_offset: length,
  stderr_offset: length,
  stdout_length: length,
  stderr_length: length,
  order: z
    .array(z.object({ stream: StreamName, length, unordered: z.literal(true).optional() }))
    .optional()
    .describe('The order of the bytes of both streams; `unordered`: the order of these bytes is unknown'),
  reports: z.array(AttemptReport).optional(),
})
export type TaskAnswer = z.infer<typeof TaskAnswer>

/** Most bytes of a stream in one answer of `/status`. */
export const MAX_STATUS_BYTES = 256 * 1024
/** Most bytes of a stream in the answer of `/run`, whatever `max_output_bytes` says. */
export const MAX_RUN_BYTES = 8 * 1024 * 1024
export const MAX_BODY_BYTES = 8 * 1024 * 1024

/** A mistake, as a hub's API reports it in `details`. */
interface ReportedMistake {
  field: string
  message: string
  hint?: string
}

type Read<T> = { data: T; wrong?: undefined } | { wrong: string; hint?: string; details: ReportedMistake[] }

/**
 * Parses a value by its schema. `wrong`: its mistakes in words, each beginning with its field, or with `whole`; `hint`:
 * what to write for the first that has one.
 */
export function readInWords<S extends z.core.$ZodType>(
  schema: S,
  value: unknown,
  whole: string,
): Read<z.output<S>> {
  const parsed = safeParse(schema, value)
  if (parsed.success) return { data: parsed.data }
  const findings = findingsOf(parsed.error.issues, schema, value).slice(0, MOST_FAULTS)
  const details = findings.map((finding) => mistakeOf(finding, whole))
  return {
    wrong: details.map(({ field, message }) => `${field} ${message}`).join('; '),
    hint: details.find(({ hint }) => hint !== undefined)?.hint,
    details,
  }
}

const mistakeOf = ({ path, says, hint }: Finding, whole: string): ReportedMistake => ({
  field: path.length === 0 ? whole : cutShort(path.join('.')),
  message: says === unknownKey ? 'is an unknown field' : cutShort(says),
  hint: typeof hint === 'function' ? hint() : hint,
})
