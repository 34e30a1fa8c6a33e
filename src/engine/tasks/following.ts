import type { Task } from '../../contract/tasks/task.ts'
import type { TaskView } from '../../contract/tasks/task-api.ts'
import type { FollowEnd, FollowTry } from '../../contract/tasks/task-facts.ts'
import type { TaskEventOf } from '../../contract/tasks/task-log.ts'

/** The part of a task's state that tells how its pull request is followed: its checks and reviews are fed back to the agent. */
export interface Following {
  /** The last word of a person; absent: as the task says. */
  readonly said?: 'on' | 'off'
  /** RFC 3339: when it began, once it has. */
  readonly since?: string
  /** Since it began, the oldest first. */
  readonly tries: readonly Pick<FollowTry, 'sha' | 'failure'>[]
  /** Ids of all words of reviewers that any try was given. */
  readonly notes: readonly string[]
  readonly stopped?: { readonly why: FollowEnd; readonly message: string }
  /** Set from the decision for a try, or a person's word for one, until that has come to a verdict. */
  readonly prompt?: string
}

export const notFollowed: Following = { tries: [], notes: [] }

/** Whether checks and reviews of its pull request are looked at. */
export const isFollowed = ({ follow }: Pick<Task, 'follow'>, of: Following): boolean =>
  of.stopped === undefined && (of.said === undefined ? follow : of.said === 'on')

export function evolveFollow(before: Following, event: TaskEventOf<'task.follow'>): Following {
  const { action, why = 'off', message, prompt, time } = event
  switch (action) {
    case 'begin':
      return { ...before, said: 'on', since: time, tries: [], stopped: undefined }
    case 'stop':
      return { ...before, stopped: { why, message }, ...(why === 'off' && { said: 'off' as const }) }
    case 'try': {
      const { sha, failure, notes } = event.try ?? { sha: '', failure: '', notes: [] }
      const tries = [...before.tries, { sha, failure }]
      return { ...before, tries, notes: [...before.notes, ...notes], prompt }
    }
  }
}

/** A try has come to a verdict: one that follows is for something else. */
export const endedFollowTry = (of: Following): Following =>
  of.prompt === undefined ? of : { ...of, prompt: undefined }

/** The pull request is there: one that is followed from the beginning is from now on. */
export const reviewedFrom = (of: Following, time: string): Following =>
  of.since === undefined ? { ...of, since: time } : of

/** Undefined where nobody has asked for it. */
export function followView({ follow }: Pick<Task, 'follow'>, of: Following): TaskView['follow'] {
  if (!follow && of.said === undefined) return undefined
  const { stopped, tries, since, said } = of
  const state = stopped === undefined ? 'on' : said === 'off' ? 'off' : 'stopped'
  return { state, ...stopped, tries: tries.length, since }
}
