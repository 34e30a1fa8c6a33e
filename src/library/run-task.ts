import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { taskRun } from '../blueprints/task.ts'
import { readTaskConfig, type TaskConfig, withTaskConfig } from '../config/task-config.ts'
import { ErrandError, messageOf, messageWithHint } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import { newRunId, newTaskId } from '../contract/ids.ts'
import { agentFaults, isFinalTask, Task, type TaskInput, type TaskState } from '../contract/tasks/task.ts'
import type { PullRequestState } from '../contract/tasks/task-facts.ts'
import type { NewTaskEvent, TaskEvent } from '../contract/tasks/task-log.ts'
import type { TaskResult } from '../contract/tasks/task-result.ts'
import { Engine } from '../engine/engine.ts'
import { budgetLeft, endTry } from '../engine/tasks/decide-task.ts'
import { evolveTask, foldTask, type TaskFold } from '../engine/tasks/evolve-task.ts'
import { taskResult } from '../engine/tasks/task-result.ts'
import { TryReader } from '../engine/tasks/try-reader.ts'
import { BoundedOutputStore } from '../stores/outputs/bounded.ts'
import { MemoryRunStore } from '../stores/runs/memory.ts'
import { GivenSecrets } from '../stores/secrets/given-secrets.ts'
import { openTaskMachine, type TaskMachine } from './task-machine.ts'

export interface RunTaskOptions {
  /** Path of a configuration file, as docs/tasks.md describes it. */
  config?: string
  /** Holds the token of the repository, the key of the model and the task's secrets. Default: this process's. */
  env?: NodeJS.ProcessEnv
  /** Folder for copies of repositories and for what tasks leave. Default: `.errand/tasks` in the user's home. */
  folder?: string
  /** Called with each event of each try. */
  onEvent?(event: RunEvent): void
  /**
   * Answers questions to a person: about a plan, or a change of protected files. A text means no and says what must be
   * different; a plan is then written again. Absent: everything is refused.
   */
  approve?(question: { step: string; message: string }): boolean | string | Promise<boolean | string>
  /** Ends the task when it is aborted. */
  signal?: AbortSignal
}

/** The outcome of a task that was run here. Artifacts are files of this machine. */
export interface TaskOutcome extends TaskResult {
  state: TaskState
  pull_request?: PullRequestState
  pushed?: { sha: string; branch: string; forced: boolean }
}

/**
 * Runs a coding task on this machine, without a hub: from the repository to a pull request. A failed task is an
 * outcome; mistakes in the task or its configuration are thrown: `task_invalid`, `invalid_argument`.
 */
export async function runTask(input: TaskInput, options: RunTaskOptions = {}): Promise<TaskOutcome> {
  const { env = process.env, folder = join(homedir(), '.errand', 'tasks'), config: file } = options
  const config = readTaskConfig(file === undefined ? '' : textOf(file), file ?? 'the configuration', env)
  if (config.pool !== undefined)
    throw new ErrandError(
      'invalid_argument',
      `${file}: only a hub can provision runners with ${config.pool.provisioner}.`,
      {
        hint: `Run the task on a hub (errand up --config ${file}, then errand task run --config ${file} TASK), or write execution_mode: local-process.`,
      },
    )
  const task = taskOf(withTaskConfig(input, config))
  const machine = await openTaskMachine(folder, env)
  try {
    return await new HereTask(task, machine, { ...options, env, config }).run()
  } finally {
    await machine.close()
  }
}

type HereOptions = Omit<RunTaskOptions, 'config' | 'env'> & { env: NodeJS.ProcessEnv; config: TaskConfig }

/** Milliseconds before the second try; doubled for each later one. */
const RETRY_MS = 30_000

class HereTask {
  readonly #task: Task
  readonly #machine: TaskMachine
  readonly #options: HereOptions
  readonly #id = newTaskId()
  readonly #now_ms = Date.now()
  #fold: TaskFold = foldTask([])

  constructor(task: Task, machine: TaskMachine, options: HereOptions) {
    this.#task = task
    this.#machine = machine
    this.#options = options
  }

