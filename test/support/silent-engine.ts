import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/**
 * Starts a server on a socket that accepts connections and sends nothing, like a hanging container engine. Returns its
 * address for DOCKER_HOST.
 */
export async function silentEngine(t: Pick<TestContext, 'after'>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-silent-'))
  const taken = new Set<Socket>()
  const server = createServer((socket) => {
    taken.add(socket)
    socket.on('error', () => {}).resume()
  })
  server.listen(join(folder, 'docker.sock'))
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of taken) socket.destroy()
    rmSync(folder, { recursive: true })
  })
  return `unix://${folder}/docker.sock`
}
