import { hash } from 'node:crypto'
import type { FollowEnd as End, FollowTry } from '../../contract/tasks/task-facts.ts'
import { type Check, mayWrite, type Person, type Pull, type ReviewNote } from '../../forge/forge.ts'

/** A pull request that is followed, as the log of its task describes it. Times are milliseconds since 1970. */
export interface FollowState {
  /** When following began. */
  sinceMs: number
  /** The commits that Errand pushed, newest last; never empty. */
  heads: readonly { sha: string; pushedMs: number }[]
  /** Finished tries that were made because of checks or reviews, oldest first. */
  tries: readonly Pick<FollowTry, 'sha' | 'failure'>[]
  /** Ids of the review comments that a try was given. */
  notes: readonly string[]
  /** True if some of the task's budget is left. */
  hasBudget: boolean
}

/** The forge's view of the pull request now. */
export interface FollowFacts {
  nowMs: number
  pull: Pick<Pull, 'state' | 'headSha' | 'mergeable'>
  /** Checks of `pull.headSha`. */
  checks: readonly Check[]
  /** Last lines of the logs of failing checks, by the check's name. */
  logs: Readonly<Record<string, string>>
  notes: readonly ReviewNote[]
  /** Errand's own account there; undefined if the token may not ask for it. */
  self: Pick<Person, 'login'> | undefined
}

/** Why following ended. All reasons but the first two ask a person to act. */
export type FollowEnd = 'merged' | 'closed' | Exclude<End, 'off' | 'failed'>
export type FollowIntent =
  | { type: 'wait' }
  | { type: 'try'; for: FollowTry; checks: Check[]; notes: ReviewNote[] }
  | { type: 'stop'; why: FollowEnd }

export const MOST_TRIES = 3
export const MOST_DAYS = 7
const MOST_DAYS_MS = MOST_DAYS * 86_400_000
/** Milliseconds after a push that Errand waits for checks. */
const CHECKS_MS = 30 * 60_000

/** Returns the checks that count: the required ones, or all if the forge does not say which are required. */
export function countedChecks(checks: readonly Check[]): Check[] {
  const hasRequired = checks.some(({ isRequired }) => isRequired !== undefined)
  return checks.filter(({ isRequired }) => !hasRequired || isRequired === true)
}

/**
 * Decides the next step for a pull request: wait, one more try for its head, or the end of following. Each head gets
 * at most one try and each task three. A repeated failure, a person's push and a conflict are left to people. A
 * comment counts if it asks for changes or mentions Errand, and if its author has write access and is neither Errand
 * nor a program.
 */
export function decideFollow(state: FollowState, seen: FollowFacts): FollowIntent {
  const { pull, nowMs } = seen
  const stop = (why: FollowEnd): FollowIntent => ({ type: 'stop', why })
  if (pull.state !== 'open') return stop(pull.state)
  const head = state.heads.at(-1)!
  if (!state.heads.some(({ sha }) => sha === pull.headSha)) return stop('pushed')
  if (nowMs - state.sinceMs > MOST_DAYS_MS) return stop('too_long')
  // The try for this head is over and pushed no other.
  if (state.tries.some(({ sha }) => sha === head.sha)) return stop('unchanged')
  // The forge does not show our last push yet.
  if (pull.headSha !== head.sha) return { type: 'wait' }
  if (pull.mergeable === false) return stop('conflict')

  const counted = countedChecks(seen.checks)
  const isPending = counted.some(({ result }) => result === 'running')
  if (isPending && nowMs - head.pushedMs < CHECKS_MS) return { type: 'wait' }
  const checks = counted.filter(({ result }) => result === 'failed')
  const notes = newNotes(state, seen)
  if (checks.length === 0 && notes.length === 0) return { type: 'wait' }

  const failure = failureOf(checks, seen.logs)
  if (failure !== '' && state.tries.some((one) => one.failure === failure)) return stop('same_failure')
  if (state.tries.length >= MOST_TRIES) return stop('tries')
  if (!state.hasBudget) return stop('budget')
  return { type: 'try', for: { sha: head.sha, failure, notes: notes.map(({ id }) => id) }, checks, notes }
}

function newNotes({ notes: passedNotes }: FollowState, { notes, self }: FollowFacts): ReviewNote[] {
  const taken = new Set(passedNotes)
  return notes.filter(({ id, author, right, body, asksForChanges }) => {
    if (taken.has(id) || author.isBot || !mayWrite(right) || body.includes('<!-- errand:')) return false
    if (self !== undefined && sameLogin(author.login, self.login)) return false
    return asksForChanges || (self !== undefined && names(body, self.login))
  })
}

const sameLogin = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

/** Reports whether a text mentions `@login`. A GitHub bot is mentioned without the `[bot]` at the end of its login. */
function names(text: string, login: string): boolean {
  const plain = login.replace(/\[bot\]$/, '').toLowerCase()
  return [...text.matchAll(/(?<![\w`@/.-])@([\w][\w.-]*)/g)].some(
    ([, name]) => name!.replace(/[.-]+$/, '').toLowerCase() === plain,
  )
}

/** Names the failing checks with the first error of each. The same failure always gives the same text. */
export function failureOf(checks: readonly Check[], logs: Readonly<Record<string, string>>): string {
  const all = checks.map(({ name, summary }) => {
    const log = Object.hasOwn(logs, name) ? logs[name]! : summary
    return JSON.stringify([name, firstError(log)])
  })
  const failure = [...new Set(all)].sort().join('\n')
  return failure.length <= MOST_FAILURE ? failure : `sha256 ${hash('sha256', failure)}`
}

/** Characters up to which a failure is stored as text; a longer one is stored as a hash. */
const MOST_FAILURE = 2_000

const ERROR = /\b(?:error|failed|failure|fatal|panic|exception|not ok|assert\w*)\b|^[✗✖×]/i

/** Returns the first line that mentions an error, or else the last line, without parts that change from run to run. */
function firstError(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  const line = lines.find((one) => ERROR.test(one)) ?? lines.at(-1) ?? ''
  return line
    .replace(/\b[0-9a-f]{7,64}\b/gi, '#')
    .replace(/\d+/g, '#')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 300)
}
