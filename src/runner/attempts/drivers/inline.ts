import type { AttemptSpec, StreamName } from '../../../contract/attempt.ts'
import { ErrandError, messageWithHint } from '../../../contract/errors.ts'
import { firstOf } from '../../../platform/races.ts'
import type { Action, InlineContext } from '../../ports.ts'
import type { AttemptSecrets } from '../../secrets/attempt-secrets.ts'
import type { Driven, Driver, Swept } from '../driver.ts'
import type { PushedOutput } from '../pushed-output.ts'
import { callAt } from '../timers.ts'
import type { Ending } from '../verdict.ts'

type InlineAction = Extract<Action, { kind: 'inline' }>
type Output = Pick<PushedOutput, 'push' | 'end'>

/** Makes the driver for an action that runs in this process and ends with it. */
export function inlineDriver(
  { action, spec, secrets }: { action: InlineAction; spec: AttemptSpec; secrets?: AttemptSecrets },
  output: Output,
  cwd: string,
  apart?: InlineContext['apart'],
): (attempt: Driven) => Driver {
  return (attempt) => {
    const push = async (stream: StreamName, bytes: Buffer) => {
      await output.push(stream, bytes)
      attempt.refresh()
    }
    const output_ = { push, end: () => output.end() }
    return new InlineDriver(attempt, new InlineRun({ action, spec, secrets, cwd, apart, output: output_ }))
  }
}

class InlineDriver implements Driver {
  readonly #attempt: Driven
  readonly #run: InlineRun

  constructor(attempt: Driven, run: InlineRun) {
    this.#attempt = attempt
    this.#run = run
  }

  begin(): void {
    this.#attempt.running(undefined, Date.now())
    void this.#run.run().then(({ ending, exports }) => this.#attempt.finish(ending, { exports }))
  }

  stop(graceMs: number): void {
    this.#run.stop(graceMs)
  }

  async sweep(): Promise<Swept> {
    return {}
  }

  async kill(): Promise<void> {
    this.#run.stop(0)
  }
}

export interface InlineRunOptions {
  action: InlineAction
  spec: AttemptSpec
  /** Secrets of the attempt; absent if it has none. */
  secrets?: AttemptSecrets
  cwd: string
  apart?: InlineContext['apart']
  /** Receives the output. If `push` rejects, the action fails for that reason. */
  output: Output
}

/** Runs one inline action. */
export class InlineRun {
  readonly #options: InlineRunOptions
  readonly #abort = new AbortController()
  readonly #stopped = Promise.withResolvers<Ending>()
  #over = false

  constructor(options: InlineRunOptions) {
    this.#options = options
  }

  /** Runs the action, once. Never rejects. */
  async run(): Promise<{ ending: Ending; exports?: Record<string, string> }> {
    const { action, secrets, cwd, apart, output } = this.#options
    const spec = secrets?.filledSpec ?? this.#options.spec
    let exports: Record<string, string> | undefined
    const act = async (): Promise<Ending> => {
      const context = {
        signal: this.#abort.signal,
        env: spec.env,
        cwd,
        apart,
        shown: (text: string) => secrets?.masker?.maskText(text) ?? text,
        write: async (stream: StreamName, data: Buffer | string) => {
          if (this.#over) throw new ErrandError('unavailable', 'This attempt has ended.')
          await output.push(stream, typeof data === 'string' ? Buffer.from(data) : data)
        },
      }
      exports = (await action.run(spec, context)).exports
      return { type: 'done' }
    }
    let ending = await firstOf(
      act().catch((error) => this.#failed(error)),
      this.#stopped.promise,
    )
    this.#over = true
    try {
      // An action that was given up may still be writing.
      if (ending.type !== 'stopped') await output.end()
    } catch (error) {
      if (ending.type === 'done') ending = failed(error)
    }
    // Clears the timer of a stop.
    this.#stopped.resolve(ending)
    return { ending, exports }
  }

  /**
   * Builds the ending of a failed action. An action that knows what it waited for when it was stopped says so in an
   * `ErrandError`.
   */
  #failed(error: unknown): Ending {
    const ending = failed(error)
    return this.#abort.signal.aborted && error instanceof ErrandError
      ? { ...ending, at: error.message }
      : ending
  }

  /** Aborts the action, and gives it up if it has not ended after the grace. A second call can only make it quicker. */
  stop(graceMs: number): void {
    if (graceMs === 0) this.#stopped.resolve({ type: 'stopped' })
    if (this.#abort.signal.aborted) return
    this.#abort.abort()
    const takeBack = callAt(Date.now() + graceMs, () => this.#stopped.resolve({ type: 'stopped' }))
    void this.#stopped.promise.then(takeBack)
  }
}

function failed(error: unknown): Extract<Ending, { type: 'action_failed' }> {
  const code = error instanceof ErrandError ? error.code : undefined
  const reason =
    code === 'invalid_argument'
      ? 'invalid_argument'
      : code === 'disk_full'
        ? 'output_failed'
        : 'action_failed'
  return { type: 'action_failed', reason, message: messageWithHint(error), ran: true }
}
