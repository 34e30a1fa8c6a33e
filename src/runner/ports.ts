import type { AgentRunArgs } from '../contract/actions.ts'
import type { AttemptInput, Permissions } from '../contract/agent.ts'
import type { AttemptReport, AttemptSpec, StreamName } from '../contract/attempt.ts'
import type { BotServeArgs } from '../contract/bots/bot.ts'
import type { Network } from '../contract/isolation.ts'
import type { WorkspaceLook } from '../contract/runs/workspace-looks.ts'
import type { RunnerAnswer } from '../contract/tasks/pool-ask.ts'

/** Interface file: `actions/`, `agents/` and `dialects/` may import it. */

/** How to start the process of an attempt. */
export interface ProcessPlan {
  /** Program and arguments; no shell unless the action is one. `script` below is appended as a path where set. */
  argv: readonly string[]
  /** Written to a private file before the start; its path becomes the last argument. */
  script?: string
  /** Default: the run's workspace on a runner, this process's folder locally. */
  cwd?: string
  env: Readonly<Record<string, string>>
  /** Standard output is read for BOPS_EXPORT:KEY=value lines. */
  export_vars: boolean
}

export interface InlineContext {
  /** Aborted by cancel and by the timeout. */
  signal: AbortSignal
  env: Readonly<Record<string, string>>
  /** Folder that relative paths are taken from. */
  cwd: string
  /** Set where the step is to stand apart from its machine, though this program carries it out: `cwd` is all that it may have. */
  apart?: { network: Network }
  /** Hides the step's secrets in a text that is to be shown, before it is cut or written otherwise. */
  shown(text: string): string
  /** Output bytes; awaited for backpressure. */
  write(stream: StreamName, bytes: Buffer | string): Promise<void>
}

export interface InlineResult {
  exports?: Record<string, string>
}

/** A session with a coding agent, as the step asks for it. */
export type AgentPlan = Omit<AgentRunArgs, 'permissions'> & { permissions: Permissions }

/** A bot in its container, as the step asks for it. */
export type BotPlan = BotServeArgs

/**
 * A thing that a step can do on a machine. A process outlives the runner; an inline action ends with it.
 * Throwing an `ErrandError` fails the attempt (`invalid_argument`, else `action_failed`) with its message.
 */
export type Action =
  | { kind: 'process'; prepare(spec: AttemptSpec): ProcessPlan }
  | { kind: 'inline'; run(spec: AttemptSpec, context: InlineContext): Promise<InlineResult> }
  | { kind: 'agent'; prepare(spec: AttemptSpec): AgentPlan }
  | { kind: 'bot'; prepare(spec: AttemptSpec): BotPlan }
  /** A step of a coding task, carried out outside of every box; `prepare` answers its arguments. */
  | { kind: 'platform'; prepare(spec: AttemptSpec): unknown }

export type ActionRegistry = Readonly<Record<string, Action>>

/** Bytes of one stream that came one after another. */
export interface OutputPart {
  stream: StreamName
  offset: number
  length: number
  /** Where they belong among those of the other stream is not known. */
  unordered?: true
}

/** An attempt that this machine has: running, or ended and not yet released. */
export interface HeldAttempt {
  readonly spec: AttemptSpec
  readonly epoch: number
  /** Reports so far; number n is at index n - 1; the last is `ended` where `ended`. */
  readonly reports: readonly AttemptReport[]
  readonly ended: boolean
  /** Bytes of the stream that may leave this machine now. After `ended` it is final. */
  length(stream: StreamName): number
  /** The part that comes next in the order of both streams, where so much of each is known; undefined: there is no more now. */
  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined
  /** At most `max` bytes from `offset`. */
  read(stream: StreamName, offset: number, max: number): Promise<Buffer>
  /** Called after each new report or bytes; answers how to stop being called. */
  onChange(listener: () => void): () => void
  /** Something for what it carries out, idempotent by `input_id`: kept at once, `input_taken` is reported later. */
  input?(input: AttemptInput): void
  /** Answers what is asked of the folder that it works in, while it goes on; `send` takes a body. Throws what is to be told. */
  look?(ask: WorkspaceLook, send: (text: string) => Promise<void>): Promise<RunnerAnswer>
  /** SIGTERM to all its processes, the grace, SIGKILL; then `ended` with outcome `canceled` and this reason. Twice is once. */
  cancel(graceMs: number, reason: string): void
  /**
   * As `cancel`, but it ends `failed`, reason `lost`, with this message: a machine that cannot be told of it may be given
   * another try.
   */
  endAsLost(graceMs: number, message: string): void
  /** Its end is known where it must be: forgets it and deletes its folder. Cancels it first if it still runs. */
  release(): Promise<void>
}

export interface Attempts {
  /** As `hello` tells it. */
  readonly storageId: string
  /** Finds the attempts of an earlier process of this runner again. Before anything else, once. */
  recover(): Promise<HeldAttempt[]>
  /**
   * Idempotent by attempt id and epoch: the one that is there is answered. Resolves when it survives a restart.
   * `secrets`: values by variable, kept in the attempt's folder until its end.
   */
  start(spec: AttemptSpec, epoch: number, secrets?: Readonly<Record<string, string>>): Promise<HeldAttempt>
  get(attemptId: string): HeldAttempt | undefined
  all(): HeldAttempt[]
  /** Runs whose workspace is here, but for those that `forgetRun` would keep. */
  runs(): string[]
  /** The run is over: its workspace is deleted. */
  forgetRun(runId: string): Promise<void>
  /** Stops watching; processes go on, inline actions end. May be called twice. */
  close(): Promise<void>
}
