import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { Masker, StreamMasker } from '../masking/masker.ts'
import { LastErrorLine } from './last-error-line.ts'
import { OutputValues } from './output-values.ts'

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

/**
 * Handles the output of what this process runs itself: masks it and reads it for values before it is stored anywhere.
 */
export class PushedOutput {
  /** Values of the step's outputs; undefined if it has none. */
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

  /** Tells whether any of it replaces a secret. */
  get hidden(): boolean {
    return this.#masked !== undefined && (this.#masked.stdout.hidden || this.#masked.stderr.hidden)
  }

  async push(stream: StreamName, bytes: Buffer): Promise<void> {
    await this.#take(stream, this.#masked?.[stream].push(bytes) ?? bytes)
  }

  /**
   * Ends both streams: writes the bytes that were held back as the possible start of a secret, unless bytes before them
   * are missing.
   */
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
