import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { TaskRegistryClient } from './task-registry.ts'

interface ReceivedRequest {
  method: string
  url: string
  authorization?: string
  body: unknown
}

/**
 * Starts a registry that answers with these statuses, one after another, then with 200. `reset` cuts the connection;
 * `never` sends no answer.
 */
async function registry(t: TestContext, statuses: (number | 'reset' | 'never')[]) {
  const requests: ReceivedRequest[] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const bytes of request) text += bytes
    const { method = '', url = '', headers } = request
    requests.push({ method, url, authorization: headers.authorization, body: JSON.parse(text) })
    const status = statuses.shift() ?? 200
    if (status === 'reset') request.socket.destroy()
    else if (status !== 'never')
      response.writeHead(status, { 'retry-after': '0', location: '/other' }).end('<html>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`
  return {
    asked: requests,
    client: (more = {}) => new TaskRegistryClient({ url, token: 'secret', retryMs: 1, ...more }),
  }
}

test('a registry gets the paths and fields of older systems', async (t) => {
  const { asked, client } = await registry(t, [200, 201, 201])
  await client().setStatus('spec/7', { status: 'done', metadata: { a: 1 } })
  await client().addEvent('7', { event_type: 'x', data: 1, event_id: 'e' })
  await client().addArtifact('7', { type: 'diff', uri: 'errand://artifact/a', size_bytes: 3 })
  const authorization = 'Bearer secret'
  assert.deepEqual(asked, [
    {
      method: 'PUT',
      url: '/base/tasks/spec%2F7/status',
      authorization,
      body: { status: 'done', metadata: { a: 1 } },
    },
    {
      method: 'POST',
      url: '/base/tasks/7/events',
      authorization,
      body: { event_type: 'x', data: 1, event_id: 'e' },
    },
    {
      ...{ method: 'POST', url: '/base/tasks/7/artifacts', authorization },
      body: { type: 'diff', uri: 'errand://artifact/a', size_bytes: 3 },
    },
  ])
})

test('temporary errors are retried, refusals are not, and a token goes nowhere else', async (t) => {
  const passing = await registry(t, [503, 'reset', 429, 200])
  await passing.client().setStatus('7', { status: 'done' })
  assert.equal(passing.asked.length, 4)
  for (const status of [404, 302]) {
    const refusing = await registry(t, [status])
    await assert.rejects(refusing.client().setStatus('7', { status: 'done' }), {
      code: 'service_answer',
      message: new RegExp(`HTTP ${status} to PUT http.*/tasks/7/status`),
    })
    assert.equal(refusing.asked.length, 1)
  }
  const broken = await registry(t, [500, 500, 500])
  await assert.rejects(broken.client({ retries: 2 }).setStatus('7', { status: 'done' }), {
    code: 'service_answer',
  })
  assert.equal(broken.asked.length, 3)
  const silent = await registry(t, ['never'])
  await assert.rejects(silent.client({ retries: 0, timeoutMs: 20 }).setStatus('7', { status: 'done' }), {
    code: 'unavailable',
    message: /no answer within 0.02 s/,
  })
  assert.throws(() => new TaskRegistryClient({ url: 'registry' }), { code: 'invalid_argument' })
})
