import { hash } from 'node:crypto'
import { taskOfRun } from '../../blueprints/task.ts'
import { TaskRegistryClient, type TaskRegistryOptions } from '../../compat/task-registry.ts'
import type { Approvers } from '../../contract/approvers.ts'
import { ErrandError } from '../../contract/errors.ts'
import { newTaskId } from '../../contract/ids.ts'
import type { RunRecord } from '../../contract/run.ts'
import { MAX_EVENT_BYTES, MAX_TASK_EVENTS } from '../../contract/tasks/services.ts'
import { isFinalTask, Task, type TaskState, taskState, taskStateWords } from '../../contract/tasks/task.ts'
import type { CreateTasks, TaskDeleted } from '../../contract/tasks/task-api.ts'
import type { NewTaskEvent, TaskEvent, TaskStage } from '../../contract/tasks/task-log.ts'
import type { TaskRecord } from '../../contract/tasks/task-record.ts'
import type { EngineFace } from '../../engine/api.ts'
import { isBefore, openTry, type TaskFold } from '../../engine/tasks/evolve-task.ts'
import { isFollowed } from '../../engine/tasks/following.ts'
import { readTaskRef } from '../../engine/tasks/task-graph.ts'
import { mayMove } from '../../engine/tasks/task-moves.ts'
import { type TaskPage, type TaskQuery, type TaskStore, taskNotFound } from '../../stores/tasks/task-store.ts'
import { maySeeTask, type NewTasks, opensPull, planTasks, type Requester } from './new-tasks.ts'
import { RegistryOutbox, type RegistryOutboxOptions } from './registry-outbox.ts'
import { ReviewWatch, type ReviewWatchOptions } from './review-watch.ts'
import { TaskConductor, type TaskConductorOptions } from './task-conductor.ts'
import { type LoadedTask, TaskLogs } from './task-logs.ts'

export interface TasksOptions extends Omit<TaskConductorOptions, 'logs' | 'engine'> {
  store: TaskStore
  engine: TaskConductorOptions['engine'] & Pick<EngineFace, 'view' | 'answer' | 'input'>
  /** True if an unknown task that another system reports is created. */
  createUnknown?: boolean
  /** Makes tasks of issues; absent if that is not possible. */
  issueTask?: (
    user: { tenant: string; owner: string },
    url: string,
    defaults: NonNullable<CreateTasks['defaults']>,
  ) => Promise<Task>
  /** Called after each commit to the log of a task. */
  changed?: (id: string) => void
  /** Watches pull requests until they are merged or closed; absent if nobody does. */
  review?: Pick<ReviewWatchOptions, 'forgeOf' | 'pollMs'>
  /** An external task registry that all tasks are reported to. */
  registry?: TaskRegistryOptions
  /** Notes which calls to the registry worked and which failed. */
  outside?: RegistryOutboxOptions['outside']
}

/** A task that a request names. */
interface Named {
  by: Requester
  /** Names it by `task_…`, by `spec/id`, or by an id that only one task has. */
  ref: string
}

/** Rules on who may answer the questions of a run, the same as for approvals of any run. */
interface AnswerRules {
  /** Reports whether the run names this person as able to answer. The task may then be somebody else's. */
  isNamed: (run: RunRecord) => boolean
  /** Throws if this person may not answer. */
  check: (approvers: Approvers | undefined, run: RunRecord) => void
}

/** Milliseconds within which events with the same content count as one. */
const SAME_EVENT_MS = 60_000

/** The tasks of a hub, as its API uses them. Each call is made by somebody, and does not show them others' tasks. */
export class Tasks {
  readonly #options: TasksOptions
  readonly #logs: TaskLogs
  readonly #conductor: TaskConductor
  #outbox: RegistryOutbox | undefined
  #review: ReviewWatch | undefined

