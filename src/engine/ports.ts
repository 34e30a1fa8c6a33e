import type { AttemptInput } from '../contract/agent.ts'
import type { AttemptReport, AttemptSpec, StreamEnd, StreamName } from '../contract/attempt.ts'
import type { RunEvent } from '../contract/events.ts'
import type { Isolation, Network } from '../contract/isolation.ts'
import type { RunPatch, RunRecord, RunSort, RunSpec } from '../contract/run.ts'
import type { TakenSecrets } from '../contract/secrets.ts'
import type { Reason, RunStatus } from '../contract/status.ts'

/**
 * Interfaces that the engine needs from its environment. Call order, concurrency and idempotence are specified only
 * here.
 */

export interface RunQuery {
  statuses?: readonly RunStatus[]
  workflow_name?: string
  owner?: string
  tenant?: string
  blueprint?: string
  parent_run_id?: string
  /** Runs that continue the session of this one. */
  continues?: string
  /** Runs that undo this one. */
  rolls_back?: string
  /** Later tries of the chain that began with this run. */
  first_run?: string
  /** Only the newest try of each chain; with an `owner`, that owner's newest. */
  latest?: boolean
  /** The agent of the latest session. */
  agent?: string
  repository?: string
  /** Text in the id, the workflow's name or an agent's last words; the case of A to Z does not matter. */
  text?: string
  /** Variables that the run was given, with these values; only a value's first `MOST_INPUT` characters count. */
  inputs?: Readonly<Record<string, string>>
  /** Other people's runs that are shared with this person, by name or role. */
  shared_with?: { name: string; role: string }
  /** Labels that the run has, with this value; undefined matches any value. */
  labels?: Readonly<Record<string, string | undefined>>
  /** Open runs that wait for a person's answer. */
  needs_answer?: boolean
  /** RFC 3339; exclusive. */
  created_after?: string
  created_before?: string
  /** 1 to 500. */
  limit: number
  /** Default: newest first. */
  sort?: RunSort
  /** The `next_cursor` of the page before, in the same order. */
  cursor?: string
}

/** A page in the requested order. `next_cursor` is absent on the last page. */
export interface RunPage {
  runs: RunRecord[]
  next_cursor?: string
}

/** Characters of an input's value that are compared. */
export const MOST_INPUT = 200
/** Most runs of each status that are counted. */
export const MOST_COUNTED = 10_000

/** The number of runs that match a query, by each status that occurs. */
export interface RunCounts {
  by_status: Partial<Record<RunStatus, number>>
  /** Statuses with more runs than were counted. */
  more: RunStatus[]
}

export interface RunStore {
  /** durable: commits survive the end of the process. */
  readonly capabilities: { durable: boolean }
  /**
   * Stores a new run and its first events (seq from 1) in one commit. Throws `run_exists` when the id is taken. Calls
   * for different runs may overlap.
   */
  create(spec: RunSpec, events: readonly RunEvent[], patch?: RunPatch): Promise<void>
  /**
   * Appends events (the first has seq = last + 1, else `conflict`; the list may be empty) and changes the record, in
   * one commit. Throws `run_not_found`. One call at a time for a run; calls for different runs may overlap and may
   * share a commit. A key of the patch with the value undefined removes that field (never `status`).
   */
  update(runId: string, change: { events: readonly RunEvent[]; patch?: RunPatch }): Promise<void>
  get(runId: string): Promise<RunRecord | undefined>
  list(query: RunQuery): Promise<RunPage>
  /** Counts up to `MOST_COUNTED` runs of each status; with inputs or text, of all statuses together. */
  counts(query: Omit<RunQuery, 'limit' | 'cursor'>): Promise<RunCounts>
  /** Returns events with seq > after, oldest first, at most `limit`. An unknown run has none. */
  events(runId: string, after: number, limit: number): Promise<RunEvent[]>
  /** Returns the ids of runs that are not final, oldest first. */
  open(): Promise<string[]>
  /**
   * Ends the given runs (default: all open ones) as `interrupted`, with a `run.finished` event; returns their ids. For
   * engines that do not resume.
   */
  markInterrupted(message: string, runIds?: readonly string[]): Promise<string[]>
  /**
   * Removes ended runs with their events, each completely or not at all, even if the process is killed in between. The
   * caller ensures that nothing more is written to them. Ignores unknown ones. Once it resolves, their ids are free
   * again.
   */
  remove(runIds: readonly string[]): Promise<void>
  /** Commits what was accepted, then closes. May be called twice. */
  close(): Promise<void>
}

