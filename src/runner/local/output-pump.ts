import type { Readable } from 'node:stream'
import type { StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import type { StreamMasker } from '../masking/masker.ts'

/** Beyond this much not yet taken, the pipe is not read, and so the process waits. */
const HIGH_WATER_BYTES = 256 * 1024
/** What a background process that kept the pipe may still send after its step's end. */
const LATE_BYTES = 1024 * 1024
const LATE_QUIET_MS = 100

/** Hands the bytes of one pipe to the sink, in order, one piece at a time. */
export class OutputPump {
  readonly #pipe: Readable
  readonly #stream: StreamName
  readonly #sink: AttemptSink
  readonly #onError: (error: unknown) => void
  readonly #drained = Promise.withResolvers<void>()
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #offset = 0
  #sending = false
  #ended = false
  #broken = false
  #receivedBytes = 0

  /** `onBytes` sees each chunk first, with its secrets hidden by `masked`. */
  constructor(options: {
    pipe: Readable
    stream: StreamName
    sink: AttemptSink
    masked?: StreamMasker
    onBytes?: (chunk: Buffer) => void
    onError: (error: unknown) => void
  }) {
    const { pipe, stream, sink, masked, onBytes, onError } = options
    this.#pipe = pipe
    this.#stream = stream
    this.#sink = sink
    this.#onError = onError
    const take = (bytes: Buffer) => {
      if (bytes.length === 0) return
      onBytes?.(bytes)
      this.#take(bytes)
    }
    pipe.on('data', (chunk: Buffer) => {
      this.#receivedBytes += chunk.length
      take(masked?.push(chunk) ?? chunk)
    })
    const end = () => {
      if (this.#ended) return
      if (masked) take(masked.end())
      this.#ended = true
      if (!this.#sending) this.#drained.resolve()
    }
    pipe.once('close', end)
    pipe.once('error', end)
  }

  /** Resolves once the pipe has ended and the sink has taken all of it. */
  get drained(): Promise<void> {
    return this.#drained.promise
  }

  /** The process has ended: a pipe that another process holds open is closed once it is empty. */
  processEnded(): void {
    if (this.#ended) return
    const untilBytes = this.#receivedBytes + LATE_BYTES
    let seen = -1
    const timer = setInterval(() => {
      const quiet = this.#receivedBytes === seen && !this.#pipe.isPaused()
      seen = this.#receivedBytes
      if (quiet || seen > untilBytes) this.#pipe.destroy()
    }, LATE_QUIET_MS)
    this.#pipe.once('close', () => clearInterval(timer))
  }

  #take(chunk: Buffer): void {
    if (this.#broken) return
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    if (!this.#sending) void this.#send()
    else if (this.#waitingBytes >= HIGH_WATER_BYTES) this.#pipe.pause()
  }

  async #send(): Promise<void> {
    this.#sending = true
    try {
      while (this.#waiting.length > 0) {
        const bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting)
        this.#waiting = []
        this.#waitingBytes = 0
        if (this.#pipe.isPaused()) this.#pipe.resume()
        await this.#sink.output(this.#stream, this.#offset, bytes)
        this.#offset += bytes.length
      }
    } catch (error) {
      // Read on, so that the process is not held by a full pipe while it is ended.
      this.#broken = true
      this.#waiting = []
      this.#pipe.resume()
      this.#onError(error)
    }
    this.#sending = false
    if (this.#ended) this.#drained.resolve()
  }
}
