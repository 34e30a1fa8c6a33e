import type { Reason, RunStatus } from '../../contract/status.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import { isFinalTask, type TaskState } from '../../contract/tasks/task.ts'
import type { PullRequestState, TestFigures } from '../../contract/tasks/task-facts.ts'
import type {
  Checkpoint,
  TaskEvent,
  TaskEventOf,
  TaskStage,
  TrySpent,
} from '../../contract/tasks/task-log.ts'
import type { TaskStand } from '../../contract/tasks/task-record.ts'
import { endedFollowTry, evolveFollow, type Following, notFollowed, reviewedFrom } from './following.ts'
import { moveTask } from './task-moves.ts'

/** A try of a task: a run of the blueprint `task`. */
export interface TaskTry {
  run_id: string
  number: number
  stage: TaskStage
  started_at: string
  ended_at?: string
  status?: RunStatus
  reason?: Reason
  message?: string
  step?: string
  spent?: TrySpent
}

/** The state of a task that results from folding its log. It is never changed: each event makes a new one. */
export interface TaskFold {
  /** `seq` of the last event. */
  readonly seq: number
  readonly updated_at: string
  readonly state: TaskState
  readonly reason?: Reason
  readonly message?: string
  readonly why?: string
  readonly tries: readonly TaskTry[]
  /** The `seq` of the last event that was used, by run. */
  readonly read: Readonly<Record<string, number>>
  /** When the next try is due; set while one follows automatically. */
  readonly retry_at?: string
  /** Number of tries in a row that have ended without a verdict. */
  readonly no_verdicts: number
  /** The stage at which the next try begins, if a person has chosen one. */
  readonly from?: TaskStage
  readonly checkpoint?: Checkpoint
  readonly artifacts: readonly { run_id: string; artifact: Artifact }[]
  readonly foreign_artifacts: readonly { kind: string; uri: string; size_bytes?: number }[]
  readonly tests: readonly TestFigures[]
  readonly pushed?: { sha: string; branch: string; forced: boolean }
  readonly pull_request?: PullRequestState
  /** The pushed commits, the newest last, and when each was first pushed. */
  readonly heads: readonly { sha: string; pushed_at: string }[]
  readonly follow: Following
  /** When each event that another system reported arrived. */
  readonly foreign_events: Readonly<Record<string, string>>
  readonly metadata?: Record<string, unknown>
}

const beginning: TaskFold = {
  seq: 0,
  updated_at: '',
  state: 'pending',
  tries: [],
  read: {},
  no_verdicts: 0,
  artifacts: [],
  foreign_artifacts: [],
  tests: [],
  heads: [],
  follow: notFollowed,
  foreign_events: {},
}

/** Folds a whole log, or the part that follows `state`. Throws `internal` for a log that is not Errand's. */
export const foldTask = (events: Iterable<TaskEvent>, state: TaskFold = beginning): TaskFold => {
  let fold = state
  for (const event of events) fold = evolveTask(fold, event)
  return fold
}

/** Returns the state after the event. Throws `internal` for a move that is not in the table. */
export function evolveTask(before: TaskFold, event: TaskEvent): TaskFold {
  const source = 'from' in event ? event.from : undefined
  const state: TaskFold = {
    ...before,
    seq: event.seq,
    updated_at: event.time,
    read:
      source === undefined
        ? before.read
        : { ...before.read, [source.run_id]: Math.max(before.read[source.run_id] ?? 0, source.seq) },
  }
  switch (event.type) {
    case 'task.created':
      return state
    case 'task.waiting':
      return { ...state, why: event.why }
    case 'task.try_started':
      return begun(state, event)
    case 'task.try_ended':
      return ended(state, event)
    case 'task.checkpoint':
      return { ...state, checkpoint: event.checkpoint }
    case 'task.artifact': {
      const { artifact, from } = event
      return { ...state, artifacts: [...state.artifacts, { run_id: from.run_id, artifact }] }
    }
    case 'task.tests': {
      const others = state.tests.filter(({ suite }) => suite !== event.tests.suite)
      return { ...state, tests: [...others, event.tests] }
    }
    case 'task.pushed': {
      const { sha, branch, forced, time } = event
      const heads = state.heads.at(-1)?.sha === sha ? state.heads : [...state.heads, { sha, pushed_at: time }]
      return { ...state, pushed: { sha, branch, forced }, heads }
    }
    case 'task.pull_request':
      return { ...state, pull_request: event.pull_request }
    case 'task.follow':
      return { ...state, follow: evolveFollow(state.follow, event) }
    case 'task.external_event':
      return { ...state, foreign_events: { ...state.foreign_events, [event.event_id]: event.time } }
    case 'task.external_artifact': {
      const { kind, uri, size_bytes } = event
      return { ...state, foreign_artifacts: [...state.foreign_artifacts, { kind, uri, size_bytes }] }
    }
    case 'task.state':
      return moved(state, event)
  }
}

function begun(state: TaskFold, { run_id, number, stage, time }: TaskEventOf<'task.try_started'>): TaskFold {
  return {
    ...state,
    state: state.state === 'running' ? 'running' : moveTask(state.state, 'running'),
    tries: [...state.tries, { run_id, number, stage, started_at: time }],
    why: undefined,
    reason: undefined,
    message: undefined,
    retry_at: undefined,
    from: undefined,
  }
}

