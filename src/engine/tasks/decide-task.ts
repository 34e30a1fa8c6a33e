import type { Reason } from '../../contract/status.ts'
import { isFinalTask, type Task, type TaskState } from '../../contract/tasks/task.ts'
import type { Checkpoint, NewTaskEvent, TaskStage } from '../../contract/tasks/task-log.ts'
import { openTry, spentOf, type TaskFold } from './evolve-task.ts'
import type { TryEnd } from './try-reader.ts'

/** The state of a task that another one depends on. */
export interface Dependency {
  /** The name used in messages. */
  name: string
  /** Set to undefined when the task no longer exists. */
  state: TaskState | undefined
}

export interface TaskFacts {
  task: Task
  fold: TaskFold
  /** Milliseconds since 1970. */
  now_ms: number
  dependencies: readonly Dependency[]
  /** The reason why nothing more may begin at present; undefined when it may. */
  no_room: string | undefined
  /** True when another system works on it. */
  elsewhere?: boolean
}

/** The next thing to do with a task. */
export type TaskIntent =
  | { type: 'start'; number: number; stage: TaskStage; checkpoint?: Checkpoint }
  /** The run of a try that is no longer wanted. */
  | { type: 'cancel'; run_id: string }
  | { type: 'wake'; at_ms: number }
  | { type: 'tell'; event: NewTaskEvent }

/**
 * Decides what follows from the state of a task. Returns undefined when there is nothing to do until one of the facts
 * changes.
 */
export function decideTask(facts: TaskFacts): TaskIntent | undefined {
  const { fold, elsewhere } = facts
  const open = openTry(fold)
  if (elsewhere) return undefined
  if (open !== undefined) return isFinalTask(fold.state) ? { type: 'cancel', run_id: open.run_id } : undefined
  switch (fold.state) {
    case 'pending':
    case 'blocked':
      return decideBeginning(facts)
    case 'running':
      return decideNext(facts)
    default:
      return undefined
  }
}

const emit = (event: NewTaskEvent): TaskIntent => ({ type: 'tell', event })

function decideBeginning(facts: TaskFacts): TaskIntent | undefined {
  const { fold, task, dependencies, no_room } = facts
  const blocking = dependencies.find(({ state = 'gone' }) => state in blocks)
  if (blocking !== undefined) {
    const message = `depends on task ${blocking.name}, which ${blocks[blocking.state ?? 'gone']}`
    if (fold.state === 'blocked' && fold.message === message) return undefined
    return emit({ type: 'task.state', state: 'blocked', message })
  }
  if (fold.state === 'blocked') return emit({ type: 'task.state', state: 'pending' })
  const spent = overBudget(facts)
  if (spent !== undefined) return emit({ type: 'task.state', state: 'failed', ...spent })
  const waitsFor = dependencies.find(({ state }) => !isMet(state, task.base))
  const why = waitsFor === undefined ? no_room : `it runs after task ${waitsFor.name}`
  if (why === undefined) return nextTry(fold)
  return fold.why === why ? undefined : emit({ type: 'task.waiting', why })
}

/** States of a dependency in which the task cannot begin until a person acts. */
const blocks: Readonly<Record<string, string>> = {
  failed: 'failed',
  canceled: 'was canceled',
  blocked: 'is blocked',
  gone: 'no longer exists',
}

/** Reports whether work that depends on a task in this state can begin. */
function isMet(state: TaskState | undefined, base: Task['base']): boolean {
  if (state === 'done' || state === 'no_change') return true
  return base === 'stacked' && state === 'in_review'
}

/** Decides the next try of a task that is in progress without an open one. */
function decideNext(facts: TaskFacts): TaskIntent | undefined {
  const { fold, now_ms } = facts
  // The task runs without a try of ours: another system has reported that it runs.
  if (fold.retry_at === undefined) return undefined
  const spent = overBudget(facts)
  if (spent !== undefined) return emit({ type: 'task.state', state: 'failed', ...spent })
  const at_ms = Date.parse(fold.retry_at)
  return now_ms < at_ms ? { type: 'wake', at_ms } : nextTry(fold)
}