  async run(): Promise<TaskOutcome> {
    const { signal } = this.#options
    this.#add({ type: 'task.created', title: this.#task.title })
    for (let number = 1; ; number++) {
      await this.#try(number)
      const { state, retry_at, pull_request, pushed } = this.#fold
      if (retry_at === undefined) {
        const result = taskResult(this.#fold)!
        return { ...result, artifacts: this.#artifacts(), state, pull_request, pushed }
      }
      const waitMs = Math.max(0, Date.parse(retry_at) - Date.now())
      await sleep(waitMs, undefined, { signal }).catch(() => undefined)
      if (signal?.aborted) this.#add({ type: 'task.state', state: 'canceled', reason: 'canceled' })
    }
  }

  async #try(number: number): Promise<void> {
    if (isFinalTask(this.#fold.state)) return
    const { signal } = this.#options
    const { secrets, ask } = this.#secrets()
    const store = new MemoryRunStore()
    const outputs = new BoundedOutputStore({ spillDir: join(this.#machine.folder, 'output') })
    const host = this.#machine.host(secrets)
    const engine = new Engine({
      ...{ store, host, outputs, runSecrets: secrets },
      admit: (run) => secrets.admit(run),
    })
    const run_id = newRunId()
    const cancel = () => void engine.cancel(run_id).catch(() => undefined)
    const stage = this.#fold.checkpoint?.next ?? 'check'
    this.#add({ type: 'task.try_started', run_id, number, stage })
    try {
      const task = { ...this.#task, budget: budgetLeft({ task: this.#task, fold: this.#fold }) }
      const { checkpoint } = this.#fold
      const made = taskRun(task, { ...ask, id: this.#id, number, stage, checkpoint, now_ms: this.#now_ms })
      await engine.submit({ ...made, run_id })
      signal?.addEventListener('abort', cancel, { once: true })
      if (signal?.aborted) cancel()
      await this.#follow(engine, run_id)
    } catch (error) {
      if (!(error instanceof ErrandError) || error.status >= 500) throw error
      const [reason, message] = ['task_invalid', messageWithHint(error)] as const
      this.#add({ type: 'task.try_ended', run_id, status: 'failed', reason, message })
      this.#add({ type: 'task.state', state: 'failed', reason, message })
    } finally {
      signal?.removeEventListener('abort', cancel)
      for (const part of [host, engine, outputs, store]) await part.close()
      await this.#machine.ended(run_id)
    }
  }

  async #follow(engine: Engine, runId: string): Promise<void> {
    const { onEvent, approve } = this.#options
    const reader = new TryReader(runId, this.#fold.checkpoint)
    for await (const event of engine.watch(runId, 0)) {
      onEvent?.(event)
      const { events, end } = reader.read(event)
      for (const each of events) this.#add(each)
      if (event.type === 'approval.requested') {
        const { step, message } = event
        const answer = await approve?.({ step, message })
        const decision = answer === true ? 'approve' : 'reject'
        const comment = typeof answer === 'string' ? answer : undefined
        await engine.answer(runId, { step, decision, comment })
      }
      if (end === undefined) continue
      const facts = { task: this.#task, fold: this.#fold, now_ms: Date.now() }
      const retry = { first_ms: RETRY_MS, chance: Math.random() }
      for (const each of endTry(facts, end, retry)) this.#add(each)
    }
  }

  /** Returns the values of its steps' secrets, by the names that they have there. */
  #secrets() {
    const { env, config } = this.#options
    const task = this.#task
    const token =
      variable(env, task.git_token_env_var ?? config.git_token_env_var) ??
      (task.git_token_env_var === undefined ? variable(env, 'GITHUB_TOKEN') : undefined)
    const key = variable(env, task.llm_api_key_env_var ?? config.llm_api_key_env_var)
    const own = (task.secrets ?? []).flatMap((name) => {
      const value = variable(env, name)
      return value === undefined ? [] : [[name, value] as const]
    })
    const values = {
      ...Object.fromEntries(own),
      ...(token !== undefined && { GIT_TOKEN: token }),
      ...(key !== undefined && { OPENAI_API_KEY: key }),
    }
    const ask = {
      token: token === undefined ? undefined : { secret: 'GIT_TOKEN' },
      model_key: key === undefined ? undefined : { secret: 'OPENAI_API_KEY' },
    }
    return { secrets: new GivenSecrets(values), ask }
  }

  #artifacts(): TaskResult['artifacts'] {
    return this.#fold.artifacts.map(({ run_id, artifact: { artifact_id, kind, name, bytes } }) => {
      const path = join(this.#machine.artifacts, run_id, artifact_id.split('.')[0]!, name)
      return { type: kind, uri: pathToFileURL(path).href, size_bytes: bytes, name }
    })
  }

  #add(event: NewTaskEvent): void {
    const place = { seq: this.#fold.seq + 1, time: new Date().toISOString() }
    this.#fold = evolveTask(this.#fold, { ...event, ...place } as TaskEvent)
  }
}

/** Returns the value of a variable, or the content of the file that `NAME_FILE` names. */
function variable(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const file = env[`${name}_FILE`]
  return env[name] || (file ? textOf(file).trim() : undefined)
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ErrandError('invalid_argument', `${file} cannot be read: ${messageOf(cause)}.`, {
      hint: 'Name an existing file.',
      cause,
    })
  }
}

function taskOf(input: TaskInput): Task {
  const parsed = Task.safeParse(input)
  if (parsed.success && parsed.data.follow)
    throw new ErrandError('task_invalid', 'follow: only a hub can follow a pull request.', {
      hint: 'Remove it, or run the task on a hub: errand task run FILE.',
    })
  const faults = parsed.success
    ? agentFaults(parsed.data).map(({ field, message }) => `${field.slice(1)}: ${message}`)
    : parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the task'}: ${message}`)
  if (parsed.success && faults.length === 0) return parsed.data
  throw new ErrandError('task_invalid', `The task is not valid: ${faults.join('; ')}.`, {
    hint: 'The fields of a task are described in docs/tasks.md.',
  })
}
