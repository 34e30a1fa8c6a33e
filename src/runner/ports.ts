import type { AgentRunArgs } from '../contract/actions.ts'
import type { AttemptInput, Permissions } from '../contract/agent.ts'
import type { AttemptReport, AttemptSpec, StreamName } from '../contract/attempt.ts'
import type { BotServeArgs } from '../contract/bots/bot.ts'
import type { Network } from '../contract/isolation.ts'
import type { WorkspaceQuery } from '../contract/runs/workspace-queries.ts'
import type { RunnerAnswer } from '../contract/tasks/pool-ask.ts'

/** Interface file: `actions/`, `agents/` and `dialects/` may import it. */

/** Describes how to start the process of an attempt. */
export interface ProcessPlan {
  /** Program and arguments; no shell unless the action is one. If `script` is set, its path is appended. */
  argv: readonly string[]
  /** Text that is written to a private file before the start; the path of that file becomes the last argument. */
  script?: string
  /** Working folder; default: the run's workspace on a runner, this process's folder in a local run. */
  cwd?: string
  env: Readonly<Record<string, string>>
  /** Reads standard output for `BOPS_EXPORT:KEY=value` lines. */
  export_vars: boolean
}

export interface InlineContext {
  /** Aborted by a cancellation or the timeout. */
  signal: AbortSignal
  env: Readonly<Record<string, string>>
  /** Folder that relative paths start from. */
  cwd: string
  /** Set if the step must be isolated from its machine although it runs in this process: it may use only `cwd`. */
  apart?: { network: Network }
  /** Hides the step's secrets in a text before the text is cut or rewritten for display. */
  shown(text: string): string
  /** Writes output bytes; await it for backpressure. */
  write(stream: StreamName, bytes: Buffer | string): Promise<void>
}

export interface InlineResult {
  exports?: Record<string, string>
}

/** Describes the agent session that a step requests. */
export type AgentPlan = Omit<AgentRunArgs, 'permissions'> & { permissions: Permissions }

/** Describes the bot container that a step requests. */
export type BotPlan = BotServeArgs

/**
 * Describes an action that a step can run on a machine. A process outlives the runner; an inline action ends with it.
 * If it throws an `ErrandError`, the attempt fails with that message (`invalid_argument`, otherwise `action_failed`).
 */
export type Action =
  | { kind: 'process'; prepare(spec: AttemptSpec): ProcessPlan }
  | { kind: 'inline'; run(spec: AttemptSpec, context: InlineContext): Promise<InlineResult> }
  | { kind: 'agent'; prepare(spec: AttemptSpec): AgentPlan }
  | { kind: 'bot'; prepare(spec: AttemptSpec): BotPlan }
  /** A step of a coding task that runs outside every box; `prepare` returns its arguments. */
  | { kind: 'platform'; prepare(spec: AttemptSpec): unknown }

export type ActionRegistry = Readonly<Record<string, Action>>

/** Consecutive bytes of one stream. */
export interface OutputPart {
  stream: StreamName
  offset: number
  length: number
  /** Set if their place relative to the other stream is unknown. */
  unordered?: true
}

/** Describes an attempt that this machine holds: it is running, or it has ended and is not released yet. */
export interface HeldAttempt {
  readonly spec: AttemptSpec
  readonly epoch: number
  /** Reports so far; report n is at index n - 1. If `ended` is true, the last one is the `ended` report. */
  readonly reports: readonly AttemptReport[]
  readonly ended: boolean
  /** Returns how many bytes of the stream may leave this machine now. The number is final after `ended`. */
  length(stream: StreamName): number
  /**
   * Returns the next part in the common order of both streams after the `known` lengths, or undefined when there is no
   * more for now.
   */
  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined
  /** Reads at most `max` bytes from `offset`. */
  read(stream: StreamName, offset: number, max: number): Promise<Buffer>
  /** Calls `listener` after each new report and after new output; returns a function that unsubscribes. */
  onChange(listener: () => void): () => void
  /**
   * Passes an input to the running attempt. It is stored at once and is idempotent by `input_id`; `input_taken` is
   * reported later.
   */
  input?(input: AttemptInput): void
  /**
   * Answers a query about the attempt's working folder while the attempt runs; `send` sends a body. Throws the error to
   * report.
   */
  viewFolder?(ask: WorkspaceQuery, send: (text: string) => Promise<void>): Promise<RunnerAnswer>
  /**
   * Sends SIGTERM to all processes, waits for the grace, sends SIGKILL; then reports `ended` with outcome `canceled`
   * and this reason. A second call has no effect.
   */
  cancel(graceMs: number, reason: string): void
  /**
   * Ends the attempt like `cancel`, but as `failed` with reason `lost` and this message: used when the runner is cut
   * off, and the hub may start another attempt elsewhere.
   */
  endAsLost(graceMs: number, message: string): void
  /**
   * Forgets the attempt and deletes its folder once its end is known everywhere it must be. Cancels it first if it
   * still runs.
   */
  release(): Promise<void>
}

export interface Attempts {
  /** The storage id that `hello` reports. */
  readonly storageId: string
  /** Recovers the attempts of an earlier process of this runner. Call it once, before anything else. */
  recover(): Promise<HeldAttempt[]>
  /**
   * Starts an attempt. Idempotent by attempt id and epoch: returns the existing attempt if there is one. Resolves once
   * the attempt survives a restart. `secrets` holds values by variable, stored in the attempt's folder until its end.
   */
  start(spec: AttemptSpec, epoch: number, secrets?: Readonly<Record<string, string>>): Promise<HeldAttempt>
  get(attemptId: string): HeldAttempt | undefined
  all(): HeldAttempt[]
  /** Returns the runs whose workspace is here, except those that `forgetRun` would keep. */
  runs(): string[]
  /** Deletes the workspace of a run that is over. */
  forgetRun(runId: string): Promise<void>
  /** Stops watching. Processes keep running; inline actions end. Idempotent. */
  close(): Promise<void>
}
