import type { AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { Keepable } from '../artifacts/artifact-keeper.ts'
import type { NamedSecret } from '../masking/masker.ts'

/**
 * Step of a coding task that the runner's own process runs. It holds credentials, so it is outside every box, and
 * parses nothing that an agent could have written; such work is done inside (`boxed`). It ends with its process, and
 * its attempt is then lost. So a repeated run must change nothing that is done already.
 */
export interface PlatformStep {
  /** Runs the step; ends early if the signal aborts. An error is its end: `StepFailure` says why. */
  run(context: PlatformContext): Promise<PlatformResult>
}

export interface PlatformResult {
  /** Variables for later steps. */
  exports?: Record<string, string>
}

/** Fact that a step reports besides its end. */
export type StepFact = Extract<AttemptReport, { type: 'artifact' | 'pushed' | 'pull_request' | 'tests' }>

export interface PlatformContext {
  readonly spec: AttemptSpec
  /** Arguments as the action has parsed them. */
  readonly args: unknown
  /** Aborted by a cancellation, by the timeout and when the runner closes. */
  readonly signal: AbortSignal
  /** Variables of the step, with the values of its secrets. */
  readonly env: Readonly<Record<string, string>>
  /** Secrets, by name, that the machine hides for the step and that can be distinguished from other texts. */
  readonly secrets: readonly NamedSecret[]
  /** Folder of the attempt on the runner, which no box has: for temporary files, which are deleted with it. */
  readonly folder: string
  /** Present working folder of the run. */
  readonly workspace: string
  /** Writes whole lines to the step's log; secrets are masked on the way out. */
  write(stream: StreamName, text: string): void
  phase(name: string, message?: string): void
  /** Reports a fact. Throws if it cannot be stored; then it must not count. */
  report(fact: StepFact): void
  /**
   * Stores something beside the run's log, and reports it; durable when it resolves. Throws `body_too_large` and
   * `quota_exceeded` if it is too much, `HubAway` if its hub was away for a day.
   */
  keep(artifact: Keepable): Promise<Artifact>
  /** Writes bytes that a run of the same tenant has stored to a file. Throws `not_found`, `HubAway`. */
  fetchArtifact(runId: string, artifactId: string, file: string): Promise<void>
  /** Hides the step's secrets in a text for display. */
  shown(text: string): string
  /** Runs a program where an agent's programs run, one at a time. */
  boxed(command: BoxedCommand): Promise<BoxedEnd>
}

/** Program for the box of the attempt; without a box it runs on the machine like other steps. */
export interface BoxedCommand {
  argv: readonly string[]
  /** Working folder; default: the run's workspace. */
  cwd?: string
  /** Variables besides those that every step has. */
  env?: Readonly<Record<string, string>>
  /** Target of standard output. `log`: the step's own output. A path: that file of the runner, which is recreated. */
  stdout: 'log' | { file: string }
  timeout_ms?: number
  /** Blocks the network, whatever the step may use (default false). */
  offline?: boolean
  /** Folders and files besides the run's workspace, which is writable. */
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

/** Says why a step of a coding task did not succeed. */
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
