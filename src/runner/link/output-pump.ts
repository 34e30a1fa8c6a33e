import { messageOf } from '../../contract/errors.ts'
import { encodeOutputFrame } from '../../contract/output-frame.ts'
import type { FrameWriter } from '../../platform/frame-writer.ts'
import type { Outgoing } from './outgoing.ts'

/** More than this unsent in the socket: reading output waits. */
const HIGH_BYTES = 1024 * 1024
const READ_TRIES = 5
const READ_RETRY_MS = 500

/** Sends reports as they come, and output in turns: an attempt that writes much does not hold up the others. */
export class OutputPump {
  readonly #writer: FrameWriter
  readonly #waiting = new Set<Outgoing>()
  readonly #retries = new Set<NodeJS.Timeout>()
  #running = false
  #closed = false

  constructor(writer: FrameWriter) {
    this.#writer = writer
  }

  /** There may be something new to send. */
  wake(outgoing: Outgoing): void {
    if (this.#closed || outgoing.closed) return
    this.#sendReports(outgoing)
    if (!outgoing.nextChunk()) return
    this.#waiting.add(outgoing)
    void this.#run()
  }

  /** May be called twice. */
  close(): void {
    this.#closed = true
    this.#waiting.clear()
    for (const timer of this.#retries) clearTimeout(timer)
    this.#retries.clear()
  }

  #sendReports(outgoing: Outgoing): void {
    const { spec, epoch } = outgoing.held
    for (let next = outgoing.nextReport(); next; next = outgoing.nextReport())
      this.#writer.send(JSON.stringify({ type: 'report', attempt_id: spec.attempt_id, epoch, ...next }))
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    for (const outgoing of this.#waiting) {
      this.#waiting.delete(outgoing)
      await this.#sendChunk(outgoing)
      // Back to the end of the line, and its end is sent where this was the last of it.
      this.wake(outgoing)
    }
    this.#running = false
  }

  async #sendChunk(outgoing: Outgoing): Promise<void> {
    const chunk = outgoing.nextChunk()
    if (!chunk) return
    const { held } = outgoing
    const { stream, offset, maxBytes } = chunk
    let bytes: Buffer
    try {
      bytes = await held.read(stream, offset, maxBytes)
      if (bytes.length === 0) throw new Error(`there is nothing at ${offset}`)
      outgoing.readFailures = 0
    } catch (error) {
      return this.#unreadable(outgoing, messageOf(error))
    }
    if (this.#closed || outgoing.closed || !outgoing.took(chunk, bytes.length)) return
    const frame = { attempt_id: held.spec.attempt_id, epoch: held.epoch, stream, offset, bytes }
    await this.#writer.sendPaced(encodeOutputFrame(frame), HIGH_BYTES)
  }

  /** A read that fails is tried again a few times; then the attempt fails with that. */
  #unreadable(outgoing: Outgoing, why: string): void {
    if (this.#closed || outgoing.closed) return
    outgoing.readFailures++
    if (outgoing.readFailures >= READ_TRIES) {
      outgoing.broken = `Its output could not be read on the runner: ${why}`
      return
    }
    outgoing.paused = true
    const timer = setTimeout(() => {
      this.#retries.delete(timer)
      outgoing.paused = false
      this.wake(outgoing)
    }, READ_RETRY_MS)
    this.#retries.add(timer)
  }
}
