import type { ActionCatalog } from '../contract/actions.ts'
import type { NewInput } from '../contract/agent.ts'
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
  /** Values of secrets that only this run has, by the names that its steps use. Stored before the run is. */
  secrets?: Readonly<Record<string, string>>
  /** The blueprint that made the workflow. Default `workflow`. */
  blueprint?: string
  /** The ended run whose agent session this run continues. */
  continues?: string
  /** The run of the same bot that this run replaces. */
  replaces?: string
  /** Default `local`. */
  owner?: string
  tenant?: string
  /** The repository that the run is for, by its name. */
  repository?: string
  /** Added to the labels of the workflow; these win over its labels of the same name. */
  labels?: Readonly<Record<string, string>>
  /** The runner group of that repository; all hosts of the run are in it. */
  group?: string
  /** The minimum box for its steps, whatever the workflow says. */
  box?: BoxAsk
  /**
   * Returns the name of the hub secret with the token for the run's checkout of that repository, where its `workspace:`
   * names none.
   */
  checkout_token?(repo: string): Promise<string | undefined>
  /** Path of the file, used in messages and as the base of relative `workflow.run` files. */
  file?: string
  /** Reads a `workflow.run` file; if absent, such files are refused. */
  readFile?: (path: string) => string
  /** Receives the warnings of the workflow's check, if any, before anything begins. */
  onWarnings?: (warnings: readonly Problem[]) => void
}

/** The ports of an engine and its behavior. */
export interface EngineOptions {
  store: RunStore
  host: StepHost
  outputs: OutputStore
  /** Limits how much output is stored. Absent: all that the store has room for. */
  outputQuota?: OutputQuota
  /** Default: the actions that ship with Errand. */
  catalog?: ActionCatalog
  /** Checks large workflow files against the actions that ship with Errand. Absent: they are checked in place. */
  checkAside?: CheckAside
  notifier?: Notifier
  notify?: NotifyOptions
  clock?: Clock
  /**
   * Stores the credentials in a workflow's `env` apart from the workflow, until the run is removed. Absent: they stay
   * in the workflow and are not secrets.
   */
  runSecrets?: RunSecrets
  /** Removes everything else that was stored for a run, before its record is deleted. Idempotent. */
  dropBeside?: (runId: string) => Promise<void>
  /** Throws to refuse a run before anything but its secrets is stored. */
  admit?: (run: RunSpec) => Promise<void>
  /**
   * Continues a run's session with the prompts that came too late for it, oldest first; returns the run that has each.
   * It is called before the run's end is committed, and again after a failure (5xx), after a crash in between, or when
   * more prompts have come; it must not give a prompt twice. Throws to refuse. Absent: the prompts are dropped.
   */
  passOn?: PassOn
  /**
   * Makes the limiter at which runs wait for others of their concurrency group; called for the first run in a group.
   * Default: a limiter within this engine.
   */
  concurrency?: () => ConcurrencyLimiter | Promise<ConcurrencyLimiter>
  /** Reported to notifiers. */
  version?: string
  /**
   * Behavior when the store cannot save an event. `retry` tries again each second, and nothing proceeds meanwhile.
   * `abandon` gives the run up after three tries, ends its processes and makes `done` reject. Default `retry`. When a
   * run's log refuses the next event, `retry` sets the run aside, and `abandon` ends it as `failed`, reason `internal`.
   */
  onStoreFailure?: 'retry' | 'abandon'
  /** Receives what needs a person's attention. */
  log?: Log
}

/** A share to add or, without `can`, to remove. */
export interface ShareChange extends UnshareRun {
  can?: ShareCan
  /** The person who changes it. */
  by: string
}

