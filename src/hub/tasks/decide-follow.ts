import { hash } from 'node:crypto'
import type { FollowEnd as End, FollowTry } from '../../contract/tasks/task-facts.ts'
import { type Check, mayWrite, type Person, type Pull, type ReviewNote } from '../../forge/forge.ts'

/** A pull request that is followed, as its task's log tells it. Times are milliseconds since 1970. */
export interface FollowState {
  /** When following began. */
  sinceMs: number
  /** The commits that we pushed, the newest last; never empty. */
  heads: readonly { sha: string; pushedMs: number }[]
  /** The tries that were made because of what was seen, the oldest first, and are over. */
  tries: readonly Pick<FollowTry, 'sha' | 'failure'>[]
  /** Ids of the words of reviewers that a try was given. */
  notes: readonly string[]
  /** Whether the task's budget has something left. */
  hasBudget: boolean
}

/** The forge's words about it now. */
export interface FollowSeen {
  nowMs: number
  pull: Pick<Pull, 'state' | 'headSha' | 'mergeable'>
  /** Of `pull.headSha`. */
  checks: readonly Check[]
  /** The last lines of the logs of failing checks, by the check's name. */
  logs: Readonly<Record<string, string>>
  notes: readonly ReviewNote[]
  /** Who we are there; undefined where the token may not ask. */
  self: Pick<Person, 'login'> | undefined
}

/** Why nobody looks any more; all but the first two ask a person. */
export type FollowEnd = 'merged' | 'closed' | Exclude<End, 'off' | 'failed'>
export type FollowIntent =
  | { type: 'wait' }
  | { type: 'try'; for: FollowTry; checks: Check[]; notes: ReviewNote[] }
  | { type: 'stop'; why: FollowEnd }

export const MOST_TRIES = 3
export const MOST_DAYS = 7
const MOST_DAYS_MS = MOST_DAYS * 86_400_000
/** So long after a push checks are waited for. */
const CHECKS_MS = 30 * 60_000

/** Those that count: the required ones, or all where the forge does not say which they are. */
export function countedChecks(checks: readonly Check[]): Check[] {
  const says = checks.some(({ isRequired }) => isRequired !== undefined)
  return checks.filter(({ isRequired }) => !says || isRequired === true)
}

/**
 * The next thing to do as a pull request stands: nothing yet, one more try for its head, or the end of following. A head gets one
 * try at most, a task three; the same failure twice, a person's push and a conflict are left to people. Words count where they ask
 * for changes or name us, from people with write access alone: never our own or a program's.
 */
export function decideFollow(state: FollowState, seen: FollowSeen): FollowIntent {
  const { pull, nowMs } = seen
  const stop = (why: FollowEnd): FollowIntent => ({ type: 'stop', why })
  if (pull.state !== 'open') return stop(pull.state)
  const head = state.heads.at(-1)!
  if (!state.heads.some(({ sha }) => sha === pull.headSha)) return stop('pushed')
  if (nowMs - state.sinceMs > MOST_DAYS_MS) return stop('too_long')
  // Its try is over, and has pushed no other.
  if (state.tries.some(({ sha }) => sha === head.sha)) return stop('unchanged')
  // The forge has not heard of our last push as yet.
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

function newNotes({ notes: given }: FollowState, { notes, self }: FollowSeen): ReviewNote[] {
  const taken = new Set(given)
  return notes.filter(({ id, author, right, body, asksForChanges }) => {
    if (taken.has(id) || author.isBot || !mayWrite(right) || body.includes('<!-- errand:')) return false
    if (self !== undefined && sameLogin(author.login, self.login)) return false
    return asksForChanges || (self !== undefined && names(body, self.login))
  })
}

const sameLogin = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

/** Whether a text has `@login` as a word of its own; a bot of GitHub's is called without the mark at the end of its login. */
function names(text: string, login: string): boolean {
  const plain = login.replace(/\[bot\]$/, '').toLowerCase()
  return [...text.matchAll(/(?<![\w`@/.-])@([\w][\w.-]*)/g)].some(
    ([, name]) => name!.replace(/[.-]+$/, '').toLowerCase() === plain,
  )
}

/** Names the failing checks with the first error of each: the same text for the same failure, whenever it happens. */
export function failureOf(checks: readonly Check[], logs: Readonly<Record<string, string>>): string {
  const all = checks.map(({ name, summary }) => {
    const log = Object.hasOwn(logs, name) ? logs[name]! : summary
    return JSON.stringify([name, firstError(log)])
  })
  const failure = [...new Set(all)].sort().join('\n')
  return failure.length <= MOST_FAILURE ? failure : `sha256 ${hash('sha256', failure)}`
}

/** Characters of a failure that are kept as they are. */
const MOST_FAILURE = 2_000

const ERROR = /\b(?:error|failed|failure|fatal|panic|exception|not ok|assert\w*)\b|^[✗✖×]/i

/** Its first line that tells of an error, else the last one, without what differs from time to time. */
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
