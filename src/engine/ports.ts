import type { AttemptInput } from '../contract/agent.ts'
import type { AttemptReport, AttemptSpec, StreamEnd, StreamName } from '../contract/attempt.ts'
import type { RunEvent } from '../contract/events.ts'
import type { Isolation, Network } from '../contract/isolation.ts'
import type { RunPatch, RunRecord, RunSort, RunSpec } from '../contract/run.ts'
import type { TakenSecrets } from '../contract/secrets.ts'
import type { Reason, RunStatus } from '../contract/status.ts'

/**
 * Interfaces that the engine needs of the world. Call order, concurrency and idempotence are written here
 * only.
 */

export interface RunQuery {
  statuses?: readonly RunStatus[]
  workflow_name?: string
  owner?: string
  tenant?: string
  blueprint?: string
  parent_run_id?: string
  /** Runs that go on with the session of this one. */
  continues?: string
  /** Runs that undo this one. */
  rolls_back?: string
  /** Tries of the chain that began with this run, but for that one. */
  first_run?: string
  /** Only the newest try of each chain; with an `owner`, the newest of theirs. */
  latest?: boolean
  /** The agent of the latest session. */
  agent?: string
  repository?: string
  /** In the id, the name of the workflow or the last words of an agent, whatever the case of A to Z. */
  text?: string
  /** Variables that the run was given, with these values; of a value the first `MOST_INPUT` characters count. */
  inputs?: Readonly<Record<string, string>>
  /** Runs of others that are shared with this person, by name or role. */
  shared_with?: { name: string; role: string }
  /** Labels that the run has, with this value; undefined: with any. */
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
  /** As answered with the page before, of the same order. */
  cursor?: string
}

/** In the order that was asked for. `next_cursor` is absent on the last page. */
export interface RunPage {
  runs: RunRecord[]
  next_cursor?: string
}

/** So much of the value of an input is compared. */
export const MOST_INPUT = 200
/** Of each status so many runs are counted. */
export const MOST_COUNTED = 10_000

/** How many runs a query has, of each status that there is. */
export interface RunCounts {
  by_status: Partial<Record<RunStatus, number>>
  /** Statuses of which there are more than were counted. */
  more: RunStatus[]
}

export interface RunStore {
  /** durable: what was committed is there after the process is killed. */
  readonly capabilities: { durable: boolean }
  /**
   * Keeps a new run and its first events (seq from 1) in one commit. Throws `run_exists` where the id is taken.
   * Calls for different runs may overlap.
   */
  create(spec: RunSpec, events: readonly RunEvent[], patch?: RunPatch): Promise<void>
  /**
   * Appends events (the first has seq = last + 1, else `conflict`; none is allowed) and changes the record, in
   * one commit. Throws `run_not_found`. One call at a time for a run; calls for different runs may overlap and
   * may share a commit.
   * A key of the patch with the value undefined takes that field away (never `status`).
   */
  update(runId: string, change: { events: readonly RunEvent[]; patch?: RunPatch }): Promise<void>
  get(runId: string): Promise<RunRecord | undefined>
  list(query: RunQuery): Promise<RunPage>
  /** Up to `MOST_COUNTED` of each status; by inputs or text, of all together. */
  counts(query: Omit<RunQuery, 'limit' | 'cursor'>): Promise<RunCounts>
  /** Events with seq > after, oldest first, at most `limit`. Unknown run: none. */
  events(runId: string, after: number, limit: number): Promise<RunEvent[]>
  /** Ids of runs that are not final, oldest first. */
  open(): Promise<string[]>
  /**
   * Ends the given runs (default: all open ones) as `interrupted`, with a `run.finished` event; answers which.
   * For engines that do not resume.
   */
  markInterrupted(message: string, runIds?: readonly string[]): Promise<string[]>
  /**
   * Takes runs that have ended away, with their events: each whole or not at all, also after a kill in between. The
   * caller sees to it that nothing more is written to them. Unknown ones change nothing. When it resolves their ids are
   * free again.
   */
  remove(runIds: readonly string[]): Promise<void>
  /** May be called twice. Commits what was accepted first. */
  close(): Promise<void>
}

