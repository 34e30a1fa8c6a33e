import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import type { ErrandError } from '../../contract/errors.ts'
import { HubRequests } from './hub-requests.ts'
import { HubAway } from './hub-retry.ts'

const { signal } = new AbortController()

async function hubThat(t: TestContext, answers: RequestListener): Promise<HubRequests> {
  const server = createServer(answers).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return new HubRequests({ url: `ws://127.0.0.1:${port}/under/`, token: 'its-token' })
}

test("bytes arrive complete, with the token and below the hub's base path", async (t) => {
  const hub = await hubThat(t, (request, response) => {
    const known = request.headers.authorization === 'Bearer its-token'
    response.writeHead(known ? 200 : 401).end(`${request.method} ${request.url}`)
  })
  const body = await hub.body('it/1?a=b', 'It could not be had', signal)
  assert.equal((await buffer(body)).toString(), 'GET /under/api/it/1?a=b')
})

test('a temporary failure of the hub means that it is unavailable, and a refusal does not', async (t) => {
  const refused = (status: number, code?: string): RequestListener => {
    const body = code === undefined ? '<html>' : JSON.stringify({ error: { code, message: 'So it is.' } })
    return (_, response) => void response.writeHead(status).end(body)
  }
  const cases: [RequestListener, 'away' | string][] = [
    [(request) => void request.socket.destroy(), 'away'],
    [refused(503, 'unavailable'), 'away'],
    [refused(500, 'internal'), 'away'],
    [refused(507, 'store_failed'), 'away'],
    [refused(429, 'rate_limited'), 'away'],
    [refused(502), 'away'],
    [refused(404), 'away'],
    [refused(404, 'not_found'), 'not_found'],
    [refused(403, 'forbidden'), 'forbidden'],
    [refused(500, 'output_damaged'), 'output_damaged'],
  ]
  for (const [answers, expected] of cases) {
    const hub = await hubThat(t, answers)
    for (const ask of [
      () => hub.body('it', 'It could not be had', signal),
      () => hub.send('it', { method: 'PUT', body: 'it' }, 'It could not be had', signal),
    ]) {
      await assert.rejects(ask(), (error: ErrandError) => {
        assert.equal(error instanceof HubAway ? 'away' : error.code, expected)
        assert.match(error.message, /^It could not be had: /)
        return true
      })
    }
  }
})

test('an interrupted answer means that the hub is unavailable', async (t) => {
  const hub = await hubThat(t, (_, response) => {
    response.writeHead(200, { 'content-length': 100 })
    response.write('half', () => response.destroy())
  })
  const body = await hub.body('it', 'It could not be had', signal)
  await assert.rejects(buffer(body), (error) => {
    assert.ok(error instanceof HubAway)
    assert.match(error.message, /^It could not be had: its answer broke off/)
    return true
  })
})
