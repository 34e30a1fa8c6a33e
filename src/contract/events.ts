import * as z from 'zod'
import { AgentUpdate, AttemptInput, DeniedUses } from './agent.ts'
import { Approvers } from './approvers.ts'
import { AttemptEnd, AttemptUsage, StreamEnd, StreamName } from './attempt.ts'
import { Isolation, Network, ProvisionedBox } from './isolation.ts'
import { ShareCan, SharedFields } from './runs/shares.ts'
import { TakenSecrets } from './secrets.ts'
import { AttemptOutcome, Reason, RunStatus, StepStatus } from './status.ts'
import { Artifact } from './tasks/artifact.ts'
import { PullRequestState, TestFigures } from './tasks/task-facts.ts'

/**
 * The fields of every event in a run's log. The log is append-only, with `seq` from 1 without gaps; folding it gives
 * the run's state. In events, `step` is a step's name, and `phase` says which of the three lists of steps it is in.
 */
const head = { seq: z.number().int().min(1), time: z.string().describe('RFC 3339, UTC, milliseconds') }
const at = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.object({ ...head, type: z.literal(type), ...shape })

const step = z.string()
/** Number of the attempt within the run, from 1. */
const attempt = z.number().int().min(1)
const vars = z.record(z.string(), z.string())
const placedOn = z
  .string()
  .optional()
  .describe("The runner's storage (from `hello`) when the attempt was placed there")

/** The requirements of its runner's group, in addition to those of the run. */
const ofGroup = {
  isolation: z.optional(Isolation).describe("Minimum that the runner's group requires"),
  network: z.optional(Network).describe('The most that this group lets it reach'),
}

export const StepPhase = z.enum(['main', 'rollback', 'finally'])
export type StepPhase = z.infer<typeof StepPhase>

export const StepInstance = z.object({
  host: z.string(),
  /** Variables of this matrix combination or foreach item. */
  vars: vars.optional(),
  /** Set when the run is a retry and takes this instance over as done: the instance's exports. */
  carried: vars.optional(),
  /** The run of a sub-workflow that a retry takes over or leaves unchanged. */
  child: z.string().optional(),
  /**
   * Set when it never begins: its `when` is false or cannot be evaluated, or a retry leaves it unchanged, or skips it.
   */
  ended: z
    .object({
      status: z.enum(['skipped', 'failed', 'canceled', 'interrupted']),
      reason: Reason,
      message: z.string().optional(),
    })
    .optional(),
})
export type StepInstance = z.infer<typeof StepInstance>

