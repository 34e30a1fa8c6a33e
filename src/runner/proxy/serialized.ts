import type { RequestListener } from 'node:http'

/** Limit for requests of one connection that wait behind another; beyond it the connection is cut. */
const MOST_WAITING = 100

/**
 * Wraps a listener to answer the requests of each connection one after the other. Node begins all of them at once, so
 * one connection could have any number in progress, each with its own connection to a server.
 */
export function serialized(answer: RequestListener): RequestListener {
  /** Requests behind the one in progress, by connection. */
  const waiting = new WeakMap<object, (() => void)[]>()
  return (request, response) => {
    const { socket } = request
    const line = waiting.get(socket) ?? []
    waiting.set(socket, line)
    const start = () => {
      // Nobody would receive the answer.
      if (socket.destroyed) return
      response.once('close', () => line.shift()?.())
      answer(request, response)
    }
    // Node gives a response its connection when those before it are done.
    if (response.socket !== null) start()
    else if (line.length < MOST_WAITING) line.push(start)
    else socket.destroy()
  }
}
