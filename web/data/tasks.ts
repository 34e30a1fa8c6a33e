import type { TaskState } from '../../src/contract/tasks/task.ts'
import type {
  CreateTasksInput,
  TaskArtifacts,
  TaskDeleted,
  TaskList,
  TaskSummary,
  TasksCreated,
  TaskView,
} from '../../src/contract/tasks/task-api.ts'
import { ask } from './api.ts'
import type { Shown } from './runs.ts'
import type { TaskFilter } from './task-filter.ts'

export type Task = TaskSummary
export type TaskPage = TaskList
export type TaskDetail = TaskView
export type TaskArtifact = TaskArtifacts['artifacts'][number]
export type { TaskState }

export function listTasks(
  { state, repo, agent, user, q }: TaskFilter,
  cursor?: string,
  signal?: AbortSignal,
) {
  const query = { state, repo, agent, owner: user, text: q, sort: 'active', limit: 100, cursor }
  return ask<TaskPage>('GET', '/api/tasks', { query, signal })
}

export const taskPath = (id: string) => `/api/tasks/${encodeURIComponent(id)}`
export const getTask = (id: string, signal?: AbortSignal) => ask<TaskDetail>('GET', taskPath(id), { signal })
export const taskArtifacts = (id: string, signal?: AbortSignal) =>
  ask<TaskArtifacts>('GET', `${taskPath(id)}/artifacts`, { signal })
export const createTasks = (body: CreateTasksInput, idempotencyKey: string) =>
  ask<TasksCreated>('POST', '/api/tasks', { body, idempotencyKey })
export const cancelTask = (id: string, idempotencyKey: string) =>
  ask<Task>('POST', `${taskPath(id)}/cancel`, { body: {}, idempotencyKey })
export const retryTask = (id: string, body: { from?: string; prompt?: string }, idempotencyKey: string) =>
  ask<Task>('POST', `${taskPath(id)}/retry`, { body, idempotencyKey })
export const followTask = (id: string, follow: boolean, idempotencyKey: string) =>
  ask<Task>('POST', `${taskPath(id)}/follow`, { body: { follow }, idempotencyKey })
export const answerTask = (
  id: string,
  decision: 'approve' | 'reject',
  comment: string | undefined,
  idempotencyKey: string,
) =>
  ask<Task>('POST', `${taskPath(id)}/approve`, {
    body: { decision, ...(comment ? { comment } : {}) },
    idempotencyKey,
  })
/** Sends a prompt to a task. The key is the prompt's own id, so that repeating it is safe when an answer got lost. */
export const promptTask = (id: string, prompt: string, key: string) =>
  ask<{ run_id: string }>('POST', `${taskPath(id)}/prompt`, { body: { prompt, input_id: key } })
export const deleteTask = (id: string) => ask<TaskDeleted>('DELETE', taskPath(id))

export const taskStates: readonly TaskState[] = [
  'pending',
  'blocked',
  'running',
  'waiting',
  'in_review',
  'done',
  'no_change',
  'failed',
  'canceled',
]
const words: Record<TaskState, string> = {
  pending: 'ready',
  blocked: 'blocked',
  running: 'working',
  waiting: 'waiting for you',
  in_review: 'in review',
  done: 'done',
  no_change: 'no change',
  failed: 'failed',
  canceled: 'canceled',
}
/** Returns a state in words for people. */
export const taskStateWord = (state: TaskState): string => words[state]

const marks: Record<TaskState, Shown> = {
  pending: 'queued',
  blocked: 'room',
  running: 'running',
  waiting: 'asks',
  in_review: 'success',
  done: 'success',
  no_change: 'skipped',
  failed: 'failed',
  canceled: 'canceled',
}
/** Returns the mark of a state. */
export const taskMark = (state: TaskState): Shown => marks[state]

const tones: Partial<Record<TaskState, string>> = {
  blocked: 'bg-ask-soft text-ask',
  running: 'bg-accent-soft text-accent',
  waiting: 'bg-ask-soft text-ask',
  in_review: 'bg-ok-soft text-ok',
  done: 'bg-ok-soft text-ok',
  failed: 'bg-bad-soft text-bad',
}
export const taskTone = (state: TaskState): string => tones[state] ?? ''

export const isOverTask = (state: TaskState): boolean =>
  ['done', 'no_change', 'failed', 'canceled'].includes(state)

/** Returns the last part of a repository's address, such as `shop/web`. */
export const repoName = (repo: string): string =>
  repo
    .replace(/\.git$/, '')
    .split(/[/:]/)
    .filter((part) => part !== '')
    .slice(-2)
    .join('/')

/**
 * Reads the number of an issue or pull request, such as `#412`, from its address. Returns undefined if it names none.
 */
export function issueNumber(url: string | undefined): string | undefined {
  const number = /\/(\d+)\/?(?:[?#].*)?$/.exec(url ?? '')?.[1]
  return number === undefined ? undefined : `#${number}`
}

/** Returns an address if it is safe to link to: only web addresses are. */
export const webAddress = (url: string | undefined): string | undefined =>
  url !== undefined && /^https?:\/\//i.test(url) ? url : undefined
