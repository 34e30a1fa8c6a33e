import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'

/** Sends WebSocket frames; those of one turn of the event loop leave in one write. */
export class FrameWriter {
  readonly #ws: WebSocket
  readonly #socket: Socket
  #corked = false

  constructor(ws: WebSocket, socket: Socket) {
    this.#ws = ws
    this.#socket = socket
  }

  /** A frame for a closed socket is dropped; whoever sends learns that by the close. */
  send(data: string | Buffer, sent: (error?: Error | null) => void = () => {}): void {
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      setImmediate(() => {
        this.#corked = false
        this.#socket.uncork()
      })
    }
    this.#ws.send(data, sent)
  }

  /** Sends, and resolves at once, or, with more than `highBytes` unsent, when this frame has left. */
  async sendPaced(data: Buffer, highBytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.send(data, () => resolve())
    if (this.#ws.bufferedAmount > highBytes) await promise
  }
}
