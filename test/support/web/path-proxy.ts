import { once } from 'node:events'
import { request as ask, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

/**
 * Starts a reverse proxy that shows a hub below `path`, which it strips, as docs/deploy.md describes. Everything else
 * is 404. Returns its address.
 */
export async function pathProxy(
  t: Pick<TestContext, 'after'>,
  { hub, path }: { hub: () => string; path: string },
): Promise<string> {
  const server = createServer((request, response) => {
    const { url = '', method, headers } = request
    if (url !== path && !url.startsWith(`${path}/`)) {
      response.writeHead(404).end('outside of the path')
      return
    }
    const onward = ask(`${hub()}${url.slice(path.length) || '/'}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
      answer.on('error', () => response.destroy())
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
