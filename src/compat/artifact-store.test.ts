import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { ArtifactStoreClient } from './artifact-store.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** Starts a store that gives these answers, one after another, and repeats the last. */
async function storeOf(t: TestContext, ...answers: Answer[]) {
  const requests: { path: string; authorization?: string; form: FormData }[] = []
  const server = createServer(async (request, response) => {
    const pieces = await request.toArray()
    const { authorization } = request.headers
    const headers = { 'content-type': request.headers['content-type']! }
    const form = await new Response(Buffer.concat(pieces), { headers }).formData()
    requests.push({ path: `${request.method} ${request.url}`, authorization, form })
    answers[Math.min(requests.length, answers.length) - 1]!(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return { requests, url, client: new ArtifactStoreClient({ url, token: 'a-token', retryMs: 1 }) }
}

const answering =
  (status: number, body: string, headers = {}): Answer =>
  (_request, response) =>
    void response.writeHead(status, headers).end(body)
const stored = answering(201, '{"uri": "store://1", "more": 1}')
const artifact = {
  ...{ name: 'change.diff', type: 'diff', content: { bytes: 'a change' } },
  metadata: { task_id: '12' },
}

test("an artifact is sent as a form, and the store's answer gives its URI", async (t) => {
  const { client, requests } = await storeOf(t, stored)
  assert.deepEqual(await client.put(artifact), { uri: 'store://1' })
  const [{ path, authorization, form }] = requests as [(typeof requests)[number]]
  assert.deepEqual([path, authorization], ['POST /v1/artifacts', 'Bearer a-token'])
  const file = form.get('file') as File
  assert.deepEqual([file.name, await file.text()], ['change.diff', 'a change'])
  assert.deepEqual([form.get('type'), form.get('metadata')], ['diff', '{"task_id":"12"}'])
})

test('a failing store gets the whole request a few more times; one that refuses does not', async (t) => {
  const broken: Answer = (request) => void request.socket.destroy()
  const patient = await storeOf(
    t,
    answering(500, ''),
    answering(429, '', { 'retry-after': '0' }),
    broken,
    stored,
  )
  assert.deepEqual(await patient.client.put(artifact), { uri: 'store://1' })
  for (const { form } of patient.requests) assert.equal(await (form.get('file') as File).text(), 'a change')

  const away = await storeOf(t, broken)
  await assert.rejects(away.client.put(artifact), { code: 'unavailable', message: new RegExp(away.url) })
  assert.equal(away.requests.length, 4)
  for (const status of [401, 404, 302]) {
    const refuses = await storeOf(t, answering(status, 'x', { location: away.url }))
    await assert.rejects(refuses.client.put(artifact), {
      code: 'service_answer',
      message: new RegExp(`${refuses.url}/artifacts answered HTTP ${status}`),
    })
    assert.equal(refuses.requests.length, 1)
  }
})

test('for garbage, endless answers and a missing field, the error names the service, its URL and the field', async (t) => {
  const endless: Answer = (_request, response) => {
    response.writeHead(200)
    const piece = Buffer.alloc(64 * 1024, 'x')
    const more = () => void (response.destroyed || response.write(piece, more))
    more()
  }
  for (const [answer, words] of [
    [answering(200, '<html>'), 'with invalid JSON'],
    [answering(200, '{"url": "x"}'), 'without the field "uri"'],
    [endless, 'with more than 1048576 bytes'],
  ] as const) {
    const { client, url } = await storeOf(t, answer)
    await assert.rejects(client.put(artifact), {
      code: 'service_answer',
      message: `The artifact store at ${url}/artifacts answered ${words}.`,
    })
  }
  const silent = await storeOf(t, () => {})
  const hasty = new ArtifactStoreClient({ url: silent.url, timeoutMs: 50, retries: 0 })
  await assert.rejects(hasty.put(artifact), { code: 'unavailable', message: /no answer within 0\.05 s/ })
  for (const url of ['store', 'ftp://x'])
    assert.throws(() => new ArtifactStoreClient({ url }), { code: 'invalid_argument' })
})
