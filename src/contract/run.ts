import * as z from 'zod'
import { DeniedUses } from './agent.ts'
import { AgentRequest, OldInput, OldMetadata } from './agent-api.ts'
import { Approvers } from './approvers.ts'
import { AttemptEnd, AttemptUsage } from './attempt.ts'
import { StepPhase } from './events.ts'
import { RunId } from './ids.ts'
import { BoxAskShape, Isolation, Network, ProvisionedBox } from './isolation.ts'
import { plainName } from './plain-name.ts'
import { ChainLink, type InstanceKey, type RetryMarks } from './runs/retry.ts'
import { Share } from './runs/shares.ts'
import { TakenSecrets } from './secrets.ts'
import { AttemptOutcome, Reason, RunStatus, StepStatus } from './status.ts'
import { Artifact } from './tasks/artifact.ts'
import { PullRequestState, TestFigures } from './tasks/task-facts.ts'
import { RunLabels, Scalar } from './workflow.ts'

/** The origin of a run, as the store has it; it never changes. */
export interface RunSpec {
  run_id: string
  /** The blueprint that made it: `workflow`, `agent`, `bot`, `task`. */
  blueprint: string
  workflow_name: string
  /** The workflow, validated, with every default filled in; `Workflow` in `workflow.ts`. */
  workflow: unknown
  /** Values given for inputs, and other variables given by the caller. */
  vars: Record<string, string>
  owner: string
  tenant: string
  /** The repository it is for: determines its group, and the secrets of its scope. */
  repository?: string
  /** Labels of its workflow, and those that it was started with; absent: none. */
  labels?: Record<string, string>
  created_at: string
  /** The run and step that started this one, for a sub-workflow; the depth counts from 0. */
  parent?: { run_id: string; step: string; phase: StepPhase; instance: number; depth: number }
  /** The run that this one repeats or rolls back. */
  retry_of?: string
  /** The run whose steps this one undoes. */
  rolls_back?: string
  /** The ended run whose agent session this one continues. */
  continues?: string
  /** The run of the same bot that this one replaces. */
  replaces?: string
  /** Instances of main steps taken over from `retry_of` as done, by step. */
  carried?: Record<string, (InstanceKey & { exports: Record<string, string>; child?: string })[]>
  /** The remaining requests of the retry. */
  retry?: RetryMarks
  /** Only for a retry: the first run of its chain of tries, and its number there, from 2. */
  first_run?: string
  try?: number
}

/** A run's steps as a list draws them. */
export const RunRoute = z.object({
  stops: z
    .string()
    .optional()
    .describe(
      'One letter per main step: d done, f failed, r running, a ahead, k skipped, q waits for a person, w waits for capacity or its next try, i interrupted, c canceled',
    ),
  counts: z
    .partialRecord(
      z.enum([
        'succeeded',
        'failed',
        'running',
        'waiting',
        'asks',
        'interrupted',
        'canceled',
        'skipped',
        'ahead',
      ]),
      z.number().int(),
    )
    .optional()
    .describe(
      'Replaces `stops` in runs with more than 12 steps, or with a step of more than 12 instances; it then counts the instances of all steps',
    ),
})
export type RunRoute = z.infer<typeof RunRoute>

const AskingPlace = z.object({
  kind: z.enum(['approval', 'agent']),
  step: z.string(),
  host: z.string().optional(),
  instance: z.number().int().optional().describe('Position of the instance, if the step has several'),
})
/** The rest of a run's progress. */
const RunNow = z.object({
  step: z.string().optional().describe('The running step that began last'),
  host: z.string().optional().describe('Host of that step, if it has one'),
  instances: z
    .object({ done: z.number().int(), failed: z.number().int(), all: z.number().int() })
    .optional()
    .describe('Instances of that step, if it has several'),
  question: z
    .object({
      ...AskingPlace.shape,
      text: z.string().describe('At most 200 characters'),
      request_id: z
        .string()
        .optional()
        .describe('Set if an agent asks to run a command that `text` and `folder` describe completely'),
      attempt: z.number().int().optional().describe('The attempt that asks; name it in the answer'),
      folder: z.string().optional().describe('Where that command would run, if not in the folder of the run'),
      expires_at: z.string().optional(),
      on_timeout: z.enum(['approve', 'reject']).optional(),
      approvers: z.optional(Approvers).describe('Who may answer; absent: the owner of the run, and admins'),
    })
    .optional()
    .describe('The first question for a person'),
  asked_too: z
    .object({
      count: z.number().int(),
      places: z.array(AskingPlace).describe('The first three places'),
    })
    .optional()
    .describe('Where else in the run a person is asked'),
  failure: z
    .object({
      step: z.string(),
      host: z.string().optional(),
      reason: z.optional(Reason),
      message: z.string().describe('At most 200 characters'),
      exit_code: z.number().int().optional(),
      last_error_line: AttemptEnd.shape.last_error_line,
    })
    .optional()
    .describe('The first step that failed, in a run that did not succeed'),
})
/** The latest session with an agent in a run. */
const RunSession = z.object({
  agent: z.string(),
  model: z.string().optional(),
  tokens: z.number().int().optional().describe('Input, cached and output tokens of the session so far'),
  cost_usd: z.number().optional().describe('Set if the agent reports it'),
  last_words: z.string().optional().describe("Start of the agent's last message; at most 200 characters"),
})
export const RunListRow = z.object({
  route: z.optional(RunRoute),
  now: z.optional(RunNow),
  session: z.optional(RunSession),
  waiting_since: z
    .string()
    .optional()
    .describe(
      'Since when no part of the run is worked on: it waits for its turn, a machine, a person or its next try',
    ),
})
export type RunListRow = z.infer<typeof RunListRow>

