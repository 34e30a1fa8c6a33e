import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Answers how to close the connections that have not carried a request yet. Node takes them for busy, and browsers
 * open some ahead: a server that stops would wait for them for a minute.
 */
export function closeUnused(server: Server): () => void {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return () => {
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
  }
}
