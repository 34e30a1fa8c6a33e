import { writeSync } from 'node:fs'
import { join } from 'node:path'
import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { ErrandError, messageOf, messageWithHint } from '../../contract/errors.ts'
import { Reason } from '../../contract/status.ts'
import { endTree } from '../../platform/child-tree.ts'
import { firstOf } from '../../platform/races.ts'
import type { ArtifactKeeper } from '../artifacts/artifact-keeper.ts'
import type { AttemptFiles } from '../attempts/attempt-files.ts'
import type { Driven, Driver, DriverKind, Swept } from '../attempts/driver.ts'
import { processEnvironment } from '../attempts/launch.ts'
import type { RunnerStop } from '../attempts/runner-stop.ts'
import { callAt } from '../attempts/timers.ts'
import { type Ending, fatalSignal } from '../attempts/verdict.ts'
import type { Workspaces } from '../attempts/workspaces.ts'
import { HubAway } from '../link/hub-retry.ts'
import type { Action } from '../ports.ts'
import { BoxedCommands } from './boxed-commands.ts'
import {
  type BoxedCommand,
  type BoxedEnd,
  type PlatformContext,
  type PlatformStep,
  type StepFact,
  StepFailure,
} from './platform-step.ts'

export interface PlatformDriversOptions {
  workspaces: Workspaces
  /** Variables of this machine's environment that commands get. */
  env: Readonly<Record<string, string>>
  /** Returns the step that runs an action, loaded with the first of its kind; undefined if this machine has none. */
  step(action: string): Promise<PlatformStep> | undefined
  /** Knows when this runner is told to stop. */
  stop?: RunnerStop
  /** Stores things beside the log; if absent, nothing is stored. */
  artifacts?: ArtifactKeeper
}

/**
 * Makes the drivers for steps of coding tasks. A step ends with the process of its runner, and the next process ends
 * what it has begun.
 */
export function platformDrivers(options: PlatformDriversOptions): DriverKind {
  return {
    kind: 'platform',
    driver: (attempt, files, action) => new PlatformDriver(attempt, files, action, options),
  }
}

class PlatformDriver implements Driver {
  readonly #attempt: Driven
  readonly #files: AttemptFiles
  readonly #action: () => Action
  readonly #options: PlatformDriversOptions
  readonly #commands: BoxedCommands
  readonly #abort = new AbortController()
  /** Resolved when its time to end by itself is over. */
  readonly #stopped = Promise.withResolvers<void>()

