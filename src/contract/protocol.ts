import * as z from 'zod'
import { AgentState, AttemptInput } from './agent.ts'
import { AttemptReport, AttemptSpec, AttemptUsage, StreamName } from './attempt.ts'
import { BotLive } from './bots/bot.ts'
import { ErrandError } from './errors.ts'
import { ProvisionedBox } from './isolation.ts'
import { Labels, PlainName, PlainText } from './plain-name.ts'
import { RunnerAnswer, RunnerAsk } from './tasks/pool-ask.ts'

/**
 * The newest version of the protocol between hub and runner. The runner opens one WebSocket, with JSON text frames, and
 * output as binary frames (`OutputFrame`).
 *
 * Order and repetition: a report carries `n`, counting from 1 within an attempt and epoch; the hub takes n = last + 1
 * and ignores what it has. Output carries its offset, and the hub's length decides. Resent, doubled and reordered
 * frames therefore change nothing.
 *
 * Each side ignores types of frames and fields that it does not know, so adding one needs no new version. What the
 * other side must understand (a new kind of answer, of stream) does need one, and is sent only from that version on.
 * A new kind of report goes to a hub that declares support for it; other hubs get it in words of an older kind.
 */
export const PROTOCOL_VERSION = 1
/** The oldest version that is still supported. */
export const OLDEST_PROTOCOL_VERSION = 1

/** Returns the newest version that a runner's `hello` and this Errand have in common. */
export function commonProtocol(hello: { protocol: number; newest_protocol?: number }): number | undefined {
  const newest = Math.min(PROTOCOL_VERSION, hello.newest_protocol ?? hello.protocol)
  return newest >= Math.max(OLDEST_PROTOCOL_VERSION, hello.protocol) ? newest : undefined
}

const attempt_id = z.string()
const epoch = z.number().int().min(1)
const lengths = z.partialRecord(StreamName, z.number().int().min(0))
const reportCount = z.number().int().min(0)

/** Whether a machine can put attempts into one kind of box, and why not. */
const Usable = z.object({ usable: z.boolean(), why: z.string().optional() })
/** The boxes that a machine can provide; absent from a release without boxes. */
export const OfferedIsolation = z.object({
  sandbox: Usable,
  container: Usable,
  made_box: z
    .optional(ProvisionedBox)
    .describe('The container or pod that the runner itself runs in, made for one run'),
})
export type OfferedIsolation = z.infer<typeof OfferedIsolation>

/**
 * Enrollment turns a machine into a runner: an admin makes a token that is valid once, and the machine exchanges it for
 * its own.
 */

/** A runner's id. */
const RunnerId = PlainName