  constructor(options: TasksOptions) {
    this.#options = options
    this.#logs = new TaskLogs(options.store, {
      now: options.now,
      changed: (id) => {
        this.#changed()
        options.changed?.(id)
      },
    })
    this.#conductor = new TaskConductor({ ...options, logs: this.#logs })
  }

  /** Continues open tasks. Call it after the engine has resumed its runs. */
  async resume(): Promise<void> {
    await this.#logs.restore()
    const { store, registry, review, outside, log } = this.#options
    if (registry !== undefined)
      this.#outbox = new RegistryOutbox({ store, registry: new TaskRegistryClient(registry), outside, log })
    this.#conductor.resume()
    if (review === undefined) return
    const changed = () => this.#conductor.look()
    this.#review = new ReviewWatch({ ...review, logs: this.#logs, changed, now: this.#options.now, log })
    this.#review.look()
  }

  #changed(): void {
    this.#outbox?.look()
    this.#review?.look()
  }

  /** Stops; tasks and their runs stay open. May be called twice. */
  async close(): Promise<void> {
    await this.#review?.close()
    await this.#outbox?.close()
    await this.#conductor.close()
    await this.#logs.close()
  }

  /**
   * Stores all tasks or none. A task that is stored already with the same content is returned as it is. Throws
   * `task_invalid` with every fault, and `task_exists`.
   */
  async create(
    by: Requester,
    input: Omit<NewTasks, 'now'>,
  ): Promise<{ tasks: TaskRecord[]; fresh: boolean }> {
    const { store, now = Date.now } = this.#options
    for (let again = true; ; again = false) {
      const planned = await planTasks(store, by, { ...input, now: now() })
      const fresh = planned.filter(({ there }) => there === undefined).map(({ spec }) => spec)
      try {
        if (fresh.length > 0) await this.#logs.create(fresh, by.owner)
      } catch (error) {
        // Another request was faster, perhaps with the same tasks.
        if (again && error instanceof ErrandError && error.code === 'task_exists') continue
        throw error
      }
      if (fresh.length > 0) this.#conductor.look()
      const tasks = await Promise.all(planned.map(async ({ spec }) => (await store.get(spec.id))!))
      return { tasks, fresh: fresh.length > 0 }
    }
  }

  /**
   * Same as `create`, for the issue at an address. A repeat returns the existing task. Also throws as `issueIntake`
   * does.
   */
  async createOfIssue(
    by: Requester,
    { issue, defaults = {} }: Pick<CreateTasks, 'defaults'> & { issue: string },
  ): Promise<{ tasks: TaskRecord[]; fresh: boolean }> {
    const { issueTask } = this.#options
    if (issueTask === undefined) throw new ErrandError('internal', 'This hub does not read issues.')
    const task = await issueTask(by, issue, defaults)
    return await this.create(by, { tasks: [task], field: 'body.task' })
  }

  /**
   * Removes a task that is over, and before it the runs of its tries with `removeRun`. Throws `task_running`, and
   * `conflict` if another task depends on it.
   */
  async remove(named: Named, removeRun: (runId: string) => Promise<readonly string[]>): Promise<TaskDeleted> {
    const { id } = await this.#record(named)
    const runs: string[] = []
    await this.#logs.remove(id, async ({ fold }) => {
      for (const { run_id } of fold.tries) runs.push(...(await removeRun(run_id)))
    })
    return { deleted: id, runs }
  }

  /** Removes tasks that have been over since before that time, with their logs. Returns how many. */
  removeOver(before: string): Promise<number> {
    return this.#logs.removeOver(before)
  }

  /** Reports whether a run is a try of a task that still exists. */
  async holds(run: Pick<RunRecord, 'blueprint' | 'workflow'>): Promise<boolean> {
    const id = taskOfRun(run)
    return id !== undefined && (await this.#options.store.get(id)) !== undefined
  }

  list(query: TaskQuery): Promise<TaskPage> {
    return this.#options.store.list(query)
  }

  /** Returns a task. Throws `task_not_found`, and `conflict` for an id that several specs have. */
  async get(named: Named): Promise<TaskRecord & LoadedTask> {
    const record = await this.#record(named)
    return { ...record, ...(await this.#logs.get(record.id)) }
  }

  /** Returns the dependencies with their states and their names in messages. */
  async dependencies({ spec }: LoadedTask): Promise<{ id: string; task_id: string; state: TaskState }[]> {
    const found = await Promise.all(spec.depends_on.map((id) => this.#options.store.get(id)))
    return found.flatMap((record) =>
      record === undefined ? [] : [{ id: record.id, task_id: record.own_id, state: record.state }],
    )
  }

  /** Same as `TaskLogs.watch`, for a task that was looked up. */
  watch(id: string, after: number, signal?: AbortSignal): AsyncIterable<TaskEvent> {
    return this.#logs.watch(id, after, signal)
  }

  /** Returns the present events. */
  events(id: string, after: number, limit: number): Promise<TaskEvent[]> {
    return this.#options.store.events(id, after, limit)
  }

  /** Ends the task with its run and, if asked, the tasks that depend on it. A final task stays unchanged. */
  async cancel(
    named: Named,
    { message, with_dependants }: { message?: string; with_dependants: boolean },
  ): Promise<TaskRecord> {
    const { id } = await this.#record(named)
    const all = with_dependants ? [id, ...this.#logs.dependants(id)] : [id]
    const { by } = named
    for (const each of all)
      await this.#change(each, ({ fold, spec }) => {
        // Tasks that depend on it may be somebody else's.
        if (isFinalTask(fold.state) || !maySeeTask(by, spec)) return []
        return [{ type: 'task.state', state: 'canceled', reason: 'canceled', message, by: by.owner }]
      })
    return await this.#record(named)
  }

  /**
   * Starts another try. Throws `task_running` if one is open or will start by itself, and `conflict` if there is
   * nothing to continue.
   */
  async retry(named: Named, { from, prompt }: { from?: TaskStage; prompt?: string }): Promise<TaskRecord> {
    if (prompt !== undefined && from !== undefined && isBefore('implement', from))
      throw new ErrandError('bad_request', `body.prompt: no agent works on the task from "${from}" on.`, {
        hint: 'Start from "implement", or from an earlier stage.',
      })
    const { id } = await this.#record(named)
    await this.#change(id, ({ fold, spec }) => {
      if (spec.elsewhere) throw elsewhere(id)
      if (openTry(fold) !== undefined || !mayMove(fold.state, 'pending') || fold.retry_at !== undefined)
        throw taskRunning(id, fold)
      const stage = from ?? (prompt === undefined ? stageOfRetry(fold) : 'implement')
      if (fold.checkpoint === undefined && !isBefore(stage, 'carry'))
        throw new ErrandError(
          'conflict',
          `Task ${id} has no saved work from which a try could start at "${stage}".`,
          {
            hint: 'Start from "implement", or from an earlier stage.',
          },
        )
      return [{ type: 'task.state', state: 'pending', stage, prompt, by: named.by.owner }]
    })
    return await this.#record(named)
  }

  /** Starts or ends the following of its pull request. Throws `conflict` if there is none and will be none. */
  async follow(named: Named, { follow }: { follow: boolean }): Promise<TaskRecord> {
    const { id } = await this.#record(named)
    const by = named.by.owner
    await this.#change(id, ({ fold, spec }) => {
      if (spec.elsewhere) throw elsewhere(id)
      if (isFollowed(spec.task, fold.follow) === follow) return []
      if (!follow)
        return [{ type: 'task.follow', action: 'stop', why: 'off', message: `Stopped by ${by}.`, by }]
      if (isFinalTask(fold.state) || !opensPull(spec.task)) throw notToFollow(id, fold)
      return [{ type: 'task.follow', action: 'begin', message: `Requested by ${by}.`, by }]
    })
    return await this.#record(named)
  }

  /**
   * Looks now at the pull requests where a forge says that something has happened. Returns how many tasks they belong
   * to.
   */
  wake(where: { host: string; path: string; number?: number }): number {
    return this.#review?.wake(where) ?? 0
  }

  /** Answers a question of the task to a person. Throws `approval_not_pending`, and as `check` of the rules does. */
  async approve(
    named: Named,
    answer: { step?: string; decision: 'approve' | 'reject'; comment?: string },
    { isNamed, check }: AnswerRules,
  ): Promise<TaskRecord> {
    const { engine, store } = this.#options
    const { by } = named
    const runOf = async ({ open_run }: TaskRecord) =>
      open_run === undefined ? undefined : await engine.get(open_run)
    const record = await this.#record(named, {
      sees: async (task) => {
        const run = await runOf(task)
        return run !== undefined && run.tenant === by.tenant && isNamed(run)
      },
    })
    const { id } = record
    const run = await runOf(record)
    const steps = run === undefined ? [] : (await engine.view(run.run_id)).steps
    const waits = steps.find(({ step, approval }) => approval && (answer.step ?? step) === step)
    if (run === undefined || waits === undefined)
      throw new ErrandError(
        'approval_not_pending',
        `Task ${id} has no open question${answer.step === undefined ? '' : ` at "${answer.step}"`}.`,
        {
          hint: `See its state with: errand task show ${id}`,
        },
      )
    const { decision, comment } = answer
    const values = { step: waits.step, decision, comment, by: by.owner }
    await engine.answer(run.run_id, values, (approvers) => check(approvers, run))
    return (await store.get(id))!
  }

  /** Gives a prompt to the agent that works on the task. Throws `no_input` if there is none. */
  async prompt(
    named: Named,
    { prompt, input_id }: { prompt: string; input_id?: string },
  ): Promise<{ run_id: string; input_id: string }> {
    const { id, open_run } = await this.#record(named)
    if (open_run === undefined)
      throw new ErrandError('no_input', `No agent is working on task ${id}.`, {
        hint: `Start another try with: errand task retry ${id}`,
      })
    const input = { type: 'prompt', input_id, text: prompt } as const
    const { input_id: had } = await this.#options.engine.input(open_run, input, { by: named.by.owner })
    return { run_id: open_run, input_id: had }
  }

  /** Sets the state that another system reports. Throws `bad_request`, `task_running` or `conflict`. */
  async setStatus(named: Named, word: string, metadata?: Record<string, unknown>): Promise<TaskRecord> {
    const state = taskState(word)
    if (state === undefined)
      throw new ErrandError('bad_request', `body.status: "${word}" is not a state of a task.`, {
        hint: `Use one of ${taskStateWords.join(', ')}.`,
      })
    const { id } = await this.#record(named, { unknown: { title: named.ref } })
    await this.#change(id, ({ fold }) => reported(id, fold, state, named.by.owner, metadata))
    return (await this.#options.store.get(id))!
  }

  /**
   * Adds an event. The same event again, by its id or within a minute, changes nothing. Throws `body_too_large` or
   * `quota_exceeded`.
   */
  async addEvent(
    named: Named,
    { event_type, data = null, event_id }: { event_type: string; data?: unknown; event_id?: string },
  ): Promise<{ task_id: string; event_id: string }> {
    const text = JSON.stringify([event_type, data])
    if (Buffer.byteLength(text) > MAX_EVENT_BYTES)
      throw new ErrandError('body_too_large', `The event has more than ${MAX_EVENT_BYTES} bytes.`, {
        hint: 'Store long data as an artifact, and name it in the event.',
      })
    const { id, own_id } = await this.#record(named, { unknown: { title: named.ref } })
    const made = event_id ?? hash('sha256', text)
    const { now = Date.now } = this.#options
    await this.#change(id, ({ fold: { foreign_events } }) => {
      const before = foreign_events[made]
      if (before !== undefined && (event_id !== undefined || now() - Date.parse(before) < SAME_EVENT_MS))
        return []
      if (before === undefined && Object.keys(foreign_events).length >= MAX_TASK_EVENTS)
        throw new ErrandError(
          'quota_exceeded',
          `Task ${id} already has ${MAX_TASK_EVENTS} events of other systems, which is the limit.`,
          {
            hint: 'Report less, or combine several reports in one event.',
          },
        )
      return [{ type: 'task.external_event', event_id: made, event_type, data }]
    })
    return { task_id: own_id, event_id: made }
  }

  /** Adds an artifact. Returns false if one with the same type and address is known already. */
  async addArtifact(
    named: Named,
    artifact: { type: string; uri: string; size_bytes?: number },
  ): Promise<boolean> {
    const { id } = await this.#record(named, { unknown: { title: named.ref } })
    const { type: kind, uri, size_bytes } = artifact
    let isNew = true
    await this.#change(id, ({ fold: { foreign_artifacts } }) => {
      isNew = !foreign_artifacts.some((each) => each.kind === kind && each.uri === uri)
      return isNew ? [{ type: 'task.external_artifact', kind, uri, size_bytes }] : []
    })
    return isNew
  }

  async #change(id: string, decide: (task: LoadedTask) => readonly NewTaskEvent[]): Promise<void> {
    await this.#logs.change(id, decide)
    this.#conductor.look()
  }

  /**
   * Finds the record of a task. `unknown` creates a missing one, if this hub does that. `sees` lets others than its
   * owner and admins find it.
   */
  async #record(
    { by, ref }: Named,
    { unknown, sees }: { unknown?: { title: string }; sees?: (task: TaskRecord) => Promise<boolean> } = {},
  ): Promise<TaskRecord> {
    const { store, createUnknown } = this.#options
    const { tenant } = by
    const read = readTaskRef(ref, '')
    const found =
      'id' in read
        ? [await store.get(read.id)]
        : ref.includes('/')
          ? [await store.find({ tenant, ...read })]
          : (await store.list({ tenant, own_id: ref, owner: by.isAdmin ? undefined : by.owner, limit: 2 }))
              .tasks
    const [record, other] = found.filter((each) => each !== undefined && maySeeTask(by, each))
    if (other !== undefined)
      throw new ErrandError('conflict', `Several specs have a task "${ref}".`, {
        hint: `Name it as ${record!.spec_name}/${ref}, or by its id: ${record!.id}`,
      })
    if (record !== undefined) return record
    const hidden = found.find((each) => each?.tenant === tenant)
    if (hidden !== undefined && (await sees?.(hidden))) return hidden
    if (unknown === undefined || !createUnknown || 'id' in read) throw taskNotFound(ref)
    return await this.#makeUnknown(by, ref, unknown.title)
  }

  async #makeUnknown(by: Requester, ref: string, title: string): Promise<TaskRecord> {
    const { store, now = Date.now } = this.#options
    const { spec_name, own_id } = readTaskRef(ref, 'tasks') as { spec_name: string; own_id: string }
    const parsed = Task.safeParse({ task_id: own_id, spec_name, title: title.slice(0, 256) })
    if (!parsed.success) throw taskNotFound(ref)
    const id = newTaskId(now())
    const { owner, tenant } = by
    const fixed = { id, tenant, owner, spec_name, own_id, title: parsed.data.title, repo: '', priority: 0 }
    const created_at = new Date(now()).toISOString()
    await this.#logs
      .create([{ ...fixed, task: parsed.data, depends_on: [], elsewhere: true, created_at }], owner)
      .catch((error) => {
        // Two requests reported it at once.
        if (!(error instanceof ErrandError && error.code === 'task_exists')) throw error
      })
    const record = await store.find({ tenant, spec_name, own_id })
    if (record === undefined || !maySeeTask(by, record)) throw taskNotFound(ref)
    return record
  }
}

