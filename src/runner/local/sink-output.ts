import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { ExportScanner } from '../attempts/export-scanner.ts'
import type { AttemptOutput } from '../attempts/measured-end.ts'
import { PushedOutput } from '../attempts/pushed-output.ts'
import type { Masker } from '../masking/masker.ts'

export interface SinkOutputOptions {
  spec: AttemptSpec
  sink: AttemptSink
  /** Undefined: nothing in it is hidden. */
  masker: Masker | undefined
  /** Whether standard output is read for exported variables. */
  exportsVars: boolean
}

/** The output of an attempt of this process: handed on as it comes, and held by nobody here. */
export class SinkOutput implements AttemptOutput {
  readonly scanner: ExportScanner | undefined
  readonly #sink: AttemptSink
  readonly #pushed: PushedOutput
  readonly #offsets: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  readonly #last: Record<StreamName, Promise<void>> = { stdout: Promise.resolve(), stderr: Promise.resolve() }

  constructor({ spec, sink, masker, exportsVars }: SinkOutputOptions) {
    if (exportsVars) this.scanner = new ExportScanner()
    this.#sink = sink
    this.#pushed = new PushedOutput(spec, masker, (stream, bytes) => this.#handOn(stream, bytes))
  }

  get values() {
    return this.#pushed.values
  }
  get hidden(): boolean {
    return this.#pushed.hidden
  }

  /** Resolves when the sink has taken it. */
  async push(stream: StreamName, bytes: Buffer): Promise<void> {
    await this.#pushed.push(stream, bytes)
  }

  /** Nothing follows. */
  async end(): Promise<void> {
    await this.#pushed.end()
  }

  /** None of it is to be read here. */
  length(): number {
    return 0
  }
  async read(): Promise<Buffer> {
    return Buffer.alloc(0)
  }
  refresh(): boolean {
    return false
  }
  freeze(): void {}
  /** The sink knows what it has taken. */
  async finish(): Promise<undefined> {}
  async placeAt(): Promise<void> {}
  close(): void {}

  /** Hands on behind what the sink has not yet taken of the stream. */
  #handOn(stream: StreamName, bytes: Buffer): Promise<void> {
    if (stream === 'stdout') this.scanner?.push(bytes)
    const taken = this.#last[stream].then(async () => {
      await this.#sink.output(stream, this.#offsets[stream], bytes)
      this.#offsets[stream] += bytes.length
    })
    this.#last[stream] = taken.catch(() => undefined)
    return taken
  }
}
