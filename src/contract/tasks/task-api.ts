import * as z from 'zod'
import { Reason, RunStatus } from '../status.ts'
import { Artifact } from './artifact.ts'
import { Task, TaskState } from './task.ts'
import { FollowEnd, PullRequestState, TestFigures } from './task-facts.ts'
import { Checkpoint, TaskEvent, TaskStage, TrySpent } from './task-log.ts'
import { TaskResult } from './task-result.ts'

/** Requests and answers of `/api/tasks`. */

export const MAX_TASKS_AT_ONCE = 1000

/** Fields of a task that an issue does not give; the others come from the issue. */
export const IssueDefaults = Task.omit({ title: true, task_id: true, issue: true, repo_url: true }).partial()

/** A single task, a file of tasks that is accepted whole or not at all, or an issue that becomes a task. */
export const CreateTasks = z.strictObject({
  task: Task.optional().describe('One'),
  tasks: z
    .array(Task)
    .min(1)
    .max(MAX_TASKS_AT_ONCE)
    .optional()
    .describe('Or several tasks, which may depend on each other'),
  issue: z.string().min(1).max(2000).optional().describe('Or the address of an issue that becomes a task'),
  defaults: IssueDefaults.optional().describe(
    'With "issue": fields that the issue does not give, such as the agent',
  ),
  limit: z.int().min(1).max(MAX_TASKS_AT_ONCE).optional().describe('How many of them may run at once'),
})
export type CreateTasks = z.infer<typeof CreateTasks>
export type CreateTasksInput = z.input<typeof CreateTasks>

export const CreateTasksHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe(
      'Identifies tasks that have no `task_id`: repeating the request with the same key gives the same tasks',
    ),
})

export const TasksCreated = z.object({
  tasks: z.array(
    z.object({
      id: z.string().describe('task_…'),
      task_id: z.string().describe('The given id, or a generated one'),
      spec_name: z.string(),
      state: TaskState,
    }),
  ),
})
export type TasksCreated = z.infer<typeof TasksCreated>

/** A task in a list. */
export const TaskSummary = z.object({
  id: z.string(),
  task_id: z.string(),
  spec_name: z.string(),
  title: z.string(),
  repo: z.string().optional(),
  owner: z.string(),
  state: TaskState,
  reason: z.optional(Reason),
  message: z.string().optional(),
  why: z.string().optional().describe('Why it waits'),
  run_id: z.string().optional().describe('Run of its open try'),
  retry_at: z.string().optional().describe('When the next try begins automatically'),
  agent: z.string(),
  try_count: z.int().min(0).describe('How many tries have begun'),
  test_figures: TestFigures.pick({ passed: true, failed: true, skipped: true })
    .optional()
    .describe('Test results of all suites together'),
  pull_request: PullRequestState.optional(),
  priority: z.int(),
  created_at: z.string(),
  updated_at: z.string(),
})
export type TaskSummary = z.infer<typeof TaskSummary>

export const ListTasks = z.strictObject({
  state: z
    .string()
    .optional()
    .describe('One or more, separated by commas; state names of older systems also work'),
  repo: z.string().optional(),
  spec: z.string().optional(),
  agent: z.string().max(100).optional(),
  text: z.string().max(200).optional().describe('Part of a title or an id, in any case'),
  owner: z.string().optional().describe('Only for admins'),
  sort: z
    .literal('active')
    .optional()
    .describe(
      'Default: by creation. `active`: tasks that wait for an answer come first, then tasks that have not ended, then all others, newest first in each group',
    ),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().optional(),
})
export type ListTasksInput = z.input<typeof ListTasks>
export const TaskList = z.object({ tasks: z.array(TaskSummary), next_cursor: z.string().optional() })
export type TaskList = z.infer<typeof TaskList>

export const TryView = z.object({
  run_id: z.string(),
  number: z.int().min(1),
  stage: TaskStage.describe('The stage where it began'),
  started_at: z.string(),
  ended_at: z.string().optional(),
  status: z.optional(RunStatus).describe('Absent while it is open'),
  reason: z.optional(Reason),
  message: z.string().optional(),
  step: z.string().optional().describe('The step that failed'),
  spent: TrySpent.optional(),
})
export type TryView = z.infer<typeof TryView>

