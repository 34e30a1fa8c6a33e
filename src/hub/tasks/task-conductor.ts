import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import { newRunId } from '../../contract/ids.ts'
import { isFinalTask, type Task } from '../../contract/tasks/task.ts'
import type { Checkpoint, NewTaskEvent, TaskStage } from '../../contract/tasks/task-log.ts'
import type { EngineFace, Submission } from '../../engine/api.ts'
import { budgetLeft, decideTask, endTry, type TaskIntent } from '../../engine/tasks/decide-task.ts'
import { openTry, type TaskTry } from '../../engine/tasks/evolve-task.ts'
import { type TryEnd, TryReader } from '../../engine/tasks/try-reader.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import type { LoadedTask, TaskLogs } from './task-logs.ts'
import { inStartOrder, type TaskLimits, WipLimit } from './wip-limit.ts'

/** Describes a try to start, and with what. */
export interface TryAsk {
  tenant: string
  owner: string
  /** Id of the task: `task_…`. */
  id: string
  /** Number of the try, from 1. */
  number: number
  /** First step to do. */
  stage: TaskStage
  /** Saved work of an earlier try. */
  checkpoint?: Checkpoint
  /** Pushed work of other tasks that it builds on. */
  stack: readonly { id: string; task_id: string; branch: string; sha: string }[]
  /** True if an earlier try has reported a pull request. */
  has_pull_request: boolean
  /** Feedback on its pull request: the prompt for the agent, which continues from the pushed work. */
  feedback?: string
  /** When the task was created, in milliseconds since 1970: the commits of all its tries have this date. */
  now_ms: number
}

/** Returns the workflow of a try. Throws an ErrandError if the task cannot be run as written. */
export type TaskRun = (
  task: Task,
  ask: TryAsk,
) => Promise<Pick<Submission, 'workflow' | 'yaml' | 'vars' | 'secrets' | 'repository' | 'group'>>

export interface TaskConductorOptions {
  logs: TaskLogs
  engine: Pick<EngineFace, 'get' | 'submit' | 'watch' | 'cancel'>
  taskRun: TaskRun
  limits?: TaskLimits
  /** Milliseconds before the second try, after one that ended without a verdict. Default 30 s. */
  retryMs?: number
  random?: () => number
  now?: () => number
  log: Log
}

const RETRY_MS = 30_000
/** Longest time that a timer can take, in milliseconds. */
const MAX_WAIT_MS = 2 ** 31 - 1

/**
 * Conducts tasks: starts a try when its conditions are met, follows its run, and starts another if it ended without a
 * verdict. All state is in the logs, so a restarted hub continues. `decideTask` decides each step from the states of
 * a task.
 */