/** Where an attempt was put. `epoch` grows by one each time it is handed out. */
export interface Placement {
  /** Its id, which is unique in the run's tenant. */
  runner?: string
  /** Names what the runner had written by then, where that may be lost: with the power of its machine, or with its folder. */
  storage_id?: string
  /** The demands of the group of that runner, beside those of the spec: kept, so that it never begins with less. */
  isolation?: Isolation
  network?: Network
  epoch: number
}

/** A length that no stream has. */
export const ALL_OUTPUT = Number.MAX_SAFE_INTEGER

export interface AttemptSink {
  /** Why it still waits; the latest is shown. */
  waiting(why: string): void
  /** Which secrets it is given, just before it is sent to its machine. The same again changes nothing. */
  secrets?(taken: TakenSecrets): void
  /**
   * The attempt was placed after having waited. False: it has ended meanwhile, or `cancel` was called for it.
   * Resolves after commit.
   */
  assigned(placement: Placement): Promise<boolean>
  /**
   * Reports in order, `ended` last and once; calls may overlap. Resolves after commit, never without it. One for an
   * attempt that has ended, of an older epoch, or of a run that was given up, changes nothing. Rejects only where the store fails, and with
   * `unavailable` once the engine is closed; then it may be sent again.
   */
  report(report: AttemptReport, epoch: number): Promise<void>
  /**
   * Bytes of a stream at their offset. Resolves with the length now kept, once the bytes are kept; the caller
   * waits for that (backpressure). What is there already is ignored; a gap throws `conflict`. Rejects with
   * `disk_full` where they cannot be kept. Where there is more than may be kept it resolves with `ALL_OUTPUT`: none of
   * what follows in the stream need be handed in. The order of the calls is that of both streams; `unordered`: where these
   * belong among the other's bytes is not known.
   */
  output(stream: StreamName, offset: number, bytes: Buffer, unordered?: true): Promise<number>
  /** Length of the stream as kept here. */
  length(stream: StreamName): Promise<number>
}

/** Carries out attempts: this process, host agents over HTTP, or a fleet of runners. */
export interface StepHost {
  /**
   * Asked before the attempt's creation is committed, so that creation and placement are one commit. Answers at
   * once, never throws, and holds the capacity until `start`, or until `cancel` for that attempt.
   */
  place(spec: AttemptSpec): Placement | { waiting: string }
  /** After the commit, once. Without a placement it waits in the host's queue. Never throws. */
  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void
  /**
   * Instead of `start`, for an attempt that the log of a run taken up again holds open. What is still there goes
   * on; what never began is begun; what is gone is reported `ended` with outcome `interrupted`, reason `lost`.
   * `known.reports`: how many reports of the present epoch are committed; absent: 1 where it has started, else 0.
   * `known.inputs`: given and not taken yet, oldest first. Without a placement it waits in the host's queue; `known.epoch`:
   * the last under which it was handed out before it waited again.
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
  /** SIGTERM, grace, SIGKILL; the end comes through the sink, with this reason. Twice is once. */
  cancel(attemptId: string, reason: Reason, force?: boolean): void
  /**
   * Something for an attempt, after its commit and after `start` or `resume`. Idempotent by `input_id`; the host keeps
   * it until the report `input_taken`. One for an attempt that it does not have changes nothing. A host without this
   * carries out no action that takes inputs.
   */
  input?(attemptId: string, input: AttemptInput): void
  /**
   * The run is set aside: nothing of it takes room or waits here any more. What machines tell of its attempts is not taken, so
   * that it stays with them until `takeBack` or `runEnded`. Twice is once. Absent, as the next: nothing here outlives its run.
   */
  setAside?(runId: string): void
  /** Before the `resume` calls of a run that was set aside. */
  takeBack?(runId: string): void
  /** The run is over: its workspace may go. */
  runEnded(runId: string): void
  /**
   * Before the `resume` calls of a run taken up again, for each attempt of it that has ended: that runner has the
   * run's workspace.
   */
  remember?(attempt: Pick<AttemptSpec, 'run_id' | 'tenant' | 'requires'>, runner: string): void
  /** May be called twice. Local work is canceled; work on other machines goes on. */
  close(): Promise<void>
}