/** Makes the next try. A later try continues from the saved work. */
function nextTry(fold: TaskFold): TaskIntent {
  const { from, checkpoint, tries } = fold
  const stage = from ?? checkpoint?.next ?? tries.at(-1)?.stage ?? 'check'
  return { type: 'start', number: tries.length + 1, stage, ...(checkpoint && { checkpoint }) }
}

const budgets = [
  ['seconds', 's'],
  ['turns', ' turns'],
  ['tokens', ' tokens'],
  ['cost_usd', ' US dollars'],
] as const

/** Returns why no further try may begin; undefined when one may. */
export function overBudget({
  task,
  fold,
}: Pick<TaskFacts, 'task' | 'fold'>): { reason: Reason; message: string } | undefined {
  const spent = spentOf(fold)
  for (const [key, unit] of budgets) {
    const [used, most] = [spent[key] ?? 0, task.budget[key]]
    if (most !== undefined && used >= most)
      return { reason: 'budget', message: `Its tries have used up the budget of ${most}${unit}.` }
  }
  return undefined
}

/** Returns what its tries may still use. */
export function budgetLeft({ task, fold }: Pick<TaskFacts, 'task' | 'fold'>): Task['budget'] {
  const spent = spentOf(fold)
  const left = { ...task.budget }
  for (const [key] of budgets) if (left[key] !== undefined) left[key] -= spent[key] ?? 0
  return left
}

export interface RetryRule {
  /** Milliseconds before the second try; doubled for each later one. */
  first_ms: number
  /** A random number from 0 to 1, exclusive. */
  chance: number
}

/** The share of the wait that chance adds or subtracts. */
const SPREAD = 0.2

/** Makes the events that the end of a try means for its task, for one commit. */
export function endTry(
  { task, fold, now_ms }: Pick<TaskFacts, 'task' | 'fold' | 'now_ms'>,
  end: TryEnd,
  retry: RetryRule,
): NewTaskEvent[] {
  const { event, without_verdict } = end
  if (isFinalTask(fold.state)) return [event]
  if (without_verdict && fold.no_verdicts < task.run_retries) {
    const wait = retry.first_ms * 2 ** fold.no_verdicts * (1 - SPREAD + 2 * SPREAD * retry.chance)
    return [{ ...event, retry_at: new Date(now_ms + wait).toISOString() }]
  }
  return (
    followedOn(fold, end) ?? [event, { type: 'task.state', from: event.from, ...outcomeOf(task, fold, end) }]
  )
}

/**
 * Handles the end of a try that followed up on an open pull request. If it had no result, the pull request stays
 * unchanged and goes back to a person.
 */
function followedOn(fold: TaskFold, { event, no_change, answer }: TryEnd): NewTaskEvent[] | undefined {
  const { status, reason, from } = event
  const isOpen = fold.pull_request?.state === 'open'
  if (fold.follow.prompt === undefined || !isOpen || status === 'canceled') return undefined
  if (status === 'success' && !no_change) return undefined
  const why = no_change ? 'unchanged' : 'failed'
  const text = no_change ? answer : (event.message ?? reason)
  const message = `A try that followed up on the pull request ${no_change ? 'left no change' : 'failed'}${text ? `: ${text}` : '.'}`
  return [
    event,
    { type: 'task.follow', action: 'stop', why, message },
    { type: 'task.state', from, state: 'in_review', message },
  ]
}

function outcomeOf(
  task: Task,
  fold: TaskFold,
  { event, no_change, answer }: TryEnd,
): { state: TaskState; reason?: Reason; message?: string } {
  const { status, reason, message } = event
  if (status === 'canceled') return { state: 'canceled', reason: 'canceled', message }
  if (status !== 'success') return { state: 'failed', reason: reason ?? 'interrupted', message }
  if (no_change) return { state: 'no_change', message: answer }
  if (fold.pull_request?.state === 'open') return { state: 'in_review' }
  const isReviewed = task.push && task.wait_for_merge && fold.pull_request?.state !== 'merged'
  return { state: isReviewed ? 'in_review' : 'done' }
}
