import { ErrandError } from '../../contract/errors.ts'
import { randomText } from '../../contract/ids.ts'
import type { NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { overBudget } from '../../engine/tasks/decide-task.ts'
import { isFollowed } from '../../engine/tasks/following.ts'
import type { CallOptions, Check, Forge, Pull } from '../../forge/forge.ts'
import { harmlessLine } from '../../forge/marks.ts'
import {
  decideFollow,
  type FollowEnd,
  type FollowFacts,
  type FollowIntent,
  type FollowState,
  MOST_DAYS,
  MOST_TRIES,
} from './decide-follow.ts'
import { followPrompt, MOST_CHECKS, MOST_LINES } from './follow-prompt.ts'
import type { LoadedTask } from './task-logs.ts'

export type FollowForge = Pick<Forge, 'checks' | 'checkLog' | 'reviewNotes' | 'self'>

/**
 * Looks at the checks and reviews of an open pull request and returns the resulting events for the log of its task.
 * They start one more try, or end following with a reason. Returns none if there is nothing to do. Throws as the
 * forge does.
 */
export async function followPull(
  { spec, fold }: LoadedTask,
  { pull, forge, nowMs }: { pull: Pull; forge: FollowForge; nowMs: number },
  options: CallOptions,
): Promise<NewTaskEvent[]> {
  const { follow, heads, state: taskState } = fold
  if (taskState !== 'in_review' || heads.length === 0 || !isFollowed(spec.task, follow)) return []
  const state: FollowState = {
    sinceMs: follow.since === undefined ? nowMs : Date.parse(follow.since),
    heads: heads.map(({ sha, pushed_at }) => ({ sha, pushedMs: Date.parse(pushed_at) })),
    tries: follow.tries,
    notes: follow.notes,
    hasBudget: overBudget({ task: spec.task, fold }) === undefined,
  }
  // Some decisions are possible before the forge is asked for more.
  const nothing: FollowFacts = { nowMs, pull, checks: [], logs: {}, notes: [], self: undefined }
  const early = decideFollow(state, nothing)
  if (early.type === 'stop') return eventsOf(early, state, nothing)
  if (pull.headSha !== heads.at(-1)!.sha) return []
  const seen: FollowFacts = {
    ...nothing,
    checks: await forge.checks(pull.headSha, pull.base, options),
    notes: await forge.reviewNotes(pull.number, options),
    self: await forge.self(options),
  }
  const first = decideFollow(state, seen)
  if (first.type === 'wait') return []
  const failed = seen.checks.filter(({ result }) => result === 'failed')
  const whole = { ...seen, logs: await logsOf(failed, forge, options) }
  return eventsOf(decideFollow(state, whole), state, whole)
}

/** Returns the logs of the checks that the prompt lists. A check whose log is not available has none. */
async function logsOf(
  checks: readonly Check[],
  forge: Pick<Forge, 'checkLog'>,
  options: CallOptions,
): Promise<Record<string, string>> {
  const logs: Record<string, string> = Object.create(null)
  for (const { name, log } of checks.slice(0, MOST_CHECKS)) {
    if (log === undefined) continue
    try {
      const text = await forge.checkLog(log, MOST_LINES, options)
      if (text !== undefined) logs[name] = text
    } catch (error) {
      if (!(error instanceof ErrandError) || !inaccessible.has(error.code)) throw error
    }
  }
  return logs
}

/** Error codes with which the forge refuses for good; all others are temporary. */
const inaccessible: ReadonlySet<string> = new Set([
  'not_found',
  'repo_not_found',
  'repo_auth',
  'forge_denied',
])

function eventsOf(intent: FollowIntent, state: FollowState, { logs, pull }: FollowFacts): NewTaskEvent[] {
  if (intent.type === 'wait') return []
  if (intent.type === 'stop') {
    const { why } = intent
    // These two end the task instead.
    if (why === 'merged' || why === 'closed') return []
    return [{ type: 'task.follow', action: 'stop', why, message: ends[why] }]
  }
  const { checks, notes } = intent
  const message = `Try ${state.tries.length + 1} of ${MOST_TRIES} for ${pull.headSha.slice(0, 12)}: ${summary(intent)}.`
  const prompt = followPrompt({ checks, notes, logs, fenceId: `text-${randomText(16)}` })
  return [
    { type: 'task.follow', action: 'try', message, try: intent.for, prompt },
    { type: 'task.state', state: 'pending', stage: 'implement', message },
  ]
}

const MOST_NAMED = 5

function summary({ checks, notes }: Extract<FollowIntent, { type: 'try' }>): string {
  const list = (names: readonly string[]) => {
    const some = [...new Set(names)].map((name) => harmlessLine(name).slice(0, 100))
    const more = some.length > MOST_NAMED ? ` and ${some.length - MOST_NAMED} more` : ''
    return some.slice(0, MOST_NAMED).join(', ') + more
  }
  const parts: string[] = []
  if (checks.length > 0) parts.push(`checks failed (${list(checks.map(({ name }) => name))})`)
  if (notes.length > 0) parts.push(`changes requested by ${list(notes.map(({ author }) => author.login))}`)
  return parts.join('; ')
}

const ends: Readonly<Record<Exclude<FollowEnd, 'merged' | 'closed'>, string>> = {
  pushed: 'Somebody else pushed to its branch, so the pull request is now theirs.',
  conflict: 'The pull request conflicts with its base.',
  too_long: `The pull request was followed for ${MOST_DAYS} days.`,
  same_failure: 'The same checks fail with the same errors as before the last try.',
  unchanged: 'The last try pushed nothing.',
  tries: `There were ${MOST_TRIES} tries, and checks or reviewers still object.`,
  budget: "The task's budget is used up.",
}
