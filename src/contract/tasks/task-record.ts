import type { Reason } from '../status.ts'
import type { Task, TaskState } from './task.ts'
import type { PullRequestState, TestFigures } from './task-facts.ts'

/** The making of a task, as the store keeps it; it never changes. */
export interface TaskSpec {
  /** `task_…`, unique in the hub. */
  id: string
  tenant: string
  owner: string
  /** With `own_id` unique in its tenant. */
  spec_name: string
  /** The id that its user gave it, or one that was made. */
  own_id: string
  title: string
  /** The repository, written one way; empty: that of its slot. */
  repo: string
  /** As it was given, with every default filled in. */
  task: Task
  /** Ids (`task_…`) of the tasks that come before. */
  depends_on: readonly string[]
  /** Tasks that came together, and how many of them are worked on at once. */
  batch?: { id: string; limit: number }
  /** Kept for another system, which works on it: it has no tries here. */
  elsewhere?: true
  priority: number
  created_at: string
}

/** The part of a task that changes, as lists show it: kept beside the log, so that they need not fold. */
export interface TaskStand {
  state: TaskState
  reason?: Reason
  message?: string
  /** Why it waits. */
  why?: string
  /** The run of its open try. */
  open_run?: string
  /** RFC 3339: when the next try begins by itself. */
  retry_at?: string
  /** Of its last event. */
  updated_at: string
  /** So many have begun. */
  tries?: number
  /** Of all suites together. */
  tests?: Pick<TestFigures, 'passed' | 'failed' | 'skipped'>
  pull_request?: PullRequestState
}

export interface TaskRecord extends TaskSpec, TaskStand {
  /** `seq` of the last event. */
  last_seq: number
}
