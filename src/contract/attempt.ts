import * as z from 'zod'
import { AgentUpdate, DeniedUses } from './agent.ts'
import { Isolation, MadeBox, Network } from './isolation.ts'
import { AttemptOutcome, Reason } from './status.ts'
import { SecretUse } from './step-secrets.ts'
import { Artifact } from './tasks/artifact.ts'
import { PullRequestState, TestFigures } from './tasks/task-facts.ts'
import { OutputSource, StepArgs } from './workflow.ts'

/** Names of the byte streams of an attempt. */
export const StreamName = z.enum(['stdout', 'stderr'])
export type StreamName = z.infer<typeof StreamName>

/** The requirements that a runner must meet to be given an attempt. */
export const Requirements = z.object({
  runner: z.string().optional(),
  group: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  /** Cores and memory that must be free, and are kept for it. */
  cpus: z.number().optional(),
  memory_bytes: z.number().optional(),
  /** The most of each that a step of the run asks for on this host: the run stays on one runner, which must offer it. */
  largest: z.object({ cpus: z.number().optional(), memory_bytes: z.number().optional() }).optional(),
  /** The kinds of boxes that steps of the run ask for on this host, which its runner has to be able to give, too. */
  boxes: z.array(z.enum(['sandbox', 'container'])).optional(),
  /** Given only to runners whose mode is this or `all`; absent: only `all`. */
  mode: z.enum(['chat', 'issue']).optional(),
  /** Only a machine with a container engine can do it. */
  containers: z.boolean().optional(),
})
export type Requirements = z.infer<typeof Requirements>

/** The limits of an attempt's processes together. */
export const AttemptLimits = z.object({
  cpus: z.number().optional(),
  memory_bytes: z.number().optional(),
  processes: z.number().int().optional(),
  disk_bytes: z.number().optional(),
})
export type AttemptLimits = z.infer<typeof AttemptLimits>

/** The usage of an attempt's processes, all together. */
export const AttemptUsage = z.object({
  peak_memory_bytes: z.number().optional(),
  cpu_ms: z.number().optional(),
  /** Of a bot. */
  peak_cpus: z.number().optional(),
  network_received_bytes: z.number().optional(),
  network_sent_bytes: z.number().optional(),
  /** The means that measured it, and held it to its limits. */
  held_by: z.enum(['cgroup_v2', 'cgroup_v1', 'watchdog']),
  /** Limits that it was given and that this machine cannot hold it to. */
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

/** One try of one step on one host: all that a machine needs to carry it out. */
export const AttemptSpec = z.object({
  attempt_id: z.string(),
  run_id: z.string(),
  workflow_name: z.string(),
  /** Whose run it is, and of which tenant; absent outside a hub. */
  owner: z.string().optional(),
  tenant: z.string().optional(),
  /** The repository that the run is for, by its name. */
  repository: z.string().optional(),
  step: z.string(),
  host: z.string(),
  /** Which of the step's instances, from 0. */
  instance: z.number().int(),
  /** Which try of that instance, from 1. */
  try: z.number().int(),
  action: z.string(),
  /** Variables filled in, but for the arguments the action takes raw. */
  args: StepArgs,
  /** Every variable the step sees; a process gets them as its environment. */
  env: z.record(z.string(), z.string()),
  outputs: z.record(z.string(), OutputSource).optional(),
  /** Secrets that it is given beside `env`, by variable; the values come with its start and stand nowhere else. */
  secrets: z.record(z.string(), SecretUse).optional(),
  timeout_ms: z.number().optional(),
  /** `stop`: its runner ends it before the hub gives it up, as another try could begin elsewhere. Absent: it goes on. */
  on_disconnect: z.enum(['stop', 'continue']).optional(),
  limits: AttemptLimits.optional(),
  /** The least that stands between its processes and the machine; absent: as the machine has it. */
  isolation: z.optional(Isolation),
  /** The most that its processes may reach. */
  network: z.optional(Network),
  /** Of its container, where it runs in one; absent: the machine's own. */
  image: z.string().optional(),
  /** Files of its workspace that are kept when it has ended. */
  artifacts: z.array(z.string()).optional(),
  needs_files: z.array(NeededArtifact).optional(),
  /** How the host is reached or chosen, as the inventory says; `address` is for host agents. */
  requires: Requirements,
  address: z.string().optional(),
  token_env: z.string().optional(),
  /** Set by the client of a host agent: tells two attempts apart that bear the same id. */
  request_id: z.string().optional(),
})
export type AttemptSpec = z.infer<typeof AttemptSpec>

/** Length in bytes and SHA-256 (hex) of one whole stream; no hash where it never left the process that made it. */
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
  /** Variables it exported: BOPS_EXPORT lines and `outputs`. */
  exports: z.record(z.string(), z.string()).optional(),
  streams: z.partialRecord(StreamName, StreamEnd).optional(),
  /** Where the host keeps the whole output, for `output_path`. */
  output_files: z.partialRecord(StreamName, z.string()).optional(),
  duration_ms: z.number().optional(),
  usage: AttemptUsage.optional(),
  /** Uses of tools that an agent was denied. */
  denied: DeniedUses.optional(),
  last_error_line: lastErrorLine,
})
export type AttemptEnd = z.infer<typeof AttemptEnd>

/**
 * A host that the processes of an attempt in a box asked the proxy of their machine for: so many were refused since the last
 * report of it, or so many bytes went there and came back. A machine sends it to a hub alone that says it knows it (`welcome`).
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

/** Facts of a coding task that a machine reports; to a hub alone that says it knows them (`welcome`). */
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

/** A report of a host on an attempt, in order. `ended` is the last. */
export const AttemptReport = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('started'),
    pid: z.number().int().optional(),
    time: z.string().optional(),
    /** The isolation and network that it got; absent: none of either. */
    isolation: z.optional(Isolation),
    /** Of one without an isolation. */
    made_box: z.optional(MadeBox),
    network: z.optional(Network),
  }),
  z.object({
    type: z.literal('phase'),
    phase: z.string(),
    message: z.string().optional(),
    reason: z.optional(Reason),
  }),
  /** An update of an agent; at most `MAX_UPDATE_BYTES` as JSON. */
  z.object({ type: z.literal('update'), update: AgentUpdate }),
  /** The input has reached the agent, or has become pointless. */
  z.object({ type: z.literal('input_taken'), input_id: z.string() }),
  NetworkReport,
  ArtifactReport,
  PushReport,
  PullRequestReport,
  TestsReport,
  AttemptEnd,
])
export type AttemptReport = z.infer<typeof AttemptReport>
