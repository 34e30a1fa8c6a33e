import * as z from 'zod'
import { AgentUpdate, DeniedUses } from './agent.ts'
import { Isolation, Network, ProvisionedBox } from './isolation.ts'
import { AttemptOutcome, Reason } from './status.ts'
import { SecretUse } from './step-secrets.ts'
import { Artifact } from './tasks/artifact.ts'
import { PullRequestState, TestFigures } from './tasks/task-facts.ts'
import { OutputSource, StepArgs } from './workflow.ts'

/** Names of the byte streams of an attempt. */
export const StreamName = z.enum(['stdout', 'stderr'])
export type StreamName = z.infer<typeof StreamName>

/** The requirements that a runner must meet to receive an attempt. */
export const Requirements = z.object({
  runner: z.string().optional(),
  group: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  /** Cores and memory that must be free, and are reserved for it. */
  cpus: z.number().optional(),
  memory_bytes: z.number().optional(),
  /** The largest request of the run's steps on this host: the run stays on one runner, which must offer that much. */
  largest: z.object({ cpus: z.number().optional(), memory_bytes: z.number().optional() }).optional(),
  /** The kinds of boxes that the run's steps on this host ask for; its runner must support them too. */
  boxes: z.array(z.enum(['sandbox', 'container'])).optional(),
  /** Restricts the attempt to runners whose mode is this or `all`; absent: only `all`. */
  mode: z.enum(['chat', 'issue']).optional(),
  /** Set when only a machine with a container engine can run it. */
  containers: z.boolean().optional(),
})
export type Requirements = z.infer<typeof Requirements>

/** The limits for all processes of an attempt together. */
export const AttemptLimits = z.object({
  cpus: z.number().optional(),
  memory_bytes: z.number().optional(),
  processes: z.number().int().optional(),
  disk_bytes: z.number().optional(),
})
export type AttemptLimits = z.infer<typeof AttemptLimits>

/** The usage of all processes of an attempt together. */
export const AttemptUsage = z.object({
  peak_memory_bytes: z.number().optional(),
  cpu_ms: z.number().optional(),
  /** Only for a bot. */
  peak_cpus: z.number().optional(),
  network_received_bytes: z.number().optional(),
  network_sent_bytes: z.number().optional(),
  /** The mechanism that measured it and enforced its limits. */
  held_by: z.enum(['cgroup_v2', 'cgroup_v1', 'watchdog']),
  /** Limits that this machine cannot enforce. */
  not_held: z.array(z.enum(['cpus', 'memory_bytes', 'processes', 'disk_bytes'])).optional(),
})
export type AttemptUsage = z.infer<typeof AttemptUsage>

/** An artifact of the run that is put into the workspace before an attempt begins. */
export const NeededArtifact = z.object({
  artifact_id: z.string(),
  name: z.string(),
  bytes: z.number().int(),
  sha256: z.string(),
  /** Path in the workspace. */
  to: z.string(),
})
export type NeededArtifact = z.infer<typeof NeededArtifact>

/** A try of one step on one host: all that a machine needs to run it. */
export const AttemptSpec = z.object({
  attempt_id: z.string(),
  run_id: z.string(),
  workflow_name: z.string(),
  /** The owner and tenant of the run; absent outside a hub. */
  owner: z.string().optional(),
  tenant: z.string().optional(),
  /** The repository that the run is for, by its name. */
  repository: z.string().optional(),
  step: z.string(),
  host: z.string(),
  /** Index of the step's instance, from 0. */
  instance: z.number().int(),
  /** Number of the try of that instance, from 1. */
  try: z.number().int(),
  action: z.string(),
  /** Arguments with variables filled in, except those that the action takes raw. */
  args: StepArgs,
  /** Every variable that the step sees; a process gets them as its environment. */
  env: z.record(z.string(), z.string()),
  outputs: z.record(z.string(), OutputSource).optional(),
  /** Secrets in addition to `env`, by variable; their values come only with the start of the attempt. */
  secrets: z.record(z.string(), SecretUse).optional(),
  timeout_ms: z.number().optional(),
  /**
   * `stop`: its runner ends it before the hub declares it lost, because another try could begin elsewhere. Absent: it
   * continues.
   */
  on_disconnect: z.enum(['stop', 'continue']).optional(),
  limits: AttemptLimits.optional(),
  /** The minimum isolation between its processes and the machine; absent: the machine's default. */
  isolation: z.optional(Isolation),
  /** The most that its processes may reach. */
  network: z.optional(Network),
  /** Image of its container, if it runs in one; absent: the machine's default. */
  image: z.string().optional(),
  /** Files of its workspace that are stored when it has ended. */
  artifacts: z.array(z.string()).optional(),
  needs_files: z.array(NeededArtifact).optional(),
  /** Requirements for its host from the inventory; `address` is for host agents. */
  requires: Requirements,
  address: z.string().optional(),
  token_env: z.string().optional(),
  /** Set by the client of a host agent: tells apart two attempts with the same id. */
  request_id: z.string().optional(),
})
export type AttemptSpec = z.infer<typeof AttemptSpec>

