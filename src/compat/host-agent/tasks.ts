import type * as z from 'zod'
import { DEFAULT_MAX_OUTPUT_BYTES } from '../../contract/actions.ts'
import type { StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Attempts, HeldAttempt } from '../../runner/ports.ts'
import { attemptIdOf, fromOldTask, isOldTask, oldAnswer, taskSpec } from './task-spec.ts'
import { listed, type Part, runState, taskAnswer, taskStatus } from './task-state.ts'
import {
  CancelQuery,
  MAX_RUN_BYTES,
  MAX_STATUS_BYTES,
  RunQuery,
  RunRequest,
  readInWords,
  StatusQuery,
  TasksQuery,
} from './wire.ts'

export interface Reply {
  status: number
  body: unknown
}

/** A request with a valid token. `gone` is aborted when its sender is gone or the server closes. */
export interface HostRequest {
  query: Record<string, string>
  body: () => Promise<unknown>
  gone: AbortSignal
}

export interface TasksOptions {
  attempts: Attempts
  retention: TaskRetention
  asyncAfterMs: number
  cancelGraceMs: number
}

/** Requests over HTTP have one epoch: a host agent gets an attempt only once. */
const EPOCH = 1
const RUN_HINT = 'Example: {"action": "cmd.run", "args": {"cmd": "echo hello"}}.'
/** Most milliseconds that an answer of `/status` is held back. */
const MAX_WAIT_MS = 30_000

/** Handles a host agent's routes. */
export class Tasks {
  readonly #options: TasksOptions
  /** The position up to which clients without offsets have read. */
  readonly #cursors = new WeakMap<HeldAttempt, Record<StreamName, number>>()

  constructor(options: TasksOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#options.attempts.all().filter((attempt) => !attempt.ended).length
  }

  async run(requested: HostRequest): Promise<Reply> {
    const { attempts, retention, asyncAfterMs } = this.#options
    const query = parse(RunQuery, requested.query, 'query', 'Example: /run?wait_ms=1000.')
    const body = await requested.body()
    const old = isOldTask(body) ? fromOldTask(body) : undefined
    const request = old?.request ?? parse(RunRequest, body, 'body', RUN_HINT)
    const spec = taskSpec(request)
    const attempt = await attempts.start(spec, EPOCH, request.secret_values)
    if (attempt.spec.request_id !== spec.request_id)
      throw new ErrandError('conflict', `This host already has another attempt ${spec.attempt_id}.`, {
        hint: 'A run with the same id was dispatched to it before. Use another run id.',
      })
    retention.watch(attempt)
    const waitMs = Math.min(query.wait_ms ?? asyncAfterMs, asyncAfterMs)
    await waitForChange(attempt, () => attempt.ended, waitMs, requested.gone)
    const taskId = old?.taskId ?? spec.attempt_id
    const answer = await taskAnswer(taskId, attempt, {
      offsets: { stdout: 0, stderr: 0 },
      maxBytes: attempt.ended ? shownBytes(attempt) : 0,
      encoding: old ? 'text' : query.encoding,
      reportsFrom: query.reports_from,
    })
    if (old) return { status: 200, body: oldAnswer(answer) }
    if (answer.status !== 'running') return { status: 200, body: answer }
    return { status: 202, body: { task_id: taskId, run_id: spec.run_id, status: 'running' } }
  }

  async status(request: HostRequest): Promise<Reply> {
    const query = parse(StatusQuery, request.query, 'query', 'Example: /status?task_id=ID&stdout_offset=0.')
    const attempt = this.#find(query.task_id)
    const cursor = this.#cursors.get(attempt) ?? { stdout: 0, stderr: 0 }
    const offsets = {
      stdout: query.stdout_offset ?? cursor.stdout,
      stderr: query.stderr_offset ?? cursor.stderr,
    }
    const reports = query.reports_from ?? attempt.reports.length
    const isNew = () =>
      attempt.ended ||
      attempt.reports.length > reports ||
      attempt.length('stdout') > offsets.stdout ||
      attempt.length('stderr') > offsets.stderr
    await waitForChange(attempt, isNew, Math.min(query.wait_ms, MAX_WAIT_MS), request.gone)
    const part: Part = {
      offsets,
      maxBytes: MAX_STATUS_BYTES,
      encoding: query.encoding,
      reportsFrom: query.reports_from,
    }
    const answer = await taskAnswer(query.task_id, attempt, part)
    this.#cursors.set(attempt, {
      stdout: query.stdout_offset === undefined ? answer.stdout_offset : cursor.stdout,
      stderr: query.stderr_offset === undefined ? answer.stderr_offset : cursor.stderr,
    })
    return { status: 200, body: answer }
  }

  /**
   * Answers `POST /status`, as the old dispatcher uses it: the client finds the new part itself, in all output so far.
   */
  async oldStatus(request: HostRequest): Promise<Reply> {
    const taskId = await this.#taskIdOf(request)
    const attempt = this.#find(taskId)
    const part: Part = { offsets: { stdout: 0, stderr: 0 }, maxBytes: shownBytes(attempt), encoding: 'text' }
    return { status: 200, body: oldAnswer(await taskAnswer(taskId, attempt, part)) }
  }

  async cancel(request: HostRequest): Promise<Reply> {
    const query = parse(
      CancelQuery,
      { ...request.query, task_id: await this.#taskIdOf(request) },
      'query',
      'Example: /cancel?task_id=ID.',
    )
    const attempt = this.#find(query.task_id)
    if (attempt.ended)
      throw new ErrandError(
        'conflict',
        `The task ${query.task_id} has already ended: ${taskStatus(attempt)}.`,
        { hint: 'There is nothing to cancel; get its result with GET /status.' },
      )
    attempt.cancel(query.grace_ms ?? this.#options.cancelGraceMs, query.reason)
    return {
      status: 202,
      body: { task_id: query.task_id, run_id: attempt.spec.run_id, status: taskStatus(attempt) },
    }
  }

  /** Lists the tasks, oldest first. */
  async list(request: HostRequest): Promise<Reply> {
    const { run_id, status } = parse(TasksQuery, request.query, 'query', 'Example: /tasks?status=running.')
    const tasks = this.#options.attempts
      .all()
      .map(listed)
      .filter((task) => (run_id ?? task.run_id) === task.run_id && (status ?? task.status) === task.status)
    return { status: 200, body: { tasks } }
  }

  async runStatus(request: HostRequest): Promise<Reply> {
    const runId = request.query.run_id ?? ''
    if (runId === '')
      throw new ErrandError('bad_request', 'run_id is missing.', { hint: 'Use GET /run-status?run_id=…' })
    const state = runState(runId, this.#options.attempts.all())
    if (state === undefined)
      throw new ErrandError('run_not_found', `Run "${runId}" not found on this host agent.`, {
        hint: 'A host agent knows a run from its first step until an hour after its last step has ended.',
      })
    return { status: 200, body: state }
  }

  async #taskIdOf(request: HostRequest): Promise<string> {
    if (request.query.task_id) return request.query.task_id
    const body = (await request.body()) as { task_id?: unknown } | null
    if (typeof body?.task_id === 'string' && body.task_id !== '') return body.task_id
    throw new ErrandError('bad_request', 'task_id is missing.', { hint: 'Add ?task_id=… to the URL.' })
  }

  #find(taskId: string): HeldAttempt {
    const attempt = this.#options.attempts.get(attemptIdOf(taskId))
    if (attempt) return attempt
    throw new ErrandError('not_found', `Task "${taskId}" not found on this host agent.`, {
      hint: 'Ended tasks are kept for an hour.',
    })
  }
}

