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
    .describe('Or several, which may depend on each other'),
  issue: z.string().min(1).max(2000).optional().describe('Or the address of an issue, which becomes one'),
  defaults: IssueDefaults.optional().describe('With "issue": what it does not tell, such as the agent'),
  limit: z.int().min(1).max(MAX_TASKS_AT_ONCE).optional().describe('How many of them are worked on at once'),
})
export type CreateTasks = z.infer<typeof CreateTasks>
export type CreateTasksInput = z.input<typeof CreateTasks>

export const CreateTasksHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe('Names tasks that have no `task_id`: a repeat with the same key gives the same tasks'),
})

export const TasksCreated = z.object({
  tasks: z.array(
    z.object({
      id: z.string().describe('task_…'),
      task_id: z.string().describe('Its own, or the one that was made'),
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
  run_id: z.string().optional().describe('Of its open try'),
  retry_at: z.string().optional().describe('When the next try begins by itself'),
  agent: z.string(),
  try_count: z.int().min(0).describe('So many have begun'),
  test_figures: TestFigures.pick({ passed: true, failed: true, skipped: true })
    .optional()
    .describe('Of all suites together'),
  pull_request: PullRequestState.optional(),
  priority: z.int(),
  created_at: z.string(),
  updated_at: z.string(),
})
export type TaskSummary = z.infer<typeof TaskSummary>

export const ListTasks = z.strictObject({
  state: z.string().optional().describe("One or several, separated by commas; any system's words"),
  repo: z.string().optional(),
  spec: z.string().optional(),
  agent: z.string().max(100).optional(),
  text: z.string().max(200).optional().describe('Part of a title or an id, however it is capitalized'),
  owner: z.string().optional().describe('For an admin'),
  sort: z
    .literal('active')
    .optional()
    .describe(
      'Default: by creation. `active`: what waits for an answer comes first, then what has not ended, then all others, each the newest first',
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
  stage: TaskStage.describe('Where it began'),
  started_at: z.string(),
  ended_at: z.string().optional(),
  status: z.optional(RunStatus).describe('Absent: it is open'),
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
  task: Task.describe('As it was given, with every default'),
  depends_on: z.array(z.object({ id: z.string(), task_id: z.string(), state: TaskState })),
  tries: z.array(TryView).describe('Oldest first'),
  spent: TrySpent.describe('By all tries'),
  checkpoint: z.optional(Checkpoint).describe('Work that is kept, from which a later try begins'),
  tests: z.array(TestFigures).describe('Of each suite the last figures'),
  pushed: z.object({ sha: z.string(), branch: z.string(), forced: z.boolean() }).optional(),
  follow: z
    .object({
      state: z.enum(['on', 'off', 'stopped']),
      why: FollowEnd.optional().describe('Of one that is off or stopped'),
      message: z.string().optional(),
      tries: z.int().min(0).describe('Made since it began'),
      since: z.string().optional().describe('When it began: it was in review, or a person said so'),
    })
    .optional()
    .describe('Of its pull request; absent where nobody has asked for it'),
  artifact_count: z.int(),
  result: z.optional(TaskResult).describe('Once it is settled, as older systems read it'),
  metadata: z.record(z.string(), z.unknown()).optional().describe('As another system has told it'),
  last_seq: z.int(),
})
export type TaskView = z.infer<typeof TaskView>

export const TaskRuns = z.object({ runs: z.array(TryView) })
export type TaskRuns = z.infer<typeof TaskRuns>
export const TaskArtifacts = z.object({
  artifacts: z.array(TaskArtifact),
  external: z.array(ForeignArtifact).describe('That another system has told of'),
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
  with_dependants: z.boolean().default(false).describe('And what hangs on it, which is blocked else'),
})
export type CancelTaskInput = z.input<typeof CancelTask>
export const RetryTask = z.strictObject({
  from: TaskStage.optional().describe(
    'Default: the first step whose work is not kept; with a prompt: implement',
  ),
  prompt: z
    .string()
    .min(1)
    .max(64 * 1024)
    .optional()
    .describe('For the agent of that try, which adds to the work that is kept'),
})
export type RetryTaskInput = z.input<typeof RetryTask>
export const ApproveTask = z.strictObject({
  step: z.string().min(1).optional().describe('Default: the one that waits'),
  decision: z.enum(['approve', 'reject']).default('approve'),
  comment: z.string().max(2000).optional(),
})
export type ApproveTaskInput = z.input<typeof ApproveTask>
export const FollowTask = z.strictObject({
  follow: z.boolean().default(true).describe('false: nobody looks at checks and reviews any more'),
})
export type FollowTaskInput = z.input<typeof FollowTask>
export const PromptTask = z.strictObject({
  prompt: z.string().min(1),
  input_id: z.string().min(1).max(200).optional().describe('The same again changes nothing'),
})
export type PromptTaskInput = z.input<typeof PromptTask>

/** Answers of the task registry in the shape of older systems. */
export const RegistryTask = z.object({ task_id: z.string(), status: TaskState })
export type RegistryTask = z.infer<typeof RegistryTask>
export const RegistryEvent = z.object({ task_id: z.string(), event_id: z.string() })
export const RegistryArtifact = z.object({ task_id: z.string(), uri: z.string() })
