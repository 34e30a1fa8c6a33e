import { isFinalTask } from '../../contract/tasks/task.ts'
import { openTry } from '../../engine/tasks/evolve-task.ts'
import type { LoadedTask } from './task-logs.ts'

/** Limits how many tasks may be worked on, and may wait to be merged, at once. Absent means no limit. */
export interface TaskLimits {
  perOwner?: number
  perRepository?: number
  inReviewPerRepository?: number
}

/** Reports whether a task holds a place: it has an open try, or the next one starts by itself. */
const isAtWork = ({ fold }: LoadedTask): boolean =>
  openTry(fold) !== undefined || fold.state === 'running' || fold.state === 'waiting'

/**
 * Reports whether a task's pull request waits to be merged, including while the task is tried again because of
 * feedback.
 */
const isProposed = ({ fold }: LoadedTask): boolean =>
  fold.state === 'in_review' || (fold.pull_request?.state === 'open' && !isFinalTask(fold.state))

/** Tracks the room that the limits leave while tasks are started one after another. */
export class WipLimit {
  readonly #limits: TaskLimits
  /** Counts by key. */
  readonly #counts = new Map<string, number>()
  readonly #branches = new Set<string>()

  constructor(limits: TaskLimits, tasks: Iterable<LoadedTask>) {
    this.#limits = limits
    for (const task of tasks) {
      if (isAtWork(task)) this.take(task)
      if (isProposed(task)) this.#add(reviewed(task))
    }
  }

  /** Returns why the task may not start now, or undefined if it may. */
  refusal(task: LoadedTask): string | undefined {
    const { perOwner, perRepository, inReviewPerRepository } = this.#limits
    const { spec } = task
    const branch = branchOf(task)
    if (branch !== undefined && this.#branches.has(branch))
      return `another task works on the branch ${spec.task.branch_name}`
    const full = (key: string, most: number | undefined, whose: string) =>
      most !== undefined && (this.#counts.get(key) ?? 0) >= most ? `${whose}: ${most}` : undefined
    return (
      (spec.batch &&
        full(batch(task), spec.batch.limit, 'the limit of its file for tasks in progress is reached')) ??
      full(owner(task), perOwner, `the limit of tasks in progress for ${spec.owner} is reached`) ??
      full(repository(task), perRepository, 'the limit of tasks in progress for its repository is reached') ??
      // Another try of a task that waits to be merged does not raise that count.
      full(
        reviewed(task),
        isProposed(task) ? undefined : inReviewPerRepository,
        'the limit of tasks that wait to be merged is reached for its repository',
      )
    )
  }

  /** Counts a task that starts. */
  take(task: LoadedTask): void {
    for (const key of [batch(task), owner(task), repository(task)]) this.#add(key)
    const branch = branchOf(task)
    if (branch !== undefined) this.#branches.add(branch)
  }

  #add(key: string): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }
}

const batch = ({ spec }: LoadedTask): string => `batch ${spec.batch?.id}`
const owner = ({ spec }: LoadedTask): string => `owner ${JSON.stringify([spec.tenant, spec.owner])}`
const repository = ({ spec }: LoadedTask): string => `repository ${JSON.stringify([spec.tenant, spec.repo])}`
const reviewed = ({ spec }: LoadedTask): string => `reviewed ${JSON.stringify([spec.tenant, spec.repo])}`
const branchOf = ({ spec: { tenant, repo, task } }: LoadedTask): string | undefined =>
  task.branch_name === undefined ? undefined : JSON.stringify([tenant, repo, task.branch_name])

/** Sorts tasks into the order in which they start: by priority, then by age. */
export function inStartOrder(tasks: Iterable<LoadedTask>): LoadedTask[] {
  return [...tasks].sort(({ spec: a }, { spec: b }) => {
    if (a.priority !== b.priority) return b.priority - a.priority
    if (a.created_at !== b.created_at) return a.created_at < b.created_at ? -1 : 1
    return a.id < b.id ? -1 : 1
  })
}
