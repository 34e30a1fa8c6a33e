import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { RepoPoolClient } from './repo-pool.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** Starts a pool that gives these answers, one after another, and repeats the last. */
async function poolOf(t: TestContext, ...answers: Answer[]) {
  const requests: { path: string; fence?: string; body: unknown }[] = []
  const server = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString()
    const fence = request.headers['if-match']
    requests.push({ path: `${request.method} ${request.url}`, fence, body: JSON.parse(text) })
    answers[Math.min(requests.length, answers.length) - 1]!(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return { asked: requests, url, client: new RepoPoolClient({ url, token: 'a-token', retryMs: 1 }) }
}

const answering =
  (status: number, body: string): Answer =>
  (_request, response) =>
    void response.writeHead(status, { 'retry-after': '0' }).end(body)
const ask = { repo_url: 'https://git.example/shop/web', required_by: 'run_1' }

test('the pool gets the fields of older systems; a hub also requests a long lease and sends its fence', async (t) => {
  const old = await poolOf(
    t,
    answering(503, ''),
    answering(200, '{"slot_id": "7", "slot_path": "/slots/7"}'),
    answering(200, ''),
  )
  assert.deepEqual(await old.client.allocate(ask), { slot_id: '7', slot_path: '/slots/7' })
  assert.deepEqual(
    old.asked.map(({ path, body }) => [path, body]),
    [
      ['POST /v1/slots/allocate', ask],
      ['POST /v1/slots/allocate', ask],
    ],
  )
  const slot = '{"slot_id": "a/b", "slot_path": "/x", "fence": "f", "lease_expires_at": "soon"}'
  const hub = await poolOf(t, answering(200, slot))
  await hub.client.allocate(ask)
  assert.deepEqual(hub.asked[1], {
    path: 'POST /v1/slots/a%2Fb/renew',
    fence: 'f',
    body: { lease_seconds: 604_800 },
  })
  const released = await poolOf(t, answering(200, '{}'))
  await released.client.release('a/b', 'f')
  assert.deepEqual(released.asked, [{ path: 'POST /v1/slots/a%2Fb/release', fence: 'f', body: {} }])
})

test('for garbage, refusals and an unreachable pool, the error names the service, its URL and the field', async (t) => {
  for (const [answer, words] of [
    [answering(200, '<html>'), 'with invalid JSON'],
    [answering(200, '[]'), 'with JSON that is not an object'],
    [answering(200, '{"slot_id": "7"}'), 'without the field "slot_path"'],
    [answering(200, '{"slot_id": 7, "slot_path": "/x"}'), 'with an invalid field "slot_id"'],
    [answering(404, ''), 'HTTP 404'],
    [answering(500, ''), 'HTTP 500'],
  ] as const) {
    const { client, url } = await poolOf(t, answer)
    await assert.rejects(client.allocate(ask), {
      code: 'service_answer',
      message: `The repo pool at ${url}/slots/allocate answered ${words}.`,
    })
  }
  const away = await poolOf(t, (request) => void request.socket.destroy())
  await assert.rejects(away.client.allocate(ask), { code: 'unavailable', message: new RegExp(away.url) })
  const stop = new AbortController()
  const silent = await poolOf(t, () => stop.abort())
  await assert.rejects(silent.client.allocate(ask, stop.signal), { name: 'AbortError' })
  assert.throws(() => new RepoPoolClient({ url: 'pool' }), { code: 'invalid_argument' })
})
