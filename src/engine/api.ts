import type { ActionCatalog } from '../contract/actions.ts'
import type { GivenInput } from '../contract/agent.ts'
import type { Approvers } from '../contract/approvers.ts'
import type { StreamName } from '../contract/attempt.ts'
import { ErrandError } from '../contract/errors.ts'
import type { RunEvent, StepPhase } from '../contract/events.ts'
import type { BoxAsk } from '../contract/isolation.ts'
import type { CreateRun, RunRecord, RunSpec, RunView } from '../contract/run.ts'
import type { RetryPlan, RetryRun } from '../contract/runs/retry.ts'
import type { InstancePage, LastGood, StepOverview } from '../contract/runs/run-parts.ts'
import type { Share, ShareCan, UnshareRun } from '../contract/runs/shares.ts'
import { isFinalRun } from '../contract/status.ts'
import type { Log } from '../platform/log.ts'
import type { InputAddress, PassOn } from './core/inputs.ts'
import type { InstanceQuery } from './core/instance-page.ts'
import type {
  Clock,
  Notifier,
  OutputStore,
  RunCounts,
  RunPage,
  RunQuery,
  RunSecrets,
  RunStore,
  StepHost,
} from './ports.ts'
import type { ConcurrencyLimiter } from './runtime/concurrency-limiter.ts'
import type { NotifyOptions } from './runtime/notifications.ts'
import type { OutputQuota } from './runtime/output-quota.ts'
import type { CheckAside } from './workflow-file/check-aside.ts'
import type { Problem } from './workflow-file/problems.ts'

export interface Submission extends Pick<CreateRun, 'run_id' | 'yaml' | 'workflow'> {
  vars?: Record<string, string | number | boolean>
  /** Values of secrets that this run alone has, by the names that its steps use. Kept before the run is. */
  secrets?: Readonly<Record<string, string>>
  /** The blueprint that made the workflow. Default `workflow`. */
  blueprint?: string
  /** The ended run whose session with an agent it goes on with. */
  continues?: string
  /** The run of the same bot in whose place it comes. */
  replaces?: string
  /** Default `local`. */
  owner?: string
  tenant?: string
  /** The repository that the run is for, by its name. */
  repository?: string
  /** Beside those of the workflow, and before them. */
  labels?: Readonly<Record<string, string>>
  /** The runner group of that repository, to which all of its hosts go. */
  group?: string
  /** The least box of its steps, whatever the workflow says. */
  box?: BoxAsk
  /** The secret of the hub that its checkout of that repository has its token from, where its `workspace:` names none. */
  checkout_token?(repo: string): Promise<string | undefined>
  /** Path of the file, for messages, and as what `workflow.run` files are relative to. */
  file?: string
  /** Reads a `workflow.run` file; absent: such files are refused. */
  readFile?: (path: string) => string
  /** Told what its check warns of, where there is something, before anything is begun. */
  onWarnings?: (warnings: readonly Problem[]) => void
}

/** The ports of an engine, and how it is to behave. */
export interface EngineOptions {
  store: RunStore
  host: StepHost
  outputs: OutputStore
  /** How much output is kept. Absent: all that the store has room for. */
  outputQuota?: OutputQuota
  /** Default: the actions that ship with Errand. */
  catalog?: ActionCatalog
  /** Checks large files, of the actions that ship with Errand. Absent: they are checked in place. */
  checkAside?: CheckAside
  notifier?: Notifier
  notify?: NotifyOptions
  clock?: Clock
  /**
   * Keeps the credentials that stand in the `env` of a workflow, apart from it, until the run is removed. Absent: they stay
   * where they are, and are no secrets.
   */
  runSecrets?: RunSecrets
  /** Takes away what else was kept of a run that is removed, before its record goes. Twice is once. */
  dropBeside?: (runId: string) => Promise<void>
  /** Throws to refuse a run, before anything of it is kept but its secrets. */
  admit?: (run: RunSpec) => Promise<void>
  /**
   * Goes on with the session of a run with prompts that came too late for it, oldest first; answers the run that has each.
   * It is asked before the end of that one is committed, and again after a failure (5xx) or a crash in between, or where
   * more have come: then no prompt is to be given twice. Throws to refuse. Absent: they are dropped.
   */
  passOn?: PassOn
  /** Where runs wait for others of their concurrency group; asked with the first that is in one. Default: within this engine. */
  concurrency?: () => ConcurrencyLimiter | Promise<ConcurrencyLimiter>
  /** Told to notifiers. */
  version?: string
  /**
   * When the store cannot keep an event: `retry` goes on trying, each second, and nothing moves on meanwhile;
   * `abandon` gives the run up after three tries, ends its processes and makes `done` reject. Default `retry`. When the log of a
   * run takes no event that comes next: with `retry` the run is set aside, with `abandon` it ends as `failed`, reason `internal`.
   */
  onStoreFailure?: 'retry' | 'abandon'
  /** Told of what needs a person's attention. */
  log?: Log
}