/** Returns the events that result from another system's report. */
function reported(
  id: string,
  fold: TaskFold,
  state: TaskState,
  by: string,
  metadata: Record<string, unknown> | undefined,
): NewTaskEvent[] {
  const event: NewTaskEvent = { type: 'task.state', state, by, metadata }
  const isOurs = openTry(fold) !== undefined || fold.retry_at !== undefined
  if (state === fold.state || (isOurs && state === 'running'))
    return metadata === undefined ? [] : [{ ...event, state: fold.state }]
  if (isOurs && !isFinalTask(state)) throw taskRunning(id, fold)
  if (!mayMove(fold.state, state))
    throw new ErrandError('conflict', `Task ${id} is ${fold.state} and cannot become ${state}.`, {
      hint: isFinalTask(fold.state) ? 'Only "pending" starts it again.' : 'Read the task again.',
    })
  return [event]
}

/**
 * Returns the stage of a retry. If the failure was about the work, the agent continues; otherwise the retry does what
 * the checkpoint has not done yet.
 */
function stageOfRetry({ reason, checkpoint, tries }: TaskFold): TaskStage {
  if (checkpoint === undefined) return 'check'
  const isOfTheWork = [
    'verify',
    'test',
    'review',
    'protected_path',
    'unsafe_change',
    'too_large',
    'gave_up',
    'conflict',
  ]
  const isOfTheAgent = ['model', 'budget', 'denied', 'permission']
  if (tries.length > 0 && reason !== undefined && [...isOfTheWork, ...isOfTheAgent].includes(reason))
    return 'implement'
  return checkpoint.next
}

const notToFollow = (id: string, { state }: TaskFold): ErrandError =>
  new ErrandError(
    'conflict',
    isFinalTask(state) ? `Task ${id} is ${state}.` : `Task ${id} opens no pull request.`,
    { hint: 'Errand only follows a pull request that is open or will be opened.' },
  )

const taskRunning = (id: string, fold: TaskFold): ErrandError =>
  new ErrandError('task_running', `Task ${id} is ${fold.state}, and ${whatGoesOn(fold)}.`, {
    hint: `End it with: errand task cancel ${id}`,
  })

function whatGoesOn(fold: TaskFold): string {
  const open = openTry(fold)
  if (open !== undefined) return `its run ${open.run_id} is still open`
  return fold.retry_at === undefined
    ? 'starts by itself when it can'
    : `its next try starts at ${fold.retry_at}`
}

const elsewhere = (id: string): ErrandError =>
  new ErrandError('conflict', `Another system, which reported task ${id}, is working on it.`, {
    hint: 'Use that system instead.',
  })