/** Set for an open run that does not proceed until an admin resumes it or the hub restarts. */
export const SetAside = z.object({
  since: z.string(),
  why: z
    .string()
    .describe('The error: the next event does not fit the log of the run, or the log cannot be read'),
})
export type SetAside = z.infer<typeof SetAside>

/** A run as the store lists it: stored alongside the log, so that lists need not fold. */
export interface RunRecord extends RunSpec {
  status: RunStatus
  reason?: Reason
  message?: string
  started_at?: string
  finished_at?: string
  outputs?: Record<string, string>
  /** The reason why it is still queued, or what its first waiting attempt waits for. */
  waiting?: string
  /**
   * Milliseconds since its creation in which nothing of it was worked on, for waits that are over. Absent from older
   * runs.
   */
  waited_ms?: number
  /** `seq` of the last event. */
  last_seq: number
  /** Text of the last notifier failure; a notifier never changes a run's result. */
  last_notify_error?: string
  /** A `RunListRow` as JSON; absent from older runs. */
  list_row?: string
  set_aside?: SetAside
  /** The people with whom its owner, or an admin, has shared it. */
  shares?: readonly Share[]
  /** Number of stored output bytes; set once it has ended, if there are any. */
  output_bytes?: number
  /** The number of the newest try of its chain, if there are others; computed with each read, by stores that can. */
  tries?: number
}

export type RunPatch = Partial<
  Pick<
    RunRecord,
    | 'status'
    | 'reason'
    | 'message'
    | 'started_at'
    | 'finished_at'
    | 'outputs'
    | 'waiting'
    | 'waited_ms'
    | 'last_notify_error'
    | 'output_bytes'
    | 'list_row'
    | 'shares'
    | 'set_aside'
  >
>

/** A run in a list. */
export const RunSummary = z.object({
  run_id: z.string(),
  blueprint: z.string(),
  workflow_name: z.string(),
  status: RunStatus,
  reason: z.optional(Reason),
  message: z.string().optional(),
  owner: z.string(),
  repository: z.string().optional(),
  created_at: z.string(),
  started_at: z.string().optional(),
  finished_at: z.string().optional(),
  waiting: z.string().optional(),
  waited_ms: z
    .number()
    .optional()
    .describe(
      'How long the run has waited since its creation while no part of it was worked on; counts only waits that are over',
    ),
  worked_ms: z
    .number()
    .optional()
    .describe('Set once the run has ended: the time from its creation to its end, minus `waited_ms`'),
  set_aside: z
    .optional(SetAside)
    .describe('The run is open, but set aside until an admin resumes it or the hub restarts'),
  parent_run_id: z.string().optional(),
  retry_of: z.string().optional(),
  first_run: z.string().optional().describe('For a retry: the first run of its chain of tries'),
  try: z.number().int().optional().describe('Number of this run in its chain of tries; absent if alone'),
  tries: z.number().int().optional().describe('Number of the latest attempt in that chain'),
  rolls_back: z.string().optional().describe('The run whose steps this run rolls back'),
  continues: z.string().optional().describe('The run whose agent session this run continues'),
  replaces: z.string().optional().describe('The run of the same bot that this run replaces'),
  last_notify_error: z.string().optional(),
  inputs: z
    .record(z.string(), z.string())
    .optional()
    .describe('At most three of the values that the run was given, each cut to 60 characters'),
  inputs_left_out: z.number().int().optional().describe('How many values `inputs` leaves out'),
  labels: z.optional(RunLabels),
  last_seq: z.number().int().optional().describe('`seq` of the last event of its log'),
  ...RunListRow.shape,
})
export type RunSummary = z.infer<typeof RunSummary>