export const TaskArtifact = z.object({ run_id: z.string(), artifact: Artifact })
export const ForeignArtifact = z.object({
  kind: z.string(),
  uri: z.string(),
  size_bytes: z.number().optional(),
})

/** A task with all details. */
export const TaskView = TaskSummary.extend({
  task: Task.describe('The task as it was given, with every default'),
  depends_on: z.array(z.object({ id: z.string(), task_id: z.string(), state: TaskState })),
  tries: z.array(TryView).describe('Oldest first'),
  spent: TrySpent.describe('Spent by all tries'),
  checkpoint: z.optional(Checkpoint).describe('Stored work that a later try starts from'),
  tests: z.array(TestFigures).describe('The last results of each suite'),
  pushed: z.object({ sha: z.string(), branch: z.string(), forced: z.boolean() }).optional(),
  follow: z
    .object({
      state: z.enum(['on', 'off', 'stopped']),
      why: FollowEnd.optional().describe('Why it is off or stopped'),
      message: z.string().optional(),
      tries: z.int().min(0).describe('Tries since it began'),
      since: z
        .string()
        .optional()
        .describe('When it began: the task was in review, or a person turned it on'),
    })
    .optional()
    .describe('How the pull request is followed; absent if nobody has asked for it'),
  artifact_count: z.int(),
  result: z
    .optional(TaskResult)
    .describe('Once the task is settled: the result in the format of older systems'),
  metadata: z.record(z.string(), z.unknown()).optional().describe('Metadata from another system'),
  last_seq: z.int(),
})
export type TaskView = z.infer<typeof TaskView>

export const TaskRuns = z.object({ runs: z.array(TryView) })
export type TaskRuns = z.infer<typeof TaskRuns>
export const TaskArtifacts = z.object({
  artifacts: z.array(TaskArtifact),
  external: z.array(ForeignArtifact).describe('Artifacts that another system has reported'),
})
export type TaskArtifacts = z.infer<typeof TaskArtifacts>

export const TaskEventsQuery = z.object({
  after: z.coerce.number().int().min(0).optional().describe('Only events with a greater `seq`'),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000).describe('For JSON only'),
  access_token: z.string().optional(),
})
export const TaskEventList = z.array(TaskEvent)

/** The task, and the runs of its tries, including those that they had started. */
export const TaskDeleted = z.object({ deleted: z.string(), runs: z.array(z.string()) })
export type TaskDeleted = z.infer<typeof TaskDeleted>

export const CancelTask = z.strictObject({
  message: z.string().max(2000).optional(),
  with_dependants: z
    .boolean()
    .default(false)
    .describe('Also end the tasks that depend on it; otherwise they are blocked'),
})
export type CancelTaskInput = z.input<typeof CancelTask>
export const RetryTask = z.strictObject({
  from: TaskStage.optional().describe(
    'Default: the first stage whose work is not stored; with a prompt: implement',
  ),
  prompt: z
    .string()
    .min(1)
    .max(64 * 1024)
    .optional()
    .describe('Prompt for the agent of that try, which adds to the stored work'),
})
export type RetryTaskInput = z.input<typeof RetryTask>
export const ApproveTask = z.strictObject({
  step: z.string().min(1).optional().describe('Default: the step that waits'),
  decision: z.enum(['approve', 'reject']).default('approve'),
  comment: z.string().max(2000).optional(),
})
export type ApproveTaskInput = z.input<typeof ApproveTask>
export const FollowTask = z.strictObject({
  follow: z.boolean().default(true).describe('false: stop watching checks and reviews'),
})
export type FollowTaskInput = z.input<typeof FollowTask>
export const PromptTask = z.strictObject({
  prompt: z.string().min(1),
  input_id: z.string().min(1).max(200).optional().describe('Sending the same id again changes nothing'),
})
export type PromptTaskInput = z.input<typeof PromptTask>

/** Answers of the task registry in the shape of older systems. */
export const RegistryTask = z.object({ task_id: z.string(), status: TaskState })
export type RegistryTask = z.infer<typeof RegistryTask>
export const RegistryEvent = z.object({ task_id: z.string(), event_id: z.string() })
export const RegistryArtifact = z.object({ task_id: z.string(), uri: z.string() })