export class TaskConductor {
  readonly #options: TaskConductorOptions
  readonly #stop = new AbortController()
  /** Followed tries, by run. */
  readonly #following = new Map<string, Promise<void>>()
  /** Runs that were asked to end. */
  readonly #canceled = new Set<string>()
  #sweeping: Promise<void> | undefined
  #again = false
  #isReady = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: TaskConductorOptions) {
    this.#options = options
  }

  /** Continues what the logs hold open. Call it when the engine has resumed its runs. */
  resume(): void {
    this.#isReady = true
    for (const { spec, fold } of this.#options.logs.open()) {
      const open = openTry(fold)
      if (open !== undefined) this.#follow(spec.id, open)
    }
    this.look()
  }

  /** Schedules a look at all open tasks after something has changed. */
  look(): void {
    // Until then it is not known how many are being worked on.
    if (!this.#isReady) return
    this.#again = true
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined
      if (this.#again && !this.#stop.signal.aborted) this.look()
    })
  }

  /** Stops; runs continue. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#timer)
    await Promise.allSettled([this.#sweeping, ...this.#following.values()])
  }

  async #sweep(): Promise<void> {
    // Requests of one turn of the event loop share one look.
    await new Promise((resolve) => setImmediate(resolve))
    const { logs, limits = {}, log } = this.#options
    while (this.#again && !this.#stop.signal.aborted) {
      this.#again = false
      const wipLimit = new WipLimit(limits, logs.open())
      let wakeMs = Number.POSITIVE_INFINITY
      for (const { spec } of inStartOrder(logs.open())) {
        if (this.#stop.signal.aborted) return
        try {
          wakeMs = Math.min(wakeMs, await this.#lookAt(spec.id, wipLimit))
        } catch (error) {
          log(`Task ${spec.id} cannot be conducted; trying again: ${messageOf(error)}`, {
            level: 'error',
          })
          wakeMs = Math.min(wakeMs, this.#nowMs() + 1000)
        }
      }
      this.#wakeAt(wakeMs)
    }
  }

  /** Does what the state of a task calls for. Returns when to look at it again at the latest. */
  async #lookAt(id: string, wipLimit: WipLimit): Promise<number> {
    for (;;) {
      const task = this.#options.logs.openTask(id)
      const intent = task && this.#decide(task, wipLimit)
      if (intent === undefined) return Number.POSITIVE_INFINITY
      if (intent.type === 'wake') return intent.at_ms
      if (intent.type === 'cancel') {
        await this.#cancel(intent.run_id)
        return Number.POSITIVE_INFINITY
      }
      await this.#commit(id, wipLimit)
    }
  }

  #decide(task: LoadedTask, wipLimit: WipLimit): TaskIntent | undefined {
    const { spec, fold } = task
    return decideTask({
      task: spec.task,
      fold,
      now_ms: this.#nowMs(),
      dependencies: spec.depends_on.map((each) => this.#options.logs.statusOf(each)),
      no_room: wipLimit.refusal(task),
      elsewhere: spec.elsewhere,
    })
  }

  /** Decides again, because the task may have changed in the meantime, and commits the decision. */
  async #commit(id: string, wipLimit: WipLimit): Promise<void> {
    let begun: TaskTry | undefined
    let hadPlace = false
    const task = await this.#options.logs.change(id, (now): NewTaskEvent[] => {
      const intent = this.#decide(now, wipLimit)
      if (intent?.type === 'tell') return [intent.event]
      if (intent?.type !== 'start') return []
      const { number, stage } = intent
      const run_id = newRunId()
      begun = { run_id, number, stage, started_at: '' }
      // The try before held the place already.
      hadPlace = now.fold.state === 'running'
      return [{ type: 'task.try_started', run_id, number, stage }]
    })
    if (begun === undefined) return
    if (!hadPlace) wipLimit.take(task)
    this.#follow(id, begun)
  }

  #follow(id: string, of: TaskTry): void {
    if (this.#following.has(of.run_id)) return
    const following = this.#followOn(id, of).finally(() => {
      this.#following.delete(of.run_id)
      this.#canceled.delete(of.run_id)
    })
    this.#following.set(of.run_id, following)
  }

  /** Follows the try until it has ended, whatever goes wrong. */
  async #followOn(id: string, of: TaskTry): Promise<void> {
    const { signal } = this.#stop
    const backoff = new Backoff({ firstMs: 200, maxMs: 10_000 })
    while (!signal.aborted)
      try {
        if (await this.#begin(id, of)) await this.#read(id, of)
        const { fold } = await this.#options.logs.get(id)
        if (openTry(fold)?.run_id !== of.run_id) return this.look()
        // The engine is closed or the run was removed; the next `#begin` finds out.
        await sleep(backoff.next(), undefined, { signal }).catch(() => {})
      } catch (error) {
        if (signal.aborted) return
        const why = messageOf(error)
        this.#options.log(`Run ${of.run_id} of task ${id} cannot be followed; trying again: ${why}`, {
          level: 'error',
          run_id: of.run_id,
        })
        await sleep(backoff.next(), undefined, { signal }).catch(() => {})
      }
  }

  /** Makes sure that the run exists. Returns false if it never will, and its try has ended. */
  async #begin(id: string, { run_id, number, stage }: TaskTry): Promise<boolean> {
    const { engine, taskRun, logs } = this.#options
    const { spec, fold } = await logs.get(id)
    const { owner, tenant } = spec
    const there = await engine.get(run_id)
    if (there !== undefined && there.blueprint === 'task') return true
    if (there !== undefined)
      return await this.#endWithoutRun(
        id,
        run_id,
        'internal',
        `The run ${run_id} exists, but it is not the run of a task.`,
      )
    if (fold.read[run_id] !== undefined)
      return await this.#endWithoutRun(id, run_id, 'lost', `Its run ${run_id} was removed.`)
    if (isFinalTask(fold.state))
      return await this.#endWithoutRun(id, run_id, 'canceled', 'It was ended before its run started.')
    const task = { ...spec.task, budget: budgetLeft({ task: spec.task, fold }) }
    try {
      const made = await taskRun(task, {
        ...{ id, tenant, owner, number, stage },
        now_ms: Date.parse(spec.created_at),
        checkpoint: fold.checkpoint,
        has_pull_request: fold.pull_request !== undefined,
        feedback: fold.follow.prompt,
        stack: await this.#stack(spec),
      })
      await engine.submit({ ...made, run_id, blueprint: 'task', owner, tenant })
      return true
    } catch (error) {
      if (!(error instanceof ErrandError) || error.status >= 500) throw error
      if (error.code === 'run_exists') return true
      const { message, hint } = error
      return await this.#endWithoutRun(id, run_id, 'task_invalid', hint ? `${message} ${hint}` : message)
    }
  }

  async #stack(spec: LoadedTask['spec']): Promise<TryAsk['stack']> {
    if (spec.task.base !== 'stacked') return []
    const below = await Promise.all(spec.depends_on.map((each) => this.#options.logs.get(each)))
    return below.flatMap(({ spec: { id, own_id, repo }, fold: { state, pushed } }) =>
      state !== 'in_review' || pushed === undefined || repo !== spec.repo
        ? []
        : [{ id, task_id: own_id, branch: pushed.branch, sha: pushed.sha }],
    )
  }

  async #endWithoutRun(
    id: string,
    run_id: string,
    reason: 'lost' | 'task_invalid' | 'internal' | 'canceled',
    message: string,
  ): Promise<false> {
    const status = reason === 'lost' ? 'interrupted' : reason === 'canceled' ? 'canceled' : 'failed'
    const event = { type: 'task.try_ended', run_id, status, reason, message } as const
    await this.#end(id, { event, without_verdict: reason === 'lost', no_change: false })
    return false
  }

  async #read(id: string, { run_id }: TaskTry): Promise<void> {
    const { engine, logs } = this.#options
    const { fold } = await logs.get(id)
    if (isFinalTask(fold.state)) await this.#cancel(run_id)
    const reader = new TryReader(run_id, fold.checkpoint)
    for await (const event of engine.watch(run_id, 0, this.#stop.signal, { outputBytes: 0 })) {
      const { events, end } = reader.read(event)
      if (end !== undefined) return await this.#end(id, end)
      if (events.length === 0) continue
      await logs.change(id, (now) => {
        if (event.seq <= (now.fold.read[run_id] ?? 0)) return []
        // A task that was ended in the meantime needs no new state.
        return isFinalTask(now.fold.state) ? events.filter(({ type }) => type !== 'task.state') : events
      })
    }
  }

  async #end(id: string, end: TryEnd): Promise<void> {
    const { logs, retryMs: first_ms = RETRY_MS, random = Math.random } = this.#options
    await logs.change(id, ({ spec, fold }) =>
      openTry(fold)?.run_id === end.event.run_id
        ? endTry({ task: spec.task, fold, now_ms: this.#nowMs() }, end, { first_ms, chance: random() })
        : [],
    )
  }

  /** Cancels the run once. Its end arrives as an event. */
  async #cancel(runId: string): Promise<void> {
    if (this.#canceled.has(runId)) return
    this.#canceled.add(runId)
    try {
      await this.#options.engine.cancel(runId, { message: 'Its task was ended.' })
    } catch (error) {
      // The run has ended by itself, or has not started: then it is canceled when it has.
      const isGone = error instanceof ErrandError && ['run_ended', 'run_not_found'].includes(error.code)
      this.#canceled.delete(runId)
      if (!isGone) throw error
    }
  }

  #wakeAt(atMs: number): void {
    clearTimeout(this.#timer)
    if (atMs === Number.POSITIVE_INFINITY || this.#stop.signal.aborted) return
    const waitMs = Math.min(MAX_WAIT_MS, Math.max(0, atMs - this.#nowMs()))
    this.#timer = setTimeout(() => this.look(), waitMs)
  }

  #nowMs(): number {
    return (this.#options.now ?? Date.now)()
  }
}
