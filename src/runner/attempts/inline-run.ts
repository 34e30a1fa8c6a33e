import type { AttemptEnd, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { ErrandError, messageWithHint } from '../../contract/errors.ts'
import type { StreamMasker } from '../masking/masker.ts'
import type { Action } from '../ports.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'
import { attemptEnd } from './attempt-end.ts'
import { callAt } from './deadline.ts'
import type { Cause, Ending } from './outcome.ts'
import { OutputValues } from './output-values.ts'

export interface InlineRunOptions {
  action: Extract<Action, { kind: 'inline' }>
  spec: AttemptSpec
  /** Absent: it has none. */
  secrets?: AttemptSecrets
  cwd: string
  /** Between the abort and giving up on the action. */
  timeoutGraceMs: number
  write(stream: StreamName, bytes: Buffer): Promise<void>
}

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

/** One inline action, carried out. */
export class InlineRun {
  readonly #options: InlineRunOptions
  readonly #abort = new AbortController()
  readonly #givenUp = Promise.withResolvers<Ending>()
  #cause: Cause | undefined
  #over = false
  readonly #masked: Readonly<Record<StreamName, StreamMasker>> | undefined

  constructor(options: InlineRunOptions) {
    this.#options = options
    const { masker } = options.secrets ?? {}
    this.#masked = masker && { stdout: masker.stream(), stderr: masker.stream() }
  }

  /** Carries it out, once. Never rejects. */
  async run(): Promise<AttemptEnd> {
    const { spec, secrets } = this.#options
    const startedAtMs = Date.now()
    const timeoutMs = spec.timeout_ms
    const takeBack =
      timeoutMs === undefined
        ? undefined
        : callAt(startedAtMs + timeoutMs, () =>
            this.stop({ type: 'timeout', after_ms: timeoutMs }, this.#options.timeoutGraceMs),
          )
    const values = spec.outputs === undefined ? undefined : new OutputValues(spec)
    const { ending, exports } = await this.#act(values)
    takeBack?.()
    const hidden = this.#masked && (this.#masked.stdout.hidden || this.#masked.stderr.hidden)
    const masker = secrets?.masker
    return {
      ...attemptEnd({ ending, cause: this.#cause, values, exports, masker, hidden }),
      duration_ms: Math.max(0, Date.now() - startedAtMs),
    }
  }

  /** Aborts the action; what has not ended after the grace is given up. A second call can only make it quicker. */
  stop(cause: Cause, graceMs: number): void {
    if (graceMs === 0) this.#givenUp.resolve({ type: 'stopped' })
    if (this.#cause !== undefined) return
    this.#cause = cause
    this.#abort.abort()
    const takeBack = callAt(Date.now() + graceMs, () => this.#givenUp.resolve({ type: 'stopped' }))
    void this.#givenUp.promise.then(takeBack)
  }

  async #act(
    values: OutputValues | undefined,
  ): Promise<{ ending: Ending; exports?: Record<string, string> }> {
    const { action, secrets, cwd, write } = this.#options
    const spec = secrets?.filledSpec ?? this.#options.spec
    let exports: Record<string, string> | undefined
    const keep = async (stream: StreamName, bytes: Buffer) => {
      if (bytes.length === 0) return
      values?.push(stream, bytes)
      await write(stream, bytes)
    }
    const act = async (): Promise<Ending> => {
      const context = {
        signal: this.#abort.signal,
        env: spec.env,
        cwd,
        shown: (text: string) => secrets?.masker?.maskText(text) ?? text,
        write: async (stream: StreamName, data: Buffer | string) => {
          if (this.#over) throw new ErrandError('unavailable', 'This attempt has ended.')
          const bytes = typeof data === 'string' ? Buffer.from(data) : data
          await keep(stream, this.#masked?.[stream].push(bytes) ?? bytes)
        },
      }
      exports = (await action.run(spec, context)).exports
      return { type: 'done' }
    }
    let ending = await Promise.race([act().catch(failed), this.#givenUp.promise])
    this.#over = true
    try {
      // Where it was given up, it may be writing yet.
      for (const stream of ending.type === 'stopped' ? [] : STREAMS)
        if (this.#masked) await keep(stream, this.#masked[stream].end())
    } catch (error) {
      if (ending.type === 'done') ending = failed(error)
    }
    // Lets go of the timer of a stop.
    this.#givenUp.resolve(ending)
    return { ending, exports }
  }
}

function failed(error: unknown): Ending {
  const code = error instanceof ErrandError ? error.code : undefined
  const reason =
    code === 'invalid_argument'
      ? 'invalid_argument'
      : code === 'disk_full'
        ? 'output_failed'
        : 'action_failed'
  return { type: 'action_failed', reason, message: messageWithHint(error) }
}
