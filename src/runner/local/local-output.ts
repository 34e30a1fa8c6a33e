import type { Readable } from 'node:stream'
import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { ExportScanner } from '../attempts/exported-variables.ts'
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
  get lastErrorLine(): string | undefined {
    return this.#pushed.lastErrorLine
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
  next(): undefined {}
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

/** Beyond this much not yet taken, the pipe is not read, and so the process waits. */
const HIGH_WATER_BYTES = 256 * 1024
/** The most that a background process that kept the pipe may still send after its step's end. */
const LATE_BYTES = 1024 * 1024
const LATE_QUIET_MS = 100

interface OutputPumpOptions {
  pipe: Readable
  /** Called with one piece at a time. */
  push(bytes: Buffer): Promise<void>
  /** A piece was refused, and nothing more is pushed. */
  onError(error: unknown): void
}

/** Hands on the bytes of one pipe, in order, one piece at a time. */
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

  /** The process has ended: a pipe that another process holds open is closed once it is empty. */
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
      // Read on, so that the process is not held by a full pipe while it is ended.
      this.#broken = true
      this.#waiting = []
      pipe.resume()
      onError(error)
    }
    this.#sending = false
    if (this.#ended) this.#drained.resolve()
  }
}