/** The values of the secrets that a hub keeps (or that a local run was given). */
export interface SecretSource {
  /**
   * Values of the spec's secrets that are `from: 'hub'`, by variable. Throws `forbidden` for one that the step would send where it may not, and `secret_not_found`, naming the ones that
   * the run's tenant, repository and workflow have not. The values are for the machine alone: never in a log or answer.
   * `tell` is called, before it resolves, by a source that has several of one name.
   */
  reveal(spec: AttemptSpec, tell?: (taken: TakenSecrets) => void): Promise<Record<string, string>>
}

/** Keeps the secrets that one run alone has, sealed where they outlive this process; the run's `SecretSource` knows them. */
export interface RunSecrets {
  /** Before anything of the run is kept. */
  setOfRun(
    run: Pick<RunSpec, 'run_id' | 'tenant' | 'owner'>,
    values: Readonly<Record<string, string>>,
  ): Promise<void>
  /** By name; none for a run that has none. */
  ofRun(run: Pick<RunSpec, 'run_id' | 'tenant'>): Promise<Record<string, string>>
  /** Twice is once. */
  dropOfRun(run: Pick<RunSpec, 'run_id' | 'tenant'>): Promise<void>
}

/** Keeps the output bytes of attempts. Length is what is kept; callers of one stream come one at a time. */
export interface OutputStore {
  /** Before the first `append` of an attempt; idempotent. Reads `max_output_bytes` and `output_path` from the args. */
  begin(spec: AttemptSpec): void
  /** As `AttemptSink.output`. */
  append(attemptId: string, stream: StreamName, offset: number, bytes: Buffer): Promise<number>
  length(attemptId: string, stream: StreamName): Promise<number>
  /**
   * After a restart, before anything else of the stream: of what is kept, only the first `syncedBytes` are sure to be what was
   * appended, if the power failed. Answers how much is kept from now on. Absent: nothing outlives a failure of the power.
   */
  recover?(attemptId: string, stream: StreamName, syncedBytes: number): Promise<number>
  /**
   * Bytes that were kept when it was called last as long as the events do: on the disk, also if the power
   * fails, where those are. May overlap with the others. Rejects where that is not sure; then no `seal` of
   * the stream succeeds.
   */
  sync(attemptId: string, stream: StreamName): Promise<void>
  /** Bytes from start (inclusive) to end (exclusive), cut at the length; empty past the end. */
  read(attemptId: string, stream: StreamName, start: number, end: number): Promise<Buffer>
  /**
   * No more will come: flushed to disk, and what is kept is measured. `hashed`: it is to be compared, so its SHA-256
   * must be told. `file`: the folder's file a person can open.
   */
  seal(attemptId: string, stream: StreamName, hashed: boolean): Promise<StreamEnd & { file?: string }>
  /** Deletes all that the run's attempts left here (not what `output_path` asked for). */
  remove(runId: string): Promise<void>
  close(): Promise<void>
}

/** Called on each change of a run's state. */
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
  /** A rejection is tried again, then kept as `last_notify_error`; it never changes a run. */
  notify(notification: Notification, signal: AbortSignal): Promise<void>
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Milliseconds since whenever, evenly: also while the machine's clock is set. */
  steady(): number
  /** Calls back once, not before `steady` says that; the answer takes it back. */
  wake(atSteadyMs: number, callback: () => void): () => void
}