/** The engine as the hub's API, the CLI and an embedding program use it; `Engine` implements it. */
export interface EngineFace {
  /**
   * Submits a run; resolves once it is committed. Throws `invalid_workflow` (details: problems), `run_exists`, and
   * `invalid_argument` where a host is of another group than the run.
   */
  submit(submission: Submission): Promise<RunRecord>
  /** Reports whether a run with this id is being submitted: its secrets may exist before the run does. */
  isBeginning(runId: string): boolean
  get(runId: string): Promise<RunRecord | undefined>
  list(query: RunQuery): Promise<RunPage>
  counts(query: Omit<RunQuery, 'limit' | 'cursor'>): Promise<RunCounts>
  /**
   * Returns the run with its steps, folded from the log, with at most `instances` instances of each step. Throws
   * `run_not_found`.
   */
  view(runId: string, bounds?: { instances?: number }): Promise<RunView>
  /** Returns a page of a step's instances, failed ones first. Throws `run_not_found`, `not_found`, `bad_request`. */
  instances(
    runId: string,
    step: { phase: StepPhase; name: string },
    query: InstanceQuery,
  ): Promise<InstancePage>
  /** Summarizes all instances of a step. Throws `run_not_found`, `not_found`. */
  overview(runId: string, step: { phase: StepPhase; name: string }): Promise<StepOverview>
  /** Stores the list row of an ended run that predates list rows. Throws `run_not_found`. */
  fillRow(runId: string): Promise<void>
  /**
   * Returns the newest run of the same workflow and owner that succeeded before this one began. Throws `run_not_found`.
   */
  lastGood(runId: string): Promise<LastGood>
  /**
   * Yields events with seq > after: first the existing ones, then new ones as they come, until after `run.finished`.
   * Output events carry their text; `outputBytes` limits it to the first bytes of each stream of an attempt. The reader
   * sets the pace: nothing is buffered for a slow one. Throws `run_not_found`.
   */
  watch(
    runId: string,
    after: number,
    signal?: AbortSignal,
    options?: { outputBytes?: number },
  ): AsyncIterable<RunEvent>
  /** Reads bytes of an output from the store; `number` is the attempt's. */
  output(runId: string, number: number, stream: StreamName, start: number, end: number): Promise<Buffer>
  outputLength(runId: string, number: number, stream: StreamName): Promise<number>
  /**
   * Cancels a run. `force` also ends `finally` steps at once. A run that is set aside ends at once in any case, without
   * them. Throws `run_not_found`, `run_ended`.
   */
  cancel(runId: string, options?: { by?: string; message?: string; force?: boolean }): Promise<void>
  /**
   * Answers a waiting approval. `check` receives each approval that would be answered, and throws to refuse. Throws
   * `approval_not_pending`; if it was answered before, `details` say by whom, how and when.
   */
  answer(
    runId: string,
    answer: { step: string; decision: 'approve' | 'reject'; by?: string; comment?: string },
    check?: (approvers: Approvers | undefined) => void,
  ): Promise<void>
  /**
   * Shares the run, or stops sharing it; changes nothing when that is already so. Throws `run_not_found`,
   * `quota_exceeded`.
   */
  share(runId: string, change: ShareChange): Promise<readonly Share[]>
  /**
   * Gives an input to the attempt of the run that takes inputs: an agent's. Resolves with the input's id once it is
   * committed; the same id again changes nothing. Throws `run_not_found`, `run_ended`, `no_input` when no attempt takes
   * any, and `conflict` for a permission request that is unknown or answered, and when several attempts could be meant.
   */
  input(runId: string, newInput: NewInput, to?: InputAddress): Promise<{ input_id: string }>
  /**
   * Starts a new run of the same workflow: either the whole of it, or the requested part, with what succeeded and was
   * not undone taken over. `run_id` sets the id of the new run. Retrying a rollback starts another rollback. Throws
   * `run_not_ended`, and `invalid_argument` for unknown steps and instances and for contradictory options.
   */
  retry(runId: string, options: RetryRun & { owner?: string; run_id?: string }): Promise<RunRecord>
  /** Returns the expected course of such a retry without starting it. Throws as `retry`. */
  retryPlan(runId: string, request: RetryRun): Promise<RetryPlan>
  /**
   * Starts a new run that runs the rollback of each step that succeeded, in reverse, except what an earlier rollback
   * undid before it failed. Throws `run_not_ended`, and `conflict` when the run is undone or is being undone.
   */
  rollback(runId: string, options?: { owner?: string; run_id?: string }): Promise<RunRecord>
  /**
   * Removes ended runs with everything they left: outputs, events, records. Ignores unknown ones. Throws
   * `run_not_ended` before any of them is touched.
   */
  remove(runIds: readonly string[]): Promise<void>
  /**
   * Resolves when the run has ended. Rejects with `run_set_aside`, and with `unavailable` when the engine closes first.
   */
  done(runId: string): Promise<RunRecord>
  /** Resumes the open runs of the store, or `only` these of them. */
  resume(only?: readonly string[]): Promise<void>
  /**
   * Resumes a run that is set aside. Throws `run_set_aside` when that is refused again, `conflict` when it is not set
   * aside or its concurrency group is full, and `run_not_found`, `run_ended`.
   */
  resumeRun(runId: string): Promise<RunRecord>
  /** Returns the ids of the runs that are set aside, the earliest first. */
  setAside(): string[]
  /** Returns the time at which the run was first set aside; undefined when it is not. */
  setAsideSince(runId: string): string | undefined
  /** Returns how many open runs have been resumed so far; undefined when all have. */
  takingUp(): { done: number; of: number } | undefined
  /** Stops conducting; open runs stay open in the store. */
  close(): Promise<void>
}

/** Makes the refusal of any commit after the engine was closed. */
export const engineClosed = (): ErrandError =>
  new ErrandError('unavailable', 'The engine is closed.', { hint: 'Try again when it is up.' })

export const runExists = (runId: string): ErrandError =>
  new ErrandError('run_exists', `Run ${runId} already exists.`, {
    hint: 'Choose another run id, or leave it out.',
  })

/** Makes the refusal of any request to a run that is set aside, except to end it. */
export const runSetAside = (runId: string, why: string): ErrandError =>
  new ErrandError('run_set_aside', `Run ${runId} is set aside: ${why}`, {
    hint: `Once the cause is fixed, for example by an update of Errand, an admin can resume it: errand runs resume ${runId}. To end it: errand runs cancel ${runId}`,
  })

export const runEnded = (runId: string, status: string): ErrandError =>
  new ErrandError('run_ended', `Run ${runId} has ended (${status}).`, {
    hint: 'Only a run that is queued or running can be changed.',
  })

/** Makes the refusal of a second rollback: a run has one at a time, and none once it is undone. */
export const alreadyRolledBack = (runId: string, by: Pick<RunRecord, 'run_id' | 'status'>): ErrandError =>
  isFinalRun(by.status)
    ? new ErrandError('conflict', `Run ${runId} was already rolled back by run ${by.run_id}.`, {
        hint: `See what was rolled back: errand runs show ${by.run_id}`,
      })
    : new ErrandError('conflict', `Run ${runId} is being rolled back by run ${by.run_id}.`, {
        hint: `Follow it: errand runs logs ${by.run_id} --follow`,
      })

export const runNotEnded = (runId: string, status: string): ErrandError =>
  new ErrandError('run_not_ended', `Run ${runId} is ${status}; it has to end first.`, {
    hint: `End it: errand runs cancel ${runId}`,
  })