export const Hello = z.object({
  type: z.literal('hello'),
  /** The oldest version that it supports: a hub that knows only one version accepts no other. */
  protocol: z.number().int(),
  /** The newest version that it supports; absent: the same. */
  newest_protocol: z.number().int().optional(),
  version: PlainText,
  runner_id: RunnerId,
  /** New at each start of the runner process: tells a reconnect from a restart. */
  boot_id: z.string().min(1).max(200),
  /**
   * Changes with each boot of its machine and with each new folder: while it is the same, nothing that the runner has
   * written is lost.
   */
  storage_id: z.string().min(1).max(200).optional(),
  group: PlainName,
  labels: Labels,
  mode: z.enum(['chat', 'issue', 'all']),
  hostname: PlainName,
  /** Set if the runner was given a tenant: the hub refuses it when its token belongs to another one. */
  tenant: z.string().optional(),
  cpus: z.number().positive(),
  memory_bytes: z.number().positive(),
  /** Number of attempts that it takes at once. */
  slots: z.number().int().min(1),
  /** The mechanism that enforces limits on its machine. */
  limits: AttemptUsage.shape.held_by.optional(),
  /** The boxes that it can put attempts into; absent: none. */
  isolation: OfferedIsolation.optional(),
  /** The machine's container engine, if it has one. */
  containers: z.object({ engine: PlainText, version: PlainText }).optional(),
  /** The operator's settings for bots. */
  bots: z
    .object({
      /** Number of bot cores that share one reserved core; absent: no core is reserved. */
      cpu_overcommit: z.number().min(1).optional(),
      /** The most that a bot may request; absent: what the machine has. */
      most: z
        .object({
          memory_bytes: z.number().positive(),
          cpus: z.number().positive(),
          processes: z.number().positive(),
          disk_bytes: z.number().positive(),
          work_bytes: z.number().positive(),
          log_bytes: z.number().positive(),
        })
        .partial()
        .optional(),
    })
    .optional(),
  /** Every attempt that it still has: running, or ended and not yet released. */
  attempts: z.array(
    z.object({
      attempt_id,
      epoch,
      ended: z.boolean(),
      /** Number of reports that it has of the attempt, without the end. */
      reports: z.number().int().min(0).optional(),
    }),
  ),
  /** Runs whose workspace it holds; the hub sends `forget_run` for those that are not open there. */
  runs: z.array(z.string()).optional(),
  /** The agents of its machine, as far as it has checked. */
  agents: z.array(AgentState).optional(),
})
export type Hello = z.infer<typeof Hello>

/** A runner's progress with an attempt over this link, and which commands of the hub have reached it. */
const AttemptProgress = z.object({
  attempt_id,
  epoch,
  /** Everything that was sent, if not all of it is acknowledged. */
  sent: z.object({ reports: reportCount, streams: lengths }).optional(),
  /** The shortest grace of the cancels that it received; absent: none. */
  cancel_grace_ms: z.number().optional(),
  /** Inputs that were received and are not reported as taken. */
  inputs: z.array(z.string()).optional(),
})
export type AttemptProgress = z.infer<typeof AttemptProgress>

export const RunnerFrame = z.discriminatedUnion('type', [
  Hello,
  /** The runner accepts an attempt; what the attempt needs to survive a restart is on disk. */
  z.object({ type: z.literal('claimed'), attempt_id, epoch }),
  z.object({ type: z.literal('rejected'), attempt_id, epoch, message: z.string() }),
  z.object({
    type: z.literal('report'),
    attempt_id,
    epoch,
    n: z.number().int().min(1),
    report: AttemptReport,
  }),
  /**
   * Comes with each heartbeat for all attempts that it has, if the hub asks for it: frames that were lost on the live
   * link are sent again.
   */
  z.object({ type: z.literal('progress'), attempts: z.array(AttemptProgress) }),
  /** The place of these bytes among those of the other stream is unknown; comes before the frame with the bytes. */
  z.object({
    type: z.literal('unordered'),
    attempt_id,
    epoch,
    stream: StreamName,
    offset: z.number().int().min(0),
    length: z.number().int().min(1),
  }),
  /** The runner accepts nothing new and finishes what it has. */
  z.object({ type: z.literal('draining') }),
  /** The agents that its machine has now. */
  z.object({ type: z.literal('agents'), agents: z.array(AgentState) }),
  /** The container engine that its machine has now; absent: none any more. */
  z.object({ type: z.literal('containers'), containers: Hello.shape.containers }),
  /** The boxes that its machine can make now. */
  z.object({ type: z.literal('isolation'), isolation: OfferedIsolation }),
  /** Answers an `ask` once that is done. */
  z.object({ type: z.literal('answer'), ask_id: z.string(), answer: RunnerAnswer }),
  /** The present state of its bots: each replaces the earlier state of that bot. A new link starts with all of them. */
  z.object({ type: z.literal('bots'), bots: z.array(BotLive) }),
])
export type RunnerFrame = z.infer<typeof RunnerFrame>