function ended(state: TaskFold, event: TaskEventOf<'task.try_ended'>): TaskFold {
  const { run_id, status, reason, message, step, spent, time, retry_at } = event
  const tries = state.tries.map((each) =>
    each.run_id === run_id ? { ...each, status, reason, message, step, spent, ended_at: time } : each,
  )
  const follow = retry_at === undefined ? endedFollowTry(state.follow) : state.follow
  // Has no effect on a task that was ended, or given back, meanwhile.
  if (isFinalTask(state.state) || state.state === 'pending') return { ...state, tries, follow }
  const no_verdicts = retry_at === undefined ? 0 : state.no_verdicts + 1
  const isWaiting = state.state === 'waiting'
  return {
    ...state,
    tries,
    follow,
    retry_at,
    no_verdicts,
    // No person is asked any more.
    state: isWaiting ? moveTask('waiting', 'running') : state.state,
    why:
      retry_at === undefined
        ? undefined
        : `the next try starts at ${retry_at}: ${message ?? reason ?? status}`,
  }
}

function moved(state: TaskFold, event: TaskEventOf<'task.state'>): TaskFold {
  const { reason, message, stage, prompt, metadata } = event
  const merged = metadata === undefined ? state.metadata : { ...state.metadata, ...metadata }
  // Adds facts without a change of state.
  if (event.state === state.state)
    return { ...state, reason: reason ?? state.reason, message: message ?? state.message, metadata: merged }
  const to = moveTask(state.state, event.state)
  const next: TaskFold = {
    ...{ ...state, state: to, reason, message, why: undefined, metadata: merged },
    follow: followAfter(state.follow, to, event.time),
  }
  if (isFinalTask(to) || to === 'in_review') return { ...next, retry_at: undefined, no_verdicts: 0 }
  if (to !== 'pending' || state.state === 'blocked') return next
  // A retry.
  const follow = prompt === undefined ? next.follow : { ...next.follow, prompt }
  return { ...next, follow, retry_at: undefined, no_verdicts: 0, ...beginsAt(state, stage) }
}

function followAfter(follow: Following, to: TaskState, time: string): Following {
  if (to === 'in_review') return reviewedFrom(follow, time)
  // A try that a person ends and starts again no longer answers what a forge had reported.
  return isFinalTask(to) ? endedFollowTry(follow) : follow
}

const stages: readonly TaskStage[] = [
  ...(['check', 'workspace', 'setup', 'plan', 'implement', 'carry'] as const),
  ...(['test', 'review', 'push', 'pull_request'] as const),
]
export const isBefore = (one: TaskStage, other: TaskStage): boolean =>
  stages.indexOf(one) < stages.indexOf(other)
export const stageAfter = (stage: TaskStage): TaskStage | undefined => stages[stages.indexOf(stage) + 1]
/**
 * Returns the stage that a step of a try belongs to: `fix.2` belongs to none, `carry.2` and `carry.mended_1` belong to
 * `carry`.
 */
export const stageOf = (step: string): TaskStage | undefined => {
  const name = step.replace(/[._-](?:moved_|mended_)?\d+$/, '')
  return stages.find((stage) => stage === name)
}

/** Picks the saved work for a try, when a person says at which step to begin again. */
function beginsAt(
  { checkpoint }: TaskFold,
  stage: TaskStage | undefined,
): Pick<TaskFold, 'from' | 'checkpoint'> {
  if (stage === undefined) return { from: undefined, checkpoint }
  // Before the agent has begun there is no work to continue.
  if (checkpoint === undefined || isBefore(stage, 'implement')) return { from: stage, checkpoint: undefined }
  return { from: stage, checkpoint: { ...checkpoint, next: stage } }
}

export const openTry = ({ tries }: TaskFold): TaskTry | undefined =>
  tries.findLast(({ status }) => status === undefined)

/** Reports whether the task is final and has no open try. */
export const isOver = (fold: TaskFold): boolean => isFinalTask(fold.state) && openTry(fold) === undefined

/** Sums what all ended tries have used. */
export function spentOf({ tries }: Pick<TaskFold, 'tries'>): TrySpent {
  const sum: TrySpent = { seconds: 0 }
  for (const { spent } of tries) {
    if (spent === undefined) continue
    sum.seconds += spent.seconds
    for (const key of ['turns', 'tokens', 'cost_usd', 'cpu_ms'] as const)
      if (spent[key] !== undefined) sum[key] = (sum[key] ?? 0) + spent[key]
    if (spent.peak_memory_bytes !== undefined)
      sum.peak_memory_bytes = Math.max(sum.peak_memory_bytes ?? 0, spent.peak_memory_bytes)
    if (spent.model !== undefined) sum.model = spent.model
  }
  return sum
}

/** Returns the part of the state that lists show. */
export const standOf = (fold: TaskFold): TaskStand => ({
  state: fold.state,
  reason: fold.reason,
  message: fold.message,
  why: fold.why,
  open_run: openTry(fold)?.run_id,
  retry_at: fold.retry_at,
  updated_at: fold.updated_at,
  tries: fold.tries.length || undefined,
  tests: fold.tests.length === 0 ? undefined : allTests(fold),
  pull_request: fold.pull_request,
})

const allTests = ({ tests }: TaskFold): NonNullable<TaskStand['tests']> => {
  const sum = (name: 'passed' | 'failed' | 'skipped') =>
    tests.reduce((all, figures) => all + figures[name], 0)
  return { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') }
}
