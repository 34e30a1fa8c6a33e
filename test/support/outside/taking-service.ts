import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

/**
 * Starts a server that accepts every request and answers JSON with 200. `took` has the paths and bodies, oldest first.
 */
export async function takingService(t: TestContext, answer: object) {
  const took: { path: string; body: string }[] = []
  const server = createServer(async (request, response) => {
    took.push({ path: request.url!, body: Buffer.concat(await request.toArray()).toString() })
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { took, port: (server.address() as AddressInfo).port }
}