/** A share that is to be; without `can`: that is to be no more. */
export interface ShareChange extends UnshareRun {
  can?: ShareCan
  /** Who does it. */
  by: string
}

/** The engine as the hub's API, the CLI and an embedding program use it; `Engine` implements it. */
export interface EngineFace {
  /**
   * Resolves once the run is committed. Throws `invalid_workflow` (details: problems), `run_exists`, `invalid_argument`
   * where a host is of another group than the run.
   */
  submit(submission: Submission): Promise<RunRecord>
  /** Whether a run of this id is being submitted: its secrets may be there before it is. */
  isBeginning(runId: string): boolean
  get(runId: string): Promise<RunRecord | undefined>
  list(query: RunQuery): Promise<RunPage>
  counts(query: Omit<RunQuery, 'limit' | 'cursor'>): Promise<RunCounts>
  /** The run with its steps, folded from the log, and at most so many `instances` of each. Throws `run_not_found`. */
  view(runId: string, bounds?: { instances?: number }): Promise<RunView>
  /** A page of the instances of a step, what failed first. Throws `run_not_found`, `not_found`, `bad_request`. */
  instances(
    runId: string,
    step: { phase: StepPhase; name: string },
    query: InstanceQuery,
  ): Promise<InstancePage>
  /** All instances of a step at a glance. Throws `run_not_found`, `not_found`. */
  overview(runId: string, step: { phase: StepPhase; name: string }): Promise<StepOverview>
  /** Keeps how a list shows an ended run that was made before lists had rows. Throws `run_not_found`. */
  fillRow(runId: string): Promise<void>
  /** The newest run of this workflow, and of this owner, that was a success before this one began. Throws `run_not_found`. */
  lastGood(runId: string): Promise<LastGood>
  /**
   * Events with seq > after: first those there are, then new ones as they come, ending after `run.finished`.
   * Output events carry their text; `outputBytes`: of each stream of an attempt only that of the first so many bytes.
   * Pulling is the pace: nothing is buffered for a slow reader. Throws `run_not_found`.
   */
  watch(
    runId: string,
    after: number,
    signal?: AbortSignal,
    options?: { outputBytes?: number },
  ): AsyncIterable<RunEvent>
  /** Bytes of an output, from the store; `number` is the attempt's. */
  output(runId: string, number: number, stream: StreamName, start: number, end: number): Promise<Buffer>
  outputLength(runId: string, number: number, stream: StreamName): Promise<number>
  /**
   * Throws `run_not_found`, `run_ended`. `force` also ends `finally` steps at once; one that is set aside ends at once too,
   * without them.
   */
  cancel(runId: string, options?: { by?: string; message?: string; force?: boolean }): Promise<void>
  /**
   * Answers a waiting approval. `check` is given each that it would answer, and refuses by throwing. Throws
   * `approval_not_pending`; where it was answered before, with who, what and when in `details`.
   */
  answer(
    runId: string,
    answer: { step: string; decision: 'approve' | 'reject'; by?: string; comment?: string },
    check?: (approvers: Approvers | undefined) => void,
  ): Promise<void>
  /** Shares the run, or takes that back; where it stands so already, nothing is changed. Throws `run_not_found`, `quota_exceeded`. */
  share(runId: string, change: ShareChange): Promise<readonly Share[]>
  /**
   * Gives something to the run's attempt that takes inputs: an agent's. Resolves once it is committed, with its id;
   * the same id again changes nothing. Throws `run_not_found`, `run_ended`, `no_input` where no attempt takes any,
   * `conflict` for a permission request that is unknown or answered, and where several attempts could be meant.
   */
  input(runId: string, given: GivenInput, to?: InputAddress): Promise<{ input_id: string }>
  /**
   * A new run of the same workflow: of all of it, or with what succeeded and was not undone taken over, as far as it is
   * asked for. `run_id`: the id that it is to have. That of a rollback is another rollback. Throws `run_not_ended`, and `invalid_argument` for steps and
   * instances that are not there and for what contradicts itself.
   */
  retry(runId: string, options: RetryRun & { owner?: string; run_id?: string }): Promise<RunRecord>
  /** The foreseen course of such a retry; nothing is begun. Throws as `retry`. */
  retryPlan(runId: string, asked: RetryRun): Promise<RetryPlan>
  /**
   * A new run that runs the rollback of each step that succeeded, in reverse; but what an earlier one has undone before it
   * failed. Throws `run_not_ended`, and `conflict` where the run is undone, or is being undone.
   */
  rollback(runId: string, options?: { owner?: string; run_id?: string }): Promise<RunRecord>
  /**
   * Takes ended runs away with all that they left: outputs, events, records. Unknown ones change nothing. Throws
   * `run_not_ended` before any of them is touched.
   */
  remove(runIds: readonly string[]): Promise<void>
  /** Resolves when the run has ended. Rejects with `run_set_aside`, and with `unavailable` where the engine is closed before. */
  done(runId: string): Promise<RunRecord>
  /** Takes up the runs that the store holds open; `only` these of them, where given. */
  resume(only?: readonly string[]): Promise<void>
  /**
   * Goes on with a run that is set aside. Throws `run_set_aside` where that is refused again, `conflict` where it is not set aside,
   * or its concurrency group is full, and `run_not_found`, `run_ended`.
   */
  resumeRun(runId: string): Promise<RunRecord>
  /** Ids of the runs that are set aside, the first first. */
  setAside(): string[]
  /** The time at which the run was set aside first; undefined: it is not. */
  setAsideSince(runId: string): string | undefined
  /** How many of these it has taken up; undefined where all are. */
  takingUp(): { done: number; of: number } | undefined
  /** Stops conducting; open runs stay open in the store. */
  close(): Promise<void>
}