/** The hub's answer to an attempt named in `hello`. */
export const AttemptAnswer = z.discriminatedUnion('state', [
  /** The attempt continues; the hub has reports up to `reports` and this much of each stream. */
  z.object({ state: z.literal('continue'), attempt_id, epoch, reports: z.number().int(), streams: lengths }),
  /** The runner must stop and drop it: it ended at the hub, was handed on, or is unknown. */
  z.object({ state: z.literal('superseded'), attempt_id, epoch, why: z.string() }),
])
export type AttemptAnswer = z.infer<typeof AttemptAnswer>

export const HubFrame = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('welcome'),
    /** The version that is used on this link. */
    protocol: z.number().int(),
    heartbeat_ms: z.number(),
    lost_after_ms: z.number(),
    attempts: z.array(AttemptAnswer),
    /** Kinds of reports that the hub knows, in addition to those that every hub does. */
    reports: z.array(z.string()).optional(),
    /** Set when the hub compares `progress` with what it has. */
    progress: z.boolean().optional(),
  }),
  /** `secrets`: the values of the spec's secrets that the hub stores, by variable. */
  z.object({
    type: z.literal('start'),
    epoch,
    spec: AttemptSpec,
    secrets: z.record(z.string(), z.string()).optional(),
  }),
  /**
   * The hub has committed reports up to `reports`, and this much of each stream. `resend`: the rest was dropped and
   * must be sent again from here.
   */
  z.object({
    type: z.literal('ack'),
    attempt_id,
    epoch,
    reports: z.number().int(),
    streams: lengths,
    resend: z.boolean().optional(),
  }),
  z.object({ type: z.literal('cancel'), attempt_id, epoch, grace_ms: z.number(), reason: z.string() }),
  /** A committed input. The hub sends it again over a new link until a report says that it was taken. */
  z.object({ type: z.literal('input'), attempt_id, epoch, input: AttemptInput }),
  /** The end and everything before it is committed: the attempt's folder may be deleted. */
  z.object({ type: z.literal('release'), attempt_id, epoch }),
  z.object({ type: z.literal('superseded'), attempt_id, epoch, why: z.string() }),
  /**
   * Answered over this link, or never: when the link breaks, the hub asks again. A runner that does not know the
   * question does not answer.
   */
  z.object({ type: z.literal('ask'), ask_id: z.string(), ask: RunnerAsk }),
  /** The run has ended: its workspace may be deleted. */
  z.object({ type: z.literal('forget_run'), run_id: z.string() }),
  /** The hub closes the link and says why; `retry: false` means that trying again is useless. */
  z.object({ type: z.literal('refused'), code: z.string(), message: z.string(), retry: z.boolean() }),
])
export type HubFrame = z.infer<typeof HubFrame>

export const RunnerView = z.object({
  id: z.string(),
  group: z.string(),
  status: z.enum(['connected', 'disconnected', 'draining']),
  hostname: z.string(),
  cpus: z.number(),
  memory: z.string().describe('"8GB", "512MB"'),
  connected_at: z.string(),
  labels: z.record(z.string(), z.string()),
  mode: z.string(),
  version: z.string(),
  slots: z.number().int(),
  running: z.number().int().describe('Slots that are taken'),
  bots: z.number().int().optional().describe('Bots that it has; they use no slot'),
  bots_memory: z.string().optional().describe('Memory that is reserved for them'),
  free_cpus: z.number().optional().describe('Cores that are not reserved for an attempt'),
  free_memory: z.string().optional().describe('Memory that is not reserved for an attempt'),
  last_seen_at: z.string(),
  lost_at: z
    .string()
    .optional()
    .describe('For a runner that is away: when its work counts as lost, unless it comes back before'),
  limits: AttemptUsage.shape.held_by.optional().describe('How it enforces limits'),
  isolation: Hello.shape.isolation.describe(
    'Boxes that it can run steps in, and why not others; absent: none',
  ),
  containers: Hello.shape.containers.describe('Its container engine, if it has one'),
  agents: z.array(AgentState).optional(),
})
export type RunnerView = z.infer<typeof RunnerView>

