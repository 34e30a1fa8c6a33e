import type { Reason } from '../status.ts'
import type { Task, TaskState } from './task.ts'
import type { PullRequestState, TestFigures } from './task-facts.ts'

/** The origin of a task, as the store has it; it never changes. */
export interface TaskSpec {
  /** `task_…`, unique in the hub. */
  id: string
  tenant: string
  owner: string
  /** Unique in its tenant together with `own_id`. */
  spec_name: string
  /** The id that its user gave it, or a generated one. */
  own_id: string
  title: string
  /** The repository's normalized address; empty: that of its slot. */
  repo: string
  /** The task as it was given, with every default filled in. */
  task: Task
  /** Ids (`task_…`) of the tasks that must come before. */
  depends_on: readonly string[]
  /** Tasks that were submitted together, and how many of them run at once. */
  batch?: { id: string; limit: number }
  /** Set when another system works on it: it has no tries here. */
  elsewhere?: true
  priority: number
  created_at: string
}

/** The part of a task that changes, as lists show it: stored alongside the log, so that they need not fold. */
export interface TaskStand {
  state: TaskState
  reason?: Reason
  message?: string
  /** The reason why it waits. */
  why?: string
  /** The run of its open try. */
  open_run?: string
  /** When the next try begins by itself (RFC 3339). */
  retry_at?: string
  /** Time of its last event. */
  updated_at: string
  /** Number of tries that have begun. */
  tries?: number
  /** Sums over all suites. */
  tests?: Pick<TestFigures, 'passed' | 'failed' | 'skipped'>
  pull_request?: PullRequestState
}

export interface TaskRecord extends TaskSpec, TaskStand {
  /** `seq` of the last event. */
  last_seq: number
}