function shownBytes(attempt: HeldAttempt): number {
  const limit = attempt.spec.args.max_output_bytes
  return Math.min(typeof limit === 'number' ? limit : DEFAULT_MAX_OUTPUT_BYTES, MAX_RUN_BYTES)
}

function parse<S extends z.ZodType>(schema: S, value: unknown, what: string, hint: string): z.infer<S> {
  const read = readInWords(schema, value, `the ${what}`)
  if (read.wrong === undefined) return read.data
  throw new ErrandError('bad_request', `The ${what} of the request is not valid: ${read.wrong}.`, {
    hint: read.hint ?? hint,
    details: read.details,
  })
}

interface RetentionLimits {
  /** Milliseconds for which an ended task can still be requested. */
  keepEndedMs: number
  /** Most ended tasks that can be requested. */
  keepEnded: number
  /** Minimum milliseconds, whatever their number: the client must have time to read the result. */
  keepAtLeastMs: number
}

/** Releases ended tasks, the oldest first, and with the last one of a run its workspace. */
export class TaskRetention {
  readonly #attempts: Attempts
  readonly #limits: RetentionLimits
  readonly #log: (line: string) => void
  /** The end of each task, oldest first. */
  readonly #ended = new Map<string, number>()
  readonly #watched = new Map<string, () => void>()
  #timer: NodeJS.Timeout | undefined

  constructor(attempts: Attempts, limits: RetentionLimits, log: (line: string) => void) {
    this.#attempts = attempts
    this.#limits = limits
    this.#log = log
  }

  start(): void {
    const everyMs = Math.min(60_000, Math.max(10, this.#limits.keepEndedMs / 4))
    this.#timer ??= setInterval(() => this.#sweep(), everyMs).unref()
  }

  /** Adds the attempt. Idempotent. */
  watch(attempt: HeldAttempt): void {
    const id = attempt.spec.attempt_id
    if (this.#watched.has(id) || this.#ended.has(id)) return
    if (attempt.ended) {
      this.#note(id)
      return
    }
    const stop = attempt.onChange(() => {
      if (!attempt.ended) return
      stop()
      this.#watched.delete(id)
      this.#note(id)
    })
    this.#watched.set(id, stop)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const stop of this.#watched.values()) stop()
    this.#watched.clear()
  }

  #note(id: string): void {
    this.#ended.set(id, Date.now())
    if (this.#ended.size > this.#limits.keepEnded) this.#sweep()
  }

  #sweep(): void {
    const now = Date.now()
    for (const [id, at] of this.#ended) {
      const age = now - at
      const due =
        age >= this.#limits.keepEndedMs ||
        (this.#ended.size > this.#limits.keepEnded && age >= this.#limits.keepAtLeastMs)
      if (!due) return
      this.#ended.delete(id)
      this.#release(id).catch((error) => this.#log(`could not delete the ended task ${id}: ${error.message}`))
    }
  }

  async #release(id: string): Promise<void> {
    const attempt = this.#attempts.get(id)
    if (attempt === undefined) return
    await attempt.release()
    const runId = attempt.spec.run_id
    if (!this.#attempts.all().some((other) => other.spec.run_id === runId))
      await this.#attempts.forgetRun(runId)
  }
}

/** Resolves once `ready` is true, the time has passed or the signal is aborted. Never rejects. */
function waitForChange(
  attempt: HeldAttempt,
  ready: () => boolean,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (ready() || timeoutMs <= 0 || signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      stop()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, timeoutMs)
    const stop = attempt.onChange(() => {
      if (ready()) done()
    })
    signal.addEventListener('abort', done)
  })
}