export const InstanceView = z.object({
  index: z.number().int().optional().describe('Position of the instance in the step, if not all are shown'),
  host: z.string(),
  vars: z.record(z.string(), z.string()).optional(),
  status: StepStatus,
  waiting: z.string().optional().describe('Why it has no machine yet, while its status is `waiting`'),
  asks: z.literal(true).optional().describe('A person is asked, for an approval or by the agent'),
  reason: z.optional(Reason),
  message: z.string().optional(),
  exit_code: z.number().int().optional(),
  last_error_line: AttemptEnd.shape.last_error_line.describe(
    'If its last try failed: the last non-blank line on stderr, without colors; at most 200 characters',
  ),
  duration_ms: z.number().optional().describe('Duration of its last attempt, as measured by its machine'),
  waited_ms: z.number().optional().describe('Total time that it has waited; only waits that are over'),
  waiting_since: z.string().optional().describe('Since when it waits'),
  child_run_id: z.string().optional().describe('Run of the sub-workflow, if it is one'),
  /** The attempts, oldest first; `attempt_id` goes into the output URL. */
  attempts: z.array(
    z.object({
      attempt_id: z.string(),
      number: z.number().int(),
      try: z.number().int(),
      outcome: z.optional(AttemptOutcome),
      runner: z.string().optional(),
      created_at: z.string().optional(),
      started_at: z.string().optional().describe('When its machine began it'),
      finished_at: z.string().optional(),
      waiting: z.string().optional(),
      phase: z
        .object({
          name: z.string(),
          message: z.string().optional(),
          reason: z.optional(Reason),
          since: z.string(),
        })
        .optional()
        .describe('The phase that it reported last'),
      restarts: z.number().int().optional().describe('How often it reported a restart'),
      isolation: z.optional(Isolation).describe('How it is isolated from its machine; absent if it is not'),
      made_box: z
        .optional(ProvisionedBox)
        .describe('Without isolation: the container or pod made for its run; its network counts as open'),
      network: z.optional(Network).describe('What it may reach from there'),
      refused: z
        .array(
          z.object({
            host: z.string(),
            port: z.number().int().optional(),
            why: z.string(),
            count: z.number().int(),
          }),
        )
        .optional()
        .describe('Hosts that it was denied, and how often'),
      artifacts: z.array(Artifact).optional().describe('Artifacts that it has stored'),
      pushed: z
        .object({ repo: z.string(), branch: z.string(), sha: z.string(), forced: z.boolean() })
        .optional()
        .describe('The branch that it has pushed'),
      pull_request: PullRequestState.optional(),
      tests: z.array(TestFigures).optional().describe('Its test results, by suite'),
      secrets: TakenSecrets.optional().describe('Hub secrets that it was given, by variable'),
      streams: z.record(z.string(), z.object({ length: z.number().int() })).optional(),
      usage: AttemptUsage.optional(),
      denied: DeniedUses.optional().describe('Tool uses that its agent was denied'),
      late_inputs: z
        .array(z.object({ input_id: z.string(), run_id: z.string().optional() }))
        .optional()
        .describe('Prompts that came too late for it; `run_id` is the run that handles them instead'),
    }),
  ),
})
export const StepView = z.object({
  step: z.string(),
  phase: StepPhase,
  action: z.string(),
  on_demand: z.literal(true).optional().describe('The step is not shown if it does not run'),
  status: StepStatus,
  waiting: z.string().optional().describe('Why its first waiting instance has no machine yet'),
  reason: z.optional(Reason),
  message: z.string().optional(),
  started_at: z.string().optional(),
  finished_at: z.string().optional(),
  waited_ms: z
    .number()
    .optional()
    .describe(
      'How long the step has waited since its start while none of its instances was worked on; counts only waits that are over',
    ),
  waiting_since: z.string().optional().describe('Since when it waits'),
  approval: z
    .object({
      message: z.string(),
      expires_at: z.string().optional(),
      on_timeout: z
        .enum(['approve', 'reject'])
        .optional()
        .describe('What happens if nobody answers by `expires_at`'),
      approvers: z.optional(Approvers).describe('Who may answer; absent: the owner of the run, and admins'),
    })
    .optional(),
  answered: z
    .object({
      decision: z.enum(['approve', 'reject']),
      by: z.string().optional(),
      at: z.string(),
      comment: z.string().optional(),
    })
    .optional()
    .describe('The last answer to its approval'),
  child_run_ids: z.array(z.string()).optional(),
  instances: z.array(InstanceView),
  counts: z
    .partialRecord(StepStatus, z.number().int())
    .optional()
    .describe('Number of instances by status, if not all are shown'),
})
export type StepView = z.infer<typeof StepView>

