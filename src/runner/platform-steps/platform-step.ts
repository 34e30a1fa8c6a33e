import type { AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { Keepable } from '../artifacts/artifact-keeper.ts'
import type { NamedSecret } from '../masking/masker.ts'

/**
 * A step of a coding task that the runner's own process carries out: it holds credentials, so it stands outside of every box,
 * and parses nothing that an agent could have written. What has to be done with that it has done inside (`boxed`).
 * It ends with its process, and its attempt is lost then: so done again, it changes nothing that is done.
 */
export interface PlatformStep {
  /** Ends early where the signal says so. What it throws is its end: `StepFailure` says why. */
  run(context: PlatformContext): Promise<PlatformResult>
}

export interface PlatformResult {
  /** Variables for later steps. */
  exports?: Record<string, string>
}

/** A fact that a step tells beside its end. */
export type StepFact = Extract<AttemptReport, { type: 'artifact' | 'pushed' | 'pull_request' | 'tests' }>

export interface PlatformContext {
  readonly spec: AttemptSpec
  /** As the action has parsed them. */
  readonly args: unknown
  /** Aborted by cancel, by the timeout and where the runner closes. */
  readonly signal: AbortSignal
  /** Variables of the step, with the values of its secrets. */
  readonly env: Readonly<Record<string, string>>
  /** All that the machine hides for the step and that can be told from other texts, each by its name. */
  readonly secrets: readonly NamedSecret[]
  /** Folder of the attempt on the runner, which no box has: scratch files go there, and with it. */
  readonly folder: string
  /** The working folder of the run, as it is now. */
  readonly workspace: string
  /** The step's log, whole lines; secrets are masked on the way out. */
  write(stream: StreamName, text: string): void
  phase(name: string, message?: string): void
  /** Throws where it cannot be kept; then it must not count. */
  report(fact: StepFact): void
  /**
   * Keeps something beside the run's log, and tells of it; durable when it resolves. Throws `body_too_large` and
   * `quota_exceeded` where it is too much, `HubAway` where its hub was away for a day.
   */
  keep(artifact: Keepable): Promise<Artifact>
  /** Puts bytes that a run of the same tenant has kept into a file. Throws `not_found`, `HubAway`. */
  fetchArtifact(runId: string, artifactId: string, file: string): Promise<void>
  /** Hides the step's secrets in a text that is to be shown. */
  shown(text: string): string
  /** Runs a program where an agent's programs run: one at a time. */
  boxed(command: BoxedCommand): Promise<BoxedEnd>
}

/** A program for the box of the attempt; without a box it runs on the machine as steps do. */
export interface BoxedCommand {
  argv: readonly string[]
  /** Default: the run's workspace. */
  cwd?: string
  /** All its variables, beside those that every step has. */
  env?: Readonly<Record<string, string>>
  /** `log`: the step's own output. A path: that file of the runner, made anew. */
  stdout: 'log' | { file: string }
  timeout_ms?: number
  /** Reaches nothing, whatever the step may (default false). */
  offline?: boolean
  /** Folders and files beside the run's workspace, which is writable. */
  writable?: readonly string[]
  readable?: readonly string[]
}

export type BoxedEnd =
  | { type: 'exited'; code: number }
  | { type: 'signaled'; signal: string }
  | { type: 'timed_out' }
  /** The step is to end. */
  | { type: 'stopped' }
  | { type: 'not_started'; message: string }

/** Why a step of a coding task did not succeed. */
export class StepFailure extends Error {
  readonly reason: Reason
  readonly hint: string | undefined

  constructor(reason: Reason, message: string, hint?: string) {
    super(message)
    this.name = 'StepFailure'
    this.reason = reason
    this.hint = hint
  }
}