/** The refusal of all that would be committed after the engine was closed. */
export const engineClosed = (): ErrandError =>
  new ErrandError('unavailable', 'The engine is closed.', { hint: 'Try again when it is up.' })

export const runExists = (runId: string): ErrandError =>
  new ErrandError('run_exists', `There is a run ${runId} already.`, {
    hint: 'Choose another run id, or leave it out.',
  })

/** The refusal of all that is asked of a run that is set aside, but for its end. */
export const runSetAside = (runId: string, why: string): ErrandError =>
  new ErrandError('run_set_aside', `Run ${runId} is set aside: ${why}`, {
    hint: `Once the cause is mended, such as by an update of Errand, an admin resumes it: errand runs resume ${runId}. errand runs cancel ${runId} ends it.`,
  })

export const runEnded = (runId: string, status: string): ErrandError =>
  new ErrandError('run_ended', `Run ${runId} has ended (${status}).`, {
    hint: 'Only a run that is queued or running can be changed.',
  })

/** One rollback of a run at a time, and none once it is undone. */
export const alreadyRolledBack = (runId: string, by: Pick<RunRecord, 'run_id' | 'status'>): ErrandError =>
  isFinalRun(by.status)
    ? new ErrandError('conflict', `Run ${runId} was rolled back already, by run ${by.run_id}.`, {
        hint: `errand runs show ${by.run_id} shows what was undone.`,
      })
    : new ErrandError('conflict', `Run ${runId} is being rolled back, by run ${by.run_id}.`, {
        hint: `errand runs logs ${by.run_id} --follow follows it.`,
      })

export const runNotEnded = (runId: string, status: string): ErrandError =>
  new ErrandError('run_not_ended', `Run ${runId} is ${status}; it has to end first.`, {
    hint: `errand runs cancel ${runId} ends it.`,
  })
