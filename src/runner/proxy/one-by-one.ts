import type { RequestListener } from 'node:http'

/** Requests of one connection that wait behind another; with more of them it is cut. */
const MOST_WAITING = 100

/**
 * A listener that answers the requests of each connection one after the other. Node begins all that were sent at once, so that
 * one connection could have any number of them under way, each with a connection of its own to a server.
 */
export function oneByOne(answer: RequestListener): RequestListener {
  /** Those behind the one that is under way, by their connections. */
  const waiting = new WeakMap<object, (() => void)[]>()
  return (request, response) => {
    const { socket } = request
    const line = waiting.get(socket) ?? []
    waiting.set(socket, line)
    const start = () => {
      // Nobody would hear the answer.
      if (socket.destroyed) return
      response.once('close', () => line.shift()?.())
      answer(request, response)
    }
    // Node gives a response its connection when those before it are through.
    if (response.socket !== null) start()
    else if (line.length < MOST_WAITING) line.push(start)
    else socket.destroy()
  }
}