/** The runner and epoch that an attempt is handed out with. `epoch` grows by one each time. */
export interface Placement {
  /** The runner's id, which is unique in the run's tenant. */
  runner?: string
  /**
   * Identifies the data that the runner had written by then, if that can be lost: with its machine's power, or with its
   * folder.
   */
  storage_id?: string
  /**
   * The requirements of that runner's group, in addition to the spec's. They are stored, so that the attempt never
   * begins with less.
   */
  isolation?: Isolation
  network?: Network
  epoch: number
}

/** A length that no stream reaches. */
export const ALL_OUTPUT = Number.MAX_SAFE_INTEGER

export interface AttemptSink {
  /** Sets why the attempt still waits; the latest reason is shown. */
  waiting(why: string): void
  /**
   * Reports which secrets the attempt is given, just before it is sent to its machine. Repeating it changes nothing.
   */
  secrets?(taken: TakenSecrets): void
  /**
   * Reports that the attempt was placed after having waited. Resolves after the commit; with false when the attempt has
   * ended meanwhile, or `cancel` was called for it.
   */
  assigned(placement: Placement): Promise<boolean>
  /**
   * Delivers reports in order, `ended` last and once; calls may overlap. Resolves only after the commit. A report for
   * an attempt that has ended, of an older epoch, or of an abandoned run changes nothing. Rejects only when the store
   * fails, and with `unavailable` once the engine is closed; then it may be sent again.
   */
  report(report: AttemptReport, epoch: number): Promise<void>
  /**
   * Delivers bytes of a stream at their offset. Resolves with the stored length once the bytes are stored; the caller
   * waits for that (backpressure). Bytes that are already there are ignored; a gap throws `conflict`. Rejects with
   * `disk_full` when they cannot be stored. Resolves with `ALL_OUTPUT` when the stream exceeds what may be stored: the
   * rest of it need not be delivered. The order of the calls is that of both streams; `unordered`: the place of these
   * bytes among the other stream's is unknown.
   */
  output(stream: StreamName, offset: number, bytes: Buffer, unordered?: true): Promise<number>
  /** Returns the stored length of the stream. */
  length(stream: StreamName): Promise<number>
}

/** Runs attempts: this process, host agents over HTTP, or a fleet of runners. */
export interface StepHost {
  /**
   * Called before the attempt's creation is committed, so that creation and placement are one commit. Answers at once,
   * never throws, and reserves the capacity until `start`, or until `cancel` for that attempt.
   */
  place(spec: AttemptSpec): Placement | { waiting: string }
  /** Called once, after the commit. Without a placement the attempt waits in the host's queue. Never throws. */
  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void
  /**
   * Called instead of `start`, for an attempt that is open in the log of a resumed run. A running attempt continues,
   * one that never began begins, and one that is gone is reported `ended` with outcome `interrupted`, reason `lost`.
   * `known.reports`: the number of committed reports of the present epoch; absent: 1 when it has started, else 0.
   * `known.inputs`: given and not taken yet, oldest first. Without a placement it waits in the host's queue;
   * `known.epoch`: the last under which it was handed out before it waited again.
   */
  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: {
      started: boolean
      streams: Partial<Record<StreamName, number>>
      reports?: number
      inputs?: readonly AttemptInput[]
      epoch?: number
    },
    sink: AttemptSink,
  ): void
  /**
   * Sends SIGTERM, waits for the grace, then sends SIGKILL; the end comes through the sink, with this reason.
   * Idempotent.
   */
  cancel(attemptId: string, reason: Reason, force?: boolean): void
  /**
   * Delivers an input to an attempt, after the input's commit and after `start` or `resume`. Idempotent by `input_id`;
   * the host stores it until the report `input_taken`. Ignores an attempt that it does not have. A host without this
   * method runs no action that takes inputs.
   */
  input?(attemptId: string, input: AttemptInput): void
  /**
   * Called when the run is set aside: it no longer takes room or waits here. Machines' reports on its attempts are
   * refused, so that the machines retain them until `takeBack` or `runEnded`. Idempotent. Hosts where nothing outlives
   * its run omit this and the next method.
   */
  setAside?(runId: string): void
  /** Called before the `resume` calls of a run that was set aside. */
  takeBack?(runId: string): void
  /** Called when the run is over: its workspace may be deleted. */
  runEnded(runId: string): void
  /**
   * Called before the `resume` calls of a resumed run, for each of its ended attempts: that runner has the run's
   * workspace.
   */
  remember?(attempt: Pick<AttemptSpec, 'run_id' | 'tenant' | 'requires'>, runner: string): void
  /** Cancels local work; work on other machines continues. May be called twice. */
  close(): Promise<void>
}