/** A run with all details. */
export const RunView = RunSummary.extend({
  vars: z.record(z.string(), z.string()),
  outputs: z.record(z.string(), z.string()).optional(),
  cancel: z
    .object({ by: z.string().optional(), message: z.string().optional(), force: z.boolean() })
    .optional()
    .describe('Set if a cancellation was requested, and by whom'),
  rollback: z
    .object({ run_id: z.string(), status: RunStatus })
    .optional()
    .describe('The last run that was started to roll this one back; `success`: it is rolled back'),
  chain: z
    .array(ChainLink)
    .optional()
    .describe('All existing tries of its chain, oldest first; at most the newest 100'),
  retried_as: z.string().optional().describe('The newest run that is a retry of this run itself'),
  shares: z
    .array(Share)
    .readonly()
    .optional()
    .describe('Who can see the run besides its owner and the admins'),
  steps: z.array(StepView),
  last_seq: z.number().int(),
})
export type RunView = z.infer<typeof RunView>

/** `POST /api/runs`: exactly one of `yaml`, `workflow`, `agent` and `input`. */
export const CreateRun = z.strictObject({
  blueprint: z.enum(['workflow', 'agent']).optional().describe('Default: derived from the other fields'),
  run_id: z.optional(RunId),
  yaml: z
    .string()
    .max(4 * 1024 * 1024)
    .optional()
    .describe('A workflow, as the text of its file'),
  workflow: z.record(z.string(), z.unknown()).optional().describe('A workflow, as JSON'),
  vars: z.record(z.string(), Scalar).default({}).describe('Inputs and variables of the workflow'),
  labels: z.optional(RunLabels).describe('Added to the labels of the workflow, and override them'),
  repository: plainName(500)
    .optional()
    .describe('Name of its repository; selects the runner group and the secrets of that scope'),
  ...BoxAskShape,
  agent: AgentRequest.optional().describe('What to ask an agent'),
  input: OldInput.optional().describe('What to ask an agent, as in the agent API, with `metadata`'),
  metadata: OldMetadata.optional(),
  session_id: z.string().optional().describe('From the agent API; has no effect'),
})
export type CreateRun = z.infer<typeof CreateRun>
export type CreateRunInput = z.input<typeof CreateRun>

/** Sort orders for a list of runs besides the time of their creation. */
export const runSorts = [
  'active',
  'started',
  '-started',
  'finished',
  '-finished',
  'duration',
  '-duration',
  'name',
  '-name',
] as const
export type RunSort = (typeof runSorts)[number]

export const ListRuns = z.strictObject({
  status: z.string().optional().describe('One or more, separated by commas'),
  workflow_name: z.string().optional(),
  owner: z.string().optional(),
  blueprint: z.string().optional().describe('`workflow`, `agent`, `bot` or `task`'),
  parent_run_id: z.string().optional(),
  label: z
    .union([z.string().max(200), z.array(z.string().max(200)).max(8)])
    .optional()
    .describe('`NAME=value`, or `NAME` for any value; if repeated, all must match'),
  sort: z
    .enum(runSorts)
    .optional()
    .describe(
      'Default: by creation. `active`: runs that have not ended come first, then all others, newest first in both groups. `started`, `finished`: latest first. `duration`: longest first. `name`: from A. `-` reverses the order. A run that has not ended counts as the last to finish, and as the shortest',
    ),
  latest: z.stringbool().optional().describe('Only the latest attempt of each chain'),
  continues: z
    .string()
    .optional()
    .describe('Runs that continue the session of this run, or are branches of it'),
  first_run: z.string().optional().describe('Tries of the chain that began with this run, without that run'),
  input: z
    .union([z.string().max(500), z.array(z.string().max(500)).max(8)])
    .optional()
    .describe('`NAME=value` of an input or variable that the run was given; if repeated, all must match'),
  agent: z.string().max(100).optional().describe('Agent of its latest session, such as `codex`'),
  repository: z.string().max(500).optional().describe('Repository that the run is for'),
  shared: z.stringbool().optional().describe("Other users' runs that are shared with you"),
  needs: z.literal('me').optional().describe('`me`: runs that wait for an answer from a person'),
  text: z
    .string()
    .max(200)
    .optional()
    .describe('Text in the id, the workflow name or the last words of an agent, in any case'),
  created_after: z.string().optional(),
  created_before: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().optional(),
})
export type ListRuns = z.infer<typeof ListRuns>
