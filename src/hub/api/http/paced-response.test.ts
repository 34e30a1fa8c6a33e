import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { PacedResponses } from './paced-response.ts'

test('ends a stream that opens while the hub stops, and closes its connection', async () => {
  const streams = new PacedResponses({ slowReaderMs: 60_000, readersPerUser: 10 })
  const server = createServer((_, response) => {
    streams.close()
    response.writeHead(200)
    response.flushHeaders()
    const paced = streams.open(response, 'ann', 'too slow')
    assert.ok(paced.gone.aborted)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/`)
  assert.equal(await answer.text(), '')
  assert.equal(streams.size, 0)
  server.close()
  await once(server, 'close')
})
