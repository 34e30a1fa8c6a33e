import type { WebSocket } from 'ws'

/** Intervals without a sign of life after which the other end counts as gone. */
const MISSED_MAX = 3

/**
 * Finds out that the other end of a WebSocket is gone though the socket never closes. Counts intervals, not time,
 * so that a process that was stopped for a while doesn't give up links that are well. While reading is paused
 * nothing can be heard, and nothing is counted.
 */
export class Liveness {
  #heard = true
  #missed = 0
  readonly #timer: NodeJS.Timeout

  constructor(ws: WebSocket, intervalMs: number, gone: () => void) {
    const heard = () => {
      this.#heard = true
    }
    ws.on('message', heard).on('ping', heard).on('pong', heard)
    this.#timer = setInterval(() => {
      if (this.#heard || ws.isPaused) {
        this.#heard = false
        this.#missed = 0
        return
      }
      this.#missed++
      if (this.#missed >= MISSED_MAX) gone()
      else ws.ping(() => {})
    }, intervalMs)
  }

  /** May be called twice. */
  stop(): void {
    clearInterval(this.#timer)
  }
}