/** The values of the secrets that a hub stores (or that a local run was given). */
export interface SecretSource {
  /**
   * Returns the values of the spec's secrets that are `from: 'hub'`, by variable. Throws `forbidden` for one that the
   * step would send to a forbidden place, and `secret_not_found`, naming those that the run's tenant, repository and
   * workflow do not have. The values are for the machine alone: never in a log or answer. A source that has several of
   * one name calls `tell` before this resolves.
   */
  reveal(spec: AttemptSpec, onTaken?: (taken: TakenSecrets) => void): Promise<Record<string, string>>
}

/**
 * Stores the secrets that only one run has, encrypted if they outlive this process; the run's `SecretSource` knows
 * them.
 */
export interface RunSecrets {
  /** Called before anything of the run is stored. */
  setOfRun(
    run: Pick<RunSpec, 'run_id' | 'tenant' | 'owner'>,
    values: Readonly<Record<string, string>>,
  ): Promise<void>
  /** Returns the run's secrets by name; empty for a run without any. */
  ofRun(run: Pick<RunSpec, 'run_id' | 'tenant'>): Promise<Record<string, string>>
  /** Idempotent. */
  dropOfRun(run: Pick<RunSpec, 'run_id' | 'tenant'>): Promise<void>
}

/** Stores the output bytes of attempts. The length is what is stored; calls for one stream come one at a time. */
export interface OutputStore {
  /**
   * Called before the first `append` of an attempt; idempotent. Reads `max_output_bytes` and `output_path` from the
   * args.
   */
  begin(spec: AttemptSpec): void
  /** Stores bytes as `AttemptSink.output` describes. */
  append(attemptId: string, stream: StreamName, offset: number, bytes: Buffer): Promise<number>
  length(attemptId: string, stream: StreamName): Promise<number>
  /**
   * Called after a restart, before any other call for the stream. After a power failure only the first `syncedBytes` of
   * what is stored are sure to be what was appended. Returns how much is stored from now on. Absent: nothing survives a
   * power failure.
   */
  recover?(attemptId: string, stream: StreamName, syncedBytes: number): Promise<number>
  /**
   * Makes the bytes stored before the call as durable as the events are: on disk, even if the power fails, where events
   * are. May overlap with other calls. Rejects when that is not certain; then no `seal` of the stream succeeds.
   */
  sync(attemptId: string, stream: StreamName): Promise<void>
  /** Reads bytes from start (inclusive) to end (exclusive), cut at the length; empty past the end. */
  read(attemptId: string, stream: StreamName, start: number, end: number): Promise<Buffer>
  /**
   * Called when no more will come: flushes to disk and measures what is stored. `hashed` asks for the SHA-256, for a
   * comparison. `file`: a file that a person can open.
   */
  seal(attemptId: string, stream: StreamName, hashed: boolean): Promise<StreamEnd & { file?: string }>
  /** Deletes all that the run's attempts left here (except files that `output_path` asked for). */
  remove(runId: string): Promise<void>
  close(): Promise<void>
}

/** Sent on each change of a run's state. */
export interface Notification {
  run_id: string
  workflow_name: string
  status: RunStatus
  step?: string
  host?: string
  timestamp: string
  error?: string
  version: string
}
export interface Notifier {
  /** Delivers a notification. A rejection is retried, then stored as `last_notify_error`; it never changes a run. */
  notify(notification: Notification, signal: AbortSignal): Promise<void>
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Milliseconds since an arbitrary start, at an even pace even when the machine's clock is set. */
  steady(): number
  /** Calls back once, not before `steady` reaches that time; the returned function cancels it. */
  wake(atSteadyMs: number, callback: () => void): () => void
}
