import type { AttemptEnd, StreamName } from '../../contract/attempt.ts'
import type { HeldAttempt } from '../../runner/ports.ts'
import type { ListedTask, TaskAnswer, TaskStatus } from './wire.ts'

/** Most entries of the order in an answer. */
const MOST_PARTS = 1_000

export interface Part {
  offsets: Record<StreamName, number>
  maxBytes: number
  encoding: 'text' | 'base64'
  reportsFrom?: number
}

const endOf = (attempt: HeldAttempt): AttemptEnd | undefined => {
  const last = attempt.reports.at(-1)
  return last?.type === 'ended' ? last : undefined
}

export const taskStatus = (attempt: HeldAttempt): TaskStatus => endOf(attempt)?.outcome ?? 'running'

/** Returns the present state of the task, with the requested part of its output. */
export async function taskAnswer(taskId: string, attempt: HeldAttempt, part: Part): Promise<TaskAnswer> {
  // Before the lengths: they are final only once it has ended.
  const end = endOf(attempt)
  const reports = part.reportsFrom === undefined ? undefined : attempt.reports.slice(part.reportsFrom)
  // Bytes that are not cut at characters come in the order of both streams, and neither gets ahead.
  const order = part.encoding === 'base64' ? orderOf(attempt, part) : undefined
  const stdout = await readPart(attempt, 'stdout', part, end !== undefined, order)
  const stderr = await readPart(attempt, 'stderr', part, end !== undefined, order)
  const { type: _type, outcome: _outcome, ...ended } = end ?? { type: 'ended', outcome: 'running' }
  return {
    task_id: taskId,
    run_id: attempt.spec.run_id,
    status: end?.outcome ?? 'running',
    ...ended,
    ...(part.encoding === 'base64'
      ? { stdout_base64: stdout.bytes.toString('base64'), stderr_base64: stderr.bytes.toString('base64') }
      : { stdout: stdout.bytes.toString('utf8'), stderr: stderr.bytes.toString('utf8') }),
    stdout_offset: stdout.next,
    stderr_offset: stderr.next,
    stdout_length: stdout.length,
    stderr_length: stderr.length,
    order,
    reports,
  }
}

type Order = NonNullable<TaskAnswer['order']>

/** Returns the next parts, until there are no more, or one stream exceeds what an answer may bring. */
function orderOf(attempt: HeldAttempt, { offsets, maxBytes }: Part): Order {
  const order: Order = []
  const known = { ...offsets }
  for (let next = attempt.next(known); next; next = attempt.next(known)) {
    const { stream, unordered } = next
    const length = Math.min(next.length, offsets[stream] + maxBytes - known[stream])
    if (length > 0) order.push({ stream, length, ...(unordered && { unordered }) })
    known[stream] += length
    if (length < next.length || order.length >= MOST_PARTS) break
  }
  return order
}

async function readPart(attempt: HeldAttempt, stream: StreamName, part: Part, ended: boolean, order?: Order) {
  const length = attempt.length(stream)
  const offset = part.offsets[stream]
  const ordered = order?.reduce((sum, each) => sum + (each.stream === stream ? each.length : 0), 0)
  const max = Math.min(ordered ?? part.maxBytes, length - offset)
  let bytes: Buffer = max > 0 ? await attempt.read(stream, offset, max) : Buffer.alloc(0)
  // An incomplete character comes with the next part, unless there is none.
  if (part.encoding === 'text' && !(ended && offset + bytes.length >= length)) bytes = wholeCharacters(bytes)
  return { bytes, length, next: offset + bytes.length }
}

/** Removes the first bytes of an incomplete UTF-8 character at the end. */
function wholeCharacters(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) return bytes
    if (byte < 0xc0) continue
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return needed > back ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}

interface HostState {
  host: string
  status: TaskStatus
  message?: string
  started_at?: string
}

interface RunState {
  run_id: string
  workflow_name: string
  status: TaskStatus
  message?: string
  steps: { name: string; status: TaskStatus; hosts: Record<string, HostState> }[]
  tasks: ListedTask[]
}

/** The run gets the first of these that some task has. */
const order: readonly TaskStatus[] = ['running', 'failed', 'interrupted', 'canceled', 'success']
const worst = (statuses: readonly TaskStatus[]): TaskStatus =>
  order.find((status) => statuses.includes(status)) ?? 'success'

/** Returns what this agent knows of a run: the tasks it was given. Only the last of several tries counts. */
export function runState(runId: string, attempts: readonly HeldAttempt[]): RunState | undefined {
  const mine = attempts.filter((attempt) => attempt.spec.run_id === runId)
  if (mine.length === 0) return undefined
  const last = new Map<string, HeldAttempt>()
  for (const attempt of mine) {
    const { step, host, instance } = attempt.spec
    const key = JSON.stringify([step, host, instance])
    const other = last.get(key)
    if (other === undefined || other.spec.try <= attempt.spec.try) last.set(key, attempt)
  }
  const counted = [...last.values()]
  const names = [...new Set(counted.map((attempt) => attempt.spec.step))]
  const status = worst(counted.map(taskStatus))
  const cause = counted.find((attempt) => taskStatus(attempt) === status)
  return {
    run_id: runId,
    workflow_name: mine[0]!.spec.workflow_name,
    status,
    message: cause && endOf(cause)?.message,
    steps: names.map((name) => stepState(name, counted)),
    tasks: mine.map(listed),
  }
}

/** Returns the task without its output. */
export function listed(attempt: HeldAttempt): ListedTask {
  const { attempt_id, run_id, workflow_name, step, host, try: number } = attempt.spec
  return {
    task_id: attempt_id,
    run_id,
    workflow_name,
    step,
    host,
    try: number,
    status: taskStatus(attempt),
    message: endOf(attempt)?.message,
    started_at: startOf(attempt),
  }
}

const startOf = ({ reports }: HeldAttempt): string | undefined =>
  reports.find((report) => report.type === 'started')?.time

function stepState(name: string, attempts: readonly HeldAttempt[]): RunState['steps'][number] {
  const mine = attempts.filter((attempt) => attempt.spec.step === name)
  const hosts: Record<string, HostState> = {}
  for (const attempt of mine) {
    const host = attempt.spec.host
    const status = worst([taskStatus(attempt), ...(hosts[host] === undefined ? [] : [hosts[host].status])])
    hosts[host] = { host, status, message: endOf(attempt)?.message, started_at: startOf(attempt) }
  }
  return { name, status: worst(mine.map(taskStatus)), hosts }
}
