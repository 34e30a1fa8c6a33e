import type { Task } from '../../contract/tasks/task.ts'
import type { TaskView } from '../../contract/tasks/task-api.ts'
import type { FollowEnd, FollowTry } from '../../contract/tasks/task-facts.ts'
import type { TaskEventOf } from '../../contract/tasks/task-log.ts'

/** The part of a task's state that says how its pull request is followed: checks and reviews go back to the agent. */
export interface Following {
  /** A person's latest choice; absent: as the task says. */
  readonly said?: 'on' | 'off'
  /** When following began (RFC 3339), once it has. */
  readonly since?: string
  /** The tries since following began, oldest first. */
  readonly tries: readonly Pick<FollowTry, 'sha' | 'failure'>[]
  /** Ids of all review comments that any try was given. */
  readonly notes: readonly string[]
  readonly stopped?: { readonly why: FollowEnd; readonly message: string }
  /** Set from the decision for a try, or a person's request for one, until the try has reached a verdict. */
  readonly prompt?: string
}

export const notFollowed: Following = { tries: [], notes: [] }

/** Reports whether checks and reviews of its pull request are followed. */
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

/** Clears the prompt after a try has reached a verdict: the next try answers something else. */
export const endedFollowTry = (of: Following): Following =>
  of.prompt === undefined ? of : { ...of, prompt: undefined }

/** Starts following a new pull request, if the task follows from the beginning. */
export const reviewedFrom = (of: Following, time: string): Following =>
  of.since === undefined ? { ...of, since: time } : of

/** Returns the view; undefined when nobody has requested following. */
export function followView({ follow }: Pick<Task, 'follow'>, of: Following): TaskView['follow'] {
  if (!follow && of.said === undefined) return undefined
  const { stopped, tries, since, said } = of
  const state = stopped === undefined ? 'on' : said === 'off' ? 'off' : 'stopped'
  return { state, ...stopped, tries: tries.length, since }
}
