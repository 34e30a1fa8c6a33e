import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { eventually } from '../errand-command.ts'
import { Front } from './front.ts'

/** Starts a service that accepts what is posted, and a front in front of it. */
async function place(t: test.TestContext) {
  const taken: string[] = []
  const service = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request.setEncoding('utf8')) body += piece
    taken.push(body)
    response.end('a whole answer')
  }).listen(0, '127.0.0.1')
  await once(service, 'listening')
  t.after(() => {
    service.closeAllConnections()
    service.close()
  })
  const front = await Front.open(t, { behind: (service.address() as AddressInfo).port })
  const post = async (body: string, signal?: AbortSignal): Promise<string> => {
    const sent = request(`http://${front.host}`, { method: 'POST', agent: false, signal })
    sent.end(body)
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    return await text(answer)
  }
  return { taken, front, post }
}

test('a front breaks answers in each way, and then lets them through again', async (t) => {
  const { taken, front, post } = await place(t)
  assert.equal(await post('first'), 'a whole answer')

  await front.set('refuses')
  await assert.rejects(post('refused'), { code: 'ECONNREFUSED' })

  await front.set('page')
  assert.match(await post('page'), /Please sign in/)

  await front.set('garbage')
  await assert.rejects(post('garbage'))

  await front.set('cut')
  await assert.rejects(post('cut'))
  assert.deepEqual(taken, ['first', 'cut'])

  for (const manner of ['silent', 'stops_midway', 'late'] as const) {
    await front.set(manner)
    const gone = new AbortController()
    let ended = false
    const sent = post(manner, gone.signal).finally(() => (ended = true))
    await eventually('the request', () => manner === 'silent' || taken.includes(manner))
    await eventually('the connection', () => front.connections === 1)
    assert.equal(ended, false)
    if (manner === 'late') {
      // The service may have answered in several pieces.
      await eventually('the late answer', () => {
        front.release()
        return ended
      })
      assert.equal(await sent, 'a whole answer')
      continue
    }
    gone.abort()
    await assert.rejects(sent)
  }
  assert.deepEqual(taken, ['first', 'cut', 'stops_midway', 'late'])

  await front.set('well')
  assert.equal(await post('last'), 'a whole answer')
})
