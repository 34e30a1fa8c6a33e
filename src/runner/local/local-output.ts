import type { Readable } from 'node:stream'
import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { Mutex } from '../../platform/sync.ts'
import { ExportScanner } from '../attempts/exported-variables.ts'
import type { AttemptOutput } from '../attempts/measured-end.ts'
import { PushedOutput } from '../attempts/pushed-output.ts'
import type { Masker } from '../masking/masker.ts'

export interface SinkOutputOptions {
  spec: AttemptSpec
  sink: AttemptSink
  /** Masker of the output; undefined if nothing in it is hidden. */
  masker: Masker | undefined
  /** Reads standard output for exported variables. */
  exportsVars: boolean
}

/** Passes on the output of an attempt of this process as it comes; nobody stores it here. */
export class SinkOutput implements AttemptOutput {
  readonly scanner: ExportScanner | undefined
  readonly #sink: AttemptSink
  readonly #pushed: PushedOutput
  readonly #offsets: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  readonly #order: Record<StreamName, Mutex> = { stdout: new Mutex(), stderr: new Mutex() }

  constructor({ spec, sink, masker, exportsVars }: SinkOutputOptions) {
    if (exportsVars) this.scanner = new ExportScanner()
    this.#sink = sink
    this.#pushed = new PushedOutput(spec, masker, (stream, bytes) => this.#handOn(stream, bytes))
  }

  get values() {
    return this.#pushed.values
  }
  get lastErrorLine(): string | undefined {
    return this.#pushed.lastErrorLine
  }
  get hidden(): boolean {
    return this.#pushed.hidden
  }

  /** Resolves when the sink has taken the bytes. */
  async push(stream: StreamName, bytes: Buffer): Promise<void> {
    await this.#pushed.push(stream, bytes)
  }

  /** Ends the output. */
  async end(): Promise<void> {
    await this.#pushed.end()
  }

  /** Returns 0, since none of it can be read here. */
  length(): number {
    return 0
  }
  next(): undefined {}
  async read(): Promise<Buffer> {
    return Buffer.alloc(0)
  }
  refresh(): boolean {
    return false
  }
  freeze(): void {}
  /** Resolves to undefined: the sink knows what it has taken. */
  async finish(): Promise<undefined> {}
  async placeAt(): Promise<void> {}
  close(): void {}

  /** Passes the bytes on, after the bytes of the stream that the sink has not taken yet. */
  #handOn(stream: StreamName, bytes: Buffer): Promise<void> {
    if (stream === 'stdout') this.scanner?.push(bytes)
    return this.#order[stream].run(async () => {
      await this.#sink.output(stream, this.#offsets[stream], bytes)
      this.#offsets[stream] += bytes.length
    })
  }
}

/** Limit in bytes for output not yet taken; beyond it the pipe is not read, so the process waits. */
const HIGH_WATER_BYTES = 256 * 1024
/** Limit in bytes for a background process that still holds the pipe after its step's end. */
const LATE_BYTES = 1024 * 1024
const LATE_QUIET_MS = 100

interface OutputPumpOptions {
  pipe: Readable
  /** Passes on one piece at a time. */
  push(bytes: Buffer): Promise<void>
  /** Called when a piece was refused; nothing more is pushed. */
  onError(error: unknown): void
}

/** Passes on the bytes of one pipe, in order, one piece at a time. */
export class OutputPump {
  readonly #options: OutputPumpOptions
  readonly #drained = Promise.withResolvers<void>()
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #sending = false
  #ended = false
  #broken = false
  #receivedBytes = 0

  constructor(options: OutputPumpOptions) {
    const { pipe } = options
    this.#options = options
    pipe.on('data', (chunk: Buffer) => this.#take(chunk))
    const end = () => {
      this.#ended = true
      if (!this.#sending) this.#drained.resolve()
    }
    pipe.once('close', end)
    pipe.once('error', end)
  }

  /** Resolves once the pipe has ended and all of it was taken. */
  get drained(): Promise<void> {
    return this.#drained.promise
  }

  /** Records that the process has ended: a pipe held open by another process is closed once it is empty. */
  processEnded(): void {
    if (this.#ended) return
    const { pipe } = this.#options
    const untilBytes = this.#receivedBytes + LATE_BYTES
    let seen = -1
    const timer = setInterval(() => {
      const quiet = this.#receivedBytes === seen && !pipe.isPaused()
      seen = this.#receivedBytes
      if (quiet || seen > untilBytes) pipe.destroy()
    }, LATE_QUIET_MS)
    pipe.once('close', () => clearInterval(timer))
  }

  #take(chunk: Buffer): void {
    this.#receivedBytes += chunk.length
    if (this.#broken) return
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    if (!this.#sending) void this.#send()
    else if (this.#waitingBytes >= HIGH_WATER_BYTES) this.#options.pipe.pause()
  }

  async #send(): Promise<void> {
    const { pipe, push, onError } = this.#options
    this.#sending = true
    try {
      while (this.#waiting.length > 0) {
        const bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting)
        this.#waiting = []
        this.#waitingBytes = 0
        if (pipe.isPaused()) pipe.resume()
        await push(bytes)
      }
    } catch (error) {
      // Keep reading, so that a full pipe does not block the process while it is ended.
      this.#broken = true
      this.#waiting = []
      pipe.resume()
      onError(error)
    }
    this.#sending = false
    if (this.#ended) this.#drained.resolve()
  }
}