/** Length in bytes and SHA-256 (hex) of one whole stream; no hash if the stream never left the process that made it. */
export const StreamEnd = z.object({ length: z.number().int().min(0), sha256: z.string().optional() })
export type StreamEnd = z.infer<typeof StreamEnd>

const lastErrorLine = z
  .string()
  .optional()
  .describe('The last non-blank line on stderr, without colors; at most 200 characters')

export const AttemptEnd = z.object({
  type: z.literal('ended'),
  outcome: AttemptOutcome,
  reason: z.optional(Reason),
  message: z.string().optional(),
  exit_code: z.number().int().optional(),
  signal: z.string().optional(),
  /** Variables that it exported: BOPS_EXPORT lines and `outputs`. */
  exports: z.record(z.string(), z.string()).optional(),
  streams: z.partialRecord(StreamName, StreamEnd).optional(),
  /** Paths of the whole output on the host, for `output_path`. */
  output_files: z.partialRecord(StreamName, z.string()).optional(),
  duration_ms: z.number().optional(),
  usage: AttemptUsage.optional(),
  /** Tool uses that an agent was denied. */
  denied: DeniedUses.optional(),
  last_error_line: lastErrorLine,
})
export type AttemptEnd = z.infer<typeof AttemptEnd>

/**
 * A host that the processes of a boxed attempt requested from their machine's proxy: how many requests were refused
 * since the last report of it, or how many bytes were sent there and back. A machine sends it only to a hub that
 * supports it (`welcome`).
 */
export const NetworkReport = z.object({
  type: z.literal('network'),
  kind: z.enum(['refused', 'used']),
  host: z.string(),
  port: z.number().int().optional(),
  why: z.string().optional(),
  count: z.number().int().min(1).optional(),
  sent_bytes: z.number().min(0).optional(),
  received_bytes: z.number().min(0).optional(),
})
export type NetworkReport = z.infer<typeof NetworkReport>

/** Facts of a coding task that a machine reports, only to a hub that supports them (`welcome`). */
export const ArtifactReport = z.object({ type: z.literal('artifact'), artifact: Artifact })
export const PushReport = z.object({
  type: z.literal('pushed'),
  repo: z.string(),
  branch: z.string(),
  sha: z.string(),
  forced: z.boolean(),
})
export const PullRequestReport = z.object({ type: z.literal('pull_request'), pull_request: PullRequestState })
export const TestsReport = z.object({ type: z.literal('tests'), tests: TestFigures })

/** Types of reports that hubs of earlier releases do not know. */
export const laterReports = ['network', 'artifact', 'pushed', 'pull_request', 'tests'] as const
export type LaterReportType = (typeof laterReports)[number]

/** A host's reports on an attempt, in order. `ended` is the last. */
export const AttemptReport = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('started'),
    pid: z.number().int().optional(),
    time: z.string().optional(),
    /** The isolation and network that it got; absent: neither. */
    isolation: z.optional(Isolation),
    /** Only for an attempt without an isolation. */
    made_box: z.optional(ProvisionedBox),
    network: z.optional(Network),
  }),
  z.object({
    type: z.literal('phase'),
    phase: z.string(),
    message: z.string().optional(),
    reason: z.optional(Reason),
  }),
  /** An agent's update; at most `MAX_UPDATE_BYTES` as JSON. */
  z.object({ type: z.literal('update'), update: AgentUpdate }),
  /** The input has reached the agent, or no longer matters. */
  z.object({ type: z.literal('input_taken'), input_id: z.string() }),
  NetworkReport,
  ArtifactReport,
  PushReport,
  PullRequestReport,
  TestsReport,
  AttemptEnd,
])
export type AttemptReport = z.infer<typeof AttemptReport>