  constructor(attempt: Driven, files: AttemptFiles, action: () => Action, options: PlatformDriversOptions) {
    const { facts, folder, mark, cage, box, output } = files
    this.#attempt = attempt
    this.#files = files
    this.#action = action
    this.#options = options
    this.#commands = new BoxedCommands({
      ...{ folder: folder.path, mark, cage, box },
      log: { stdoutFd: output.files.stdout.fd, stderrFd: output.files.stderr.fd },
      workspace: () => options.workspaces.create(facts.spec.run_id),
      readable: () => options.workspaces.readable(facts.spec.run_id),
      environment: (own) => processEnvironment(options.env, own, facts.spec, facts.key),
    })
  }

  begin(): void {
    this.#attempt.running(undefined, Date.now())
    void this.#execute()
  }

  /** Ends the attempt as lost: nobody knows how far an earlier process was. */
  async recover(): Promise<void> {
    await this.kill()
    await this.#attempt.finish({
      type: 'lost',
      why: 'The runner was restarted in the middle of the step. If the step is run again, it continues from what is already done.',
    })
  }

  stop(graceMs: number): void {
    if (graceMs === 0) this.#stopped.resolve()
    void this.#commands.stop(graceMs)
    if (this.#abort.signal.aborted) return
    this.#abort.abort()
    const takeBack = callAt(Date.now() + graceMs, () => this.#stopped.resolve())
    void this.#stopped.promise.then(takeBack)
  }

  async sweep(): Promise<Swept> {
    return { survives: !(await this.#commands.end()) }
  }

  usage() {
    return this.#files.cage.usage()
  }

  async kill(): Promise<void> {
    const { mark, cage } = this.#files
    this.#stopped.resolve()
    await endTree({ mark, members: cage.members }, 0)
    await this.#commands.end()
  }

  /** Runs the step. Never rejects. */
  async #execute(): Promise<void> {
    let exports: Record<string, string> | undefined
    const work = async (): Promise<Ending> => {
      const { facts, secrets } = this.#files
      const spec = secrets?.filledSpec ?? facts.spec
      const action = this.#action()
      if (action.kind !== 'platform') throw new Error(`"${spec.action}" is no longer a platform step.`)
      const args = action.prepare(spec)
      const step = await this.#options.step(spec.action)
      if (!step)
        throw new ErrandError('invalid_argument', `This runner does not run "${spec.action}".`, {
          hint: 'Use a runner that has a folder for repositories.',
        })
      exports = (await step.run(this.#context(spec, args))).exports
      return { type: 'done' }
    }
    const stopped = this.#stopped.promise.then((): Ending => ({ type: 'stopped' }))
    const ending = await firstOf(
      work().catch((error) => this.#failure(error)),
      stopped,
    )
    // Clears the timer of a stop.
    this.#stopped.resolve()
    await this.#attempt.finish(ending, { exports })
  }

  #context(spec: AttemptSpec, args: unknown): PlatformContext {
    const attempt = this.#attempt
    const { folder, output } = this.#files
    const { workspaces } = this.#options
    const shown = (text: string) => attempt.masker?.maskText(text) ?? text
    return {
      ...{ spec, args, shown },
      signal: this.#abort.signal,
      env: this.#files.env,
      secrets: this.#files.secrets?.known ?? [],
      folder: folder.path,
      get workspace() {
        return workspaces.create(spec.run_id)
      },
      write: (stream: StreamName, text: string) => {
        writeSync(output.files[stream].fd, text)
        attempt.refresh()
      },
      phase: (phase, message) =>
        void attempt.journal.add({ type: 'phase', phase, message: message && shown(message) }),
      report: (fact: StepFact) => {
        if (attempt.journal.add(fact)) return
        attempt.failUnwritten()
        throw new ErrandError('disk_full', 'What the step reported could not be saved on the runner.')
      },
      keep: async (artifact) =>
        await this.#keeper.keep(
          { spec, journal: attempt.journal, scratch: join(folder.path, 'kept'), signal: this.#abort.signal },
          artifact,
        ),
      fetchArtifact: async (runId, artifactId, file) => {
        const waiting = (message: string) =>
          void attempt.journal.add({ type: 'phase', phase: 'artifacts', message })
        await this.#keeper.fetch(runId, artifactId, file, { signal: this.#abort.signal, waiting })
      },
      boxed: (command) => this.#boxed(command),
    }
  }

  /**
   * Runs a command. If the stopping machine has ended it, its result is meaningless, and the step must not judge it.
   */
  async #boxed(command: BoxedCommand): Promise<BoxedEnd> {
    const end = await this.#commands.run(command)
    const signal = end.type === 'exited' || end.type === 'signaled' ? fatalSignal(end) : undefined
    const isLost = signal !== undefined && (await this.#options.stop?.wasNear(Date.now()))
    if (isLost && !this.#abort.signal.aborted) throw new StoppedWithMachine(signal)
    return end
  }

  get #keeper(): ArtifactKeeper {
    const { artifacts } = this.#options
    if (artifacts) return artifacts
    throw new ErrandError('unavailable', 'This machine stores nothing except the logs of runs.')
  }

  #failure(error: unknown): Ending {
    if (this.#abort.signal.aborted) return { type: 'stopped' }
    const text =
      error instanceof StepFailure && error.hint ? `${error.message} ${error.hint}` : messageOf(error)
    const message = error instanceof ErrandError ? messageWithHint(error) : text
    const shown = this.#attempt.masker?.maskText(message) ?? message
    if (error instanceof HubAway || error instanceof StoppedWithMachine) return { type: 'lost', why: shown }
    return { type: 'action_failed', reason: reasonOf(error), message: shown, ran: true }
  }
}

class StoppedWithMachine extends Error {
  constructor(signal: string) {
    super(`A command of the step was ended by ${signal} while its machine or runner was being stopped.`)
  }
}

function reasonOf(error: unknown): Reason {
  if (error instanceof StepFailure) return error.reason
  const named = error instanceof ErrandError ? Reason.safeParse(error.code) : undefined
  return named?.success ? named.data : 'action_failed'
}
