import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'

/**
 * Half heartbeats without a sign of life after which the other end counts as gone: at least 2.5, at most 3 heartbeats.
 */
const MISSED_MAX = 5

/**
 * Detects that the other end of a WebSocket is gone although the socket never closes. It counts half heartbeats, not
 * time, so that a process that was stopped for a while does not drop healthy links. It pings after half a heartbeat of
 * silence. While reading is paused nothing can be heard, and nothing is counted.
 */
export class Liveness {
  #isAlive = true
  #missed = 0
  readonly #timer: NodeJS.Timeout

  constructor(ws: WebSocket, heartbeatMs: number, gone: () => void) {
    const onActivity = () => {
      this.#isAlive = true
    }
    ws.on('message', onActivity).on('ping', onActivity).on('pong', onActivity)
    this.#timer = setInterval(() => {
      if (this.#isAlive || ws.isPaused) {
        this.#isAlive = false
        this.#missed = 0
        return
      }
      this.#missed++
      if (this.#missed >= MISSED_MAX) gone()
      // Pings once a heartbeat, so that the last ping has a whole heartbeat to be answered.
      else if (this.#missed % 2 === 1) ws.ping(() => {})
    }, heartbeatMs / 2)
  }

  /** May be called twice. */
  stop(): void {
    clearInterval(this.#timer)
  }
}

/** Sends WebSocket frames; frames of one turn of the event loop leave in one write. */
export class FrameWriter {
  readonly #ws: WebSocket
  readonly #socket: Socket
  #corked = false

  constructor(ws: WebSocket, socket: Socket) {
    this.#ws = ws
    this.#socket = socket
  }

  /** Drops a frame for a closed socket; the sender learns of that through the close. */
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

  /** Sends a frame. Resolves at once or, with more than `highBytes` unsent, when this frame has left. */
  async sendPaced(data: Buffer, highBytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.send(data, () => resolve())
    if (this.#ws.bufferedAmount > highBytes) await promise
  }
}
