import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { Masker, StreamMasker } from '../masking/masker.ts'
import { LastErrorLine } from './last-error-line.ts'
import { OutputValues } from './output-values.ts'

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

/** The output of what this process carries out itself: masked and read for values, before it is kept anywhere. */
export class PushedOutput {
  /** Undefined where the step takes none. */
  readonly values: OutputValues | undefined
  readonly #masked: Readonly<Record<StreamName, StreamMasker>> | undefined
  readonly #keep: (stream: StreamName, bytes: Buffer) => Promise<void>
  readonly #refused = new Set<StreamName>()
  readonly #lastErrorLine = new LastErrorLine()

  constructor(
    spec: AttemptSpec,
    masker: Masker | undefined,
    keep: (stream: StreamName, bytes: Buffer) => Promise<void>,
  ) {
    this.values = spec.outputs === undefined ? undefined : new OutputValues(spec)
    this.#masked = masker && { stdout: masker.stream(), stderr: masker.stream() }
    this.#keep = keep
  }

  get lastErrorLine(): string | undefined {
    return this.#lastErrorLine.text
  }

  /** Whether something of it stands for a secret. */
  get hidden(): boolean {
    return this.#masked !== undefined && (this.#masked.stdout.hidden || this.#masked.stderr.hidden)
  }

  async push(stream: StreamName, bytes: Buffer): Promise<void> {
    await this.#take(stream, this.#masked?.[stream].push(bytes) ?? bytes)
  }

  /** Nothing follows: what was held back, as it may have become a secret, goes out, but not behind a hole. */
  async end(): Promise<void> {
    for (const stream of STREAMS)
      if (this.#masked && !this.#refused.has(stream)) await this.#take(stream, this.#masked[stream].end())
  }

  async #take(stream: StreamName, bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return
    this.values?.push(stream, bytes)
    if (stream === 'stderr') this.#lastErrorLine.push(bytes)
    try {
      await this.#keep(stream, bytes)
    } catch (error) {
      this.#refused.add(stream)
      throw error
    }
  }
}
