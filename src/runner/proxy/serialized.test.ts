import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import { serialized } from './serialized.ts'

async function connected(t: TestContext, answer: RequestListener): Promise<Socket> {
  const server = createServer(serialized(answer)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => {
    client.destroy()
    server.close()
    server.closeAllConnections()
  })
  return client.on('error', () => undefined)
}

const request = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`

test('requests that are sent at once are answered one after the other, in order', async (t) => {
  const begun: { url: string; response: ServerResponse }[] = []
  const client = await connected(t, ({ url = '' }, response) => void begun.push({ url, response }))
  client.write(request('/0') + request('/1') + request('/2', 'Connection: close\r\n'))
  const all = text(client)
  for (const n of [0, 1, 2]) {
    await until(() => begun.length > n)
    // Everything that would begin beside it has arrived by then.
    await new Promise(setImmediate)
    assert.deepEqual(
      begun.map(({ url }) => url),
      ['/0', '/1', '/2'].slice(0, n + 1),
    )
    begun[n]!.response.end(`answer ${n};`)
  }
  assert.deepEqual((await all).match(/answer \d/g), ['answer 0', 'answer 1', 'answer 2'])
})

test('a connection with too many requests is cut, and none of those that waited starts', async (t) => {
  const begun: string[] = []
  const client = await connected(t, ({ url = '' }) => void begun.push(url))
  client.write(Array.from({ length: 102 }, (_, n) => request(`/${n}`)).join(''))
  await once(client.resume(), 'close')
  await new Promise(setImmediate)
  assert.deepEqual(begun, ['/0'])
})