export const RunEvent = z.discriminatedUnion('type', [
  at('run.created', { workflow_name: z.string(), vars }),
  at('run.waiting', { why: z.string() }),
  at('run.started', {}),
  at('run.cancel_requested', {
    by: z.string().optional(),
    message: z.string().optional(),
    force: z.boolean(),
  }),
  at('run.shared', { ...SharedFields, can: ShareCan }),
  at('run.unshared', SharedFields),
  at('run.timed_out', {}),
  at('run.finished', {
    status: RunStatus,
    reason: z.optional(Reason),
    message: z.string().optional(),
    outputs: vars.optional(),
  }),
  at('step.started', { step, phase: StepPhase, instances: z.array(StepInstance) }),
  at('step.skipped', {
    ...{ step, phase: StepPhase, reason: Reason, message: z.string().optional() },
    on_demand: z.literal(true).optional().describe('The step is not shown if it does not run'),
  }),
  at('step.finished', {
    step,
    phase: StepPhase,
    status: StepStatus,
    reason: z.optional(Reason),
    message: z.string().optional(),
  }),
  at('attempt.created', {
    attempt,
    step,
    phase: StepPhase,
    instance: z.number().int().min(0),
    host: z.string(),
    try: z.number().int().min(1),
    /** Set when it was placed at once. */
    runner: z.string().optional(),
    storage_id: placedOn,
    ...ofGroup,
    epoch: z.number().int().min(0).describe('0: not handed out yet'),
    waiting: z.string().optional().describe('Why it was not placed at once'),
  }),
  at('attempt.waiting', { attempt, why: z.string() }),
  at('attempt.assigned', {
    attempt,
    runner: z.string().optional(),
    storage_id: placedOn,
    ...ofGroup,
    epoch: z.number().int().min(1),
  }),
  at('attempt.started', {
    attempt,
    pid: z.number().int().optional(),
    isolation: z.optional(Isolation).describe('Isolation that it got; absent: none'),
    made_box: z
      .optional(ProvisionedBox)
      .describe(
        'Set without isolation: it runs inside a container or pod that was made for its run; the network there counts as open',
      ),
    network: z.optional(Network).describe('What it may reach from there; at most the first 20 hosts'),
  }),
  at('attempt.phase', {
    attempt,
    phase: z.string(),
    message: z.string().optional(),
    reason: z.optional(Reason).describe('Why it is in that phase'),
  }),
  at('network.refused', {
    attempt,
    to: z.string().describe('The host that it asked for'),
    port: z.number().int().optional(),
    why: z.string(),
    count: z.number().int().min(1).describe('How often since the last event for that host'),
  }),
  at('network.used', {
    attempt,
    to: z.string().describe('The host that it reached'),
    port: z.number().int().optional(),
    sent_bytes: z.number(),
    received_bytes: z.number(),
  }),
  at('artifact.kept', { attempt, artifact: Artifact }),
  at('git.pushed', {
    attempt,
    repo: z.string(),
    branch: z.string(),
    sha: z.string(),
    forced: z.boolean(),
  }),
  at('pull_request.changed', { attempt, pull_request: PullRequestState }),
  at('test.results', { attempt, tests: TestFigures }),
  at('attempt.secrets', { attempt, secrets: TakenSecrets }),
  at('attempt.cancel_requested', { attempt, reason: Reason, message: z.string().optional() }),
  at('output', {
    attempt,
    step,
    host: z.string(),
    stream: StreamName,
    offset: z.number().int().min(0),
    length: z.number().int().min(1),
    unordered: z
      .literal(true)
      .optional()
      .describe('The order of these bytes relative to those of the other stream is unknown'),
    /** Added when the event is read, never stored; bytes that are not UTF-8 become U+FFFD. */
    text: z.string().optional(),
    /** Added likewise: how many of its bytes are gone. */
    missing: z.number().int().min(1).optional(),
  }),
  at('attempt.finished', {
    attempt,
    step,
    host: z.string(),
    outcome: AttemptOutcome,
    reason: z.optional(Reason),
    message: z.string().optional(),
    exit_code: z.number().int().optional(),
    signal: z.string().optional(),
    exports: vars.optional(),
    streams: z.partialRecord(StreamName, StreamEnd).optional(),
    output_files: z.partialRecord(StreamName, z.string()).optional(),
    duration_ms: z.number().optional(),
    usage: AttemptUsage.optional(),
    denied: DeniedUses.optional(),
    last_error_line: AttemptEnd.shape.last_error_line,
    retry_at: z.string().optional().describe('Set if it is tried again'),
  }),
  at('agent.update', { attempt, step, host: z.string(), update: AgentUpdate }),
  at('input.given', { attempt, input: AttemptInput, by: z.string().optional() }),
  at('input.taken', { attempt, input_id: z.string() }),
  /** A prompt that came too late for the attempt belongs to another run, which continues the session. */
  at('input.passed_on', { attempt, input_id: z.string(), run_id: z.string() }),
  /** A prompt came too late for the attempt, and no run continues with it. */
  at('input.dropped', { attempt, input_id: z.string(), message: z.string() }),
  at('approval.requested', {
    step,
    phase: StepPhase,
    instance: z.number().int(),
    message: z.string(),
    expires_at: z.string().optional(),
    on_timeout: z.enum(['approve', 'reject']).optional().describe('Set if it expires'),
    comment_as: z
      .string()
      .optional()
      .describe('Variable for the comment of a rejection; a rejection with a comment is then not a failure'),
    approvers: z.optional(Approvers).describe('Who may answer'),
  }),
  at('approval.answered', {
    step,
    phase: StepPhase,
    instance: z.number().int(),
    decision: z.enum(['approve', 'reject']),
    by: z.string().optional(),
    comment: z.string().optional(),
    reason: z.optional(Reason).describe('Set if the question itself failed'),
  }),
  at('child.started', { step, phase: StepPhase, instance: z.number().int(), run_id: z.string() }),
  at('child.finished', {
    step,
    phase: StepPhase,
    instance: z.number().int(),
    run_id: z.string(),
    status: RunStatus,
    message: z.string().optional(),
    outputs: vars.optional(),
  }),
])
export type RunEvent = z.infer<typeof RunEvent>
export type EventType = RunEvent['type']
export type EventOf<T extends EventType> = Extract<RunEvent, { type: T }>

/** An event that has no place in the log yet. */
export type NewEvent = RunEvent extends infer E
  ? E extends RunEvent
    ? Omit<E, 'seq' | 'time'>
    : never
  : never