/** Largest JSON frame, and largest binary frame, in bytes. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024
/** Most output bytes in one frame. */
export const MAX_OUTPUT_CHUNK = 256 * 1024
/** Output bytes by which a runner may be ahead of the hub's acks, per attempt. */
export const OUTPUT_WINDOW_BYTES = 4 * 1024 * 1024

/** `POST /api/runners/enrollments` */
export const CreateEnrollment = z.strictObject({
  name: PlainName.default('enrolment').describe('Name in the list of tokens'),
  group: PlainName.optional().describe('The only runner group that it may serve'),
  expires_in_seconds: z
    .number()
    .int()
    .min(1)
    .max(30 * 86_400)
    .default(3600),
})
export type CreateEnrollment = z.infer<typeof CreateEnrollment>
export type CreateEnrollmentInput = z.input<typeof CreateEnrollment>

export const EnrollmentCreated = z.object({
  id: z.string(),
  token: z.string().describe('Shown only this once; valid for one use'),
  group: z.string().optional(),
  expires_at: z.string(),
})
export type EnrollmentCreated = z.infer<typeof EnrollmentCreated>

/** `POST /api/runners/enroll` */
export const EnrollRunner = z.strictObject({
  token: z.string().min(1).max(500).describe('Token from `POST /api/runners/enrollments`'),
  runner_id: RunnerId,
})
export type EnrollRunner = z.infer<typeof EnrollRunner>

export const RunnerEnrolled = z.object({
  runner_id: z.string(),
  token: z.string().describe('Opens the runner link for this runner only. Shown only this once'),
  tenant: z.string(),
  group: z.string().optional(),
})
export type RunnerEnrolled = z.infer<typeof RunnerEnrolled>

/**
 * A binary frame of output: 1 byte kind (1), 1 byte stream, 4 bytes epoch, 8 bytes offset, 2 bytes id length,
 * the attempt's id in UTF-8, then the bytes. Numbers are big-endian.
 */
export interface OutputFrame {
  attempt_id: string
  epoch: number
  stream: StreamName
  offset: number
  bytes: Buffer
}

const KIND = 1
const HEAD = 16
const streams: readonly StreamName[] = ['stdout', 'stderr']

export function encodeOutputFrame(frame: OutputFrame): Buffer {
  const id = Buffer.from(frame.attempt_id)
  const out = Buffer.allocUnsafe(HEAD + id.length + frame.bytes.length)
  out.writeUInt8(KIND, 0)
  out.writeUInt8(streams.indexOf(frame.stream), 1)
  out.writeUInt32BE(frame.epoch, 2)
  out.writeBigUInt64BE(BigInt(frame.offset), 6)
  out.writeUInt16BE(id.length, 14)
  id.copy(out, HEAD)
  frame.bytes.copy(out, HEAD + id.length)
  return out
}

/** Reports whether a frame is of this kind; only a newer Errand knows other kinds. */
export const isOutputFrame = (data: Buffer): boolean => data.length === 0 || data.readUInt8(0) === KIND

/** Decodes a frame. Throws `bad_request` for invalid data. */
export function decodeOutputFrame(data: Buffer): OutputFrame {
  const stream = data.length >= HEAD ? streams[data.readUInt8(1)] : undefined
  const idLength = data.length >= HEAD ? data.readUInt16BE(14) : 0
  if (stream === undefined || data.readUInt8(0) !== KIND || data.length < HEAD + idLength)
    throw new ErrandError('bad_request', `A binary frame of ${data.length} bytes is not an output frame.`)
  return {
    stream,
    epoch: data.readUInt32BE(2),
    offset: Number(data.readBigUInt64BE(6)),
    attempt_id: data.toString('utf8', HEAD, HEAD + idLength),
    bytes: data.subarray(HEAD + idLength),
  }
}
