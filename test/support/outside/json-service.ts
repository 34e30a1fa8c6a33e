import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export interface ServiceRequest {
  method: string
  path: string
  query: URLSearchParams
  // biome-ignore lint/suspicious/noExplicitAny: what comes is whatever a client sends.
  body: any
}

/** Starts a service of JSON over HTTP and returns its port. */
export async function jsonService(
  t: TestContext,
  answer: (received: ServiceRequest) => [status: number, body?: unknown],
) {
  const server = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString()
    const { pathname, searchParams } = new URL(request.url!, 'http://service')
    const received = { method: request.method!, path: pathname, query: searchParams }
    const [status, body] = answer({ ...received, body: text === '' ? undefined : JSON.parse(text) })
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    response.writeHead(status, headers).end(body === undefined ? undefined : JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
