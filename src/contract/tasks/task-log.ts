import * as z from 'zod'
import { Reason, RunStatus } from '../status.ts'
import { Artifact } from './artifact.ts'
import { TaskState } from './task.ts'
import { FollowEnd, FollowTry, PullRequestState, TestFigures } from './task-facts.ts'

/**
 * The fields of every event in a task's log. The log is append-only, with `seq` from 1 without gaps; folding it gives
 * the task's state.
 */
const head = { seq: z.number().int().min(1), time: z.string().describe('RFC 3339, UTC, milliseconds') }
const at = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.object({ ...head, type: z.literal(type), ...shape })

/** The part of the task's budget that a try has used. */
export const TrySpent = z.object({
  seconds: z.number().min(0),
  turns: z.number().int().min(0).optional(),
  tokens: z.number().int().min(0).optional(),
  cost_usd: z.number().min(0).optional(),
  peak_memory_bytes: z.number().min(0).optional().describe('Peak memory of one step'),
  cpu_ms: z.number().min(0).optional(),
  model: z.string().optional().describe('The last model that its agent used'),
})
export type TrySpent = z.infer<typeof TrySpent>

/** The run event that a task event was made from: repeating it changes nothing. */
const from = z.object({ run_id: z.string(), seq: z.number().int().min(1) })
export type EventSource = z.infer<typeof from>

/** The steps of a try at which a later one can begin. */
export const TaskStage = z.enum([
  'check',
  'workspace',
  'setup',
  'plan',
  'implement',
  'carry',
  'test',
  'review',
  'push',
  'pull_request',
])
export type TaskStage = z.infer<typeof TaskStage>

/** Saved work: the commits from `start` to `tip` are in the artifact, a pack. */
export const Checkpoint = z.object({
  start: z.string(),
  tip: z.string(),
  base: z.string().optional(),
  branch: z.string().optional(),
  artifact_id: z.string(),
  run_id: z.string(),
  /** Protected files in it that a person has not approved yet, in words. */
  asked: z.string().optional(),
  /** The first step that still has to be done. */
  next: TaskStage,
})
export type Checkpoint = z.infer<typeof Checkpoint>

export const TaskEvent = z.discriminatedUnion('type', [
  at('task.created', { title: z.string(), by: z.string().optional() }),
  at('task.waiting', { why: z.string() }),
  at('task.try_started', { run_id: z.string(), number: z.number().int().min(1), stage: TaskStage }),
  at('task.try_ended', {
    from: from.optional().describe('Absent if no run was created'),
    run_id: z.string(),
    status: RunStatus,
    reason: z.optional(Reason),
    message: z.string().optional(),
    spent: TrySpent.optional(),
    step: z.string().optional().describe('The step that failed'),
    retry_at: z.string().optional().describe('Set if another try follows automatically'),
  }),
  at('task.checkpoint', { from, checkpoint: Checkpoint }),
  at('task.artifact', { from, artifact: Artifact }),
  at('task.tests', { from, tests: TestFigures }),
  at('task.pushed', { from, sha: z.string(), branch: z.string(), forced: z.boolean() }),
  at('task.pull_request', { from: from.optional(), pull_request: PullRequestState }),
  at('task.follow', {
    action: z.enum(['begin', 'try', 'stop']).describe('With "try", the task goes back to `pending`'),
    why: FollowEnd.optional().describe('Only with "stop"'),
    message: z.string(),
    by: z.string().optional().describe('The person who did it, if a person did'),
    try: FollowTry.optional(),
    prompt: z
      .string()
      .optional()
      .describe("Prompt for the agent of that try: logs and other people's comments, in fences"),
  }),
  /** Reported by a client of the task registry. */
  at('task.external_event', { event_id: z.string(), event_type: z.string(), data: z.unknown() }),
  at('task.external_artifact', {
    kind: z.string(),
    uri: z.string(),
    size_bytes: z.number().min(0).optional(),
  }),
  at('task.state', {
    state: TaskState,
    from: from.optional(),
    reason: z.optional(Reason),
    message: z.string().optional(),
    by: z.string().optional(),
    stage: TaskStage.optional().describe('For a retry: the stage where its first try begins'),
    prompt: z.string().optional().describe('For a retry: prompt for the agent of its first try'),
    metadata: z.record(z.string(), z.unknown()).optional(),
  }),
])
export type TaskEvent = z.infer<typeof TaskEvent>
export type TaskEventType = TaskEvent['type']
export type TaskEventOf<T extends TaskEventType> = Extract<TaskEvent, { type: T }>

/** An event that has no place in the log yet. */
export type NewTaskEvent = TaskEvent extends infer E
  ? E extends TaskEvent
    ? Omit<E, 'seq' | 'time'>
    : never
  : never
