import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { oneStep, testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import type { ErrorBody } from '../../../contract/errors.ts'
import { RunEvent } from '../../../contract/events.ts'
import { FairSemaphore } from '../../../platform/fair-semaphore.ts'
import { EventText } from './run-events.ts'

const seqs = (text: string) => [...text.matchAll(/^id: (\d+)$/gm)].map(([, seq]) => Number(seq))

const time = '2026-01-31T10:00:00.000Z'
const names = { step: 'one', host: 'local', stream: 'stdout' } as const

type Hub = Awaited<ReturnType<typeof testingHub>>

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 120_000; !condition(); await sleep(5))
    if (Date.now() > deadline) assert.fail(`${what} did not come`)
}

async function ended(hub: Hub, token: string, cmd: string): Promise<string> {
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep(cmd) })).json
  await hub.engine.done(run_id)
  return run_id
}

test('streams the events of a run in order and complete, and ends with the run', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('hold') })).json
  const stream = hub.call('GET', `/api/runs/${run_id}/events`, token)
  await until('the step', () => hub.host.holding === 1)
  hub.host.release()
  const { status, headers, text } = await stream
  assert.equal(status, 200)
  assert.equal(headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(headers.get('x-content-type-options'), 'nosniff')
  const blocks = text.trim().split('\n\n')
  for (const [index, block] of blocks.entries()) {
    const [, id, type, data] = /^id: (\d+)\nevent: (.+)\ndata: (.+)$/.exec(block) ?? []
    const event = RunEvent.parse(JSON.parse(data!))
    assert.deepEqual([event.seq, event.type], [index + 1, type])
    assert.equal(id, String(event.seq))
  }
  assert.match(blocks.at(-1)!, /event: run\.finished/)
})

test('a reader resumes where it stopped: by Last-Event-ID, which takes precedence over ?after=', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const run = await ended(hub, token, 'say line\nbreak')
  const all = seqs((await hub.call('GET', `/api/runs/${run}/events`, token)).text)
  const rest = async (query: string, headers = {}) =>
    seqs((await hub.call('GET', `/api/runs/${run}/events${query}`, token, undefined, headers)).text)
  assert.deepEqual(await rest('?after=3'), all.slice(3))
  assert.deepEqual(await rest('', { 'last-event-id': '5' }), all.slice(5))
  assert.deepEqual(await rest('?after=2', { 'last-event-id': '5' }), all.slice(5))
})

test('there are no events beyond the end of a run, and an EventSource that reconnects gets 204', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const run = await ended(hub, token, 'say hi')
  const path = `/api/runs/${run}/events`
  const beyond = await hub.call('GET', `${path}?after=1000`, token)
  assert.deepEqual([beyond.status, beyond.text], [200, ''])
  assert.equal((await hub.call('GET', path, token, undefined, { 'last-event-id': '1000' })).status, 204)
  assert.equal((await hub.call('GET', `${path}?after=soon`, token)).json.error.code, 'bad_request')
  assert.equal((await hub.call('GET', `${path}?after=-1`, token)).status, 400)
  assert.equal((await hub.call('GET', path, token, undefined, { 'last-event-id': 'x' })).status, 400)
})

test('returns the existing events as a JSON list, also for a run that has not ended', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const list = async (run: string, query = '') =>
    (
      await hub.call('GET', `/api/runs/${run}/events${query}`, token, undefined, {
        accept: 'application/json',
      })
    ).json
  const done = await ended(hub, token, 'say hi')
  const all: { seq: number }[] = await list(done)
  assert.deepEqual(
    all.map(({ seq }) => seq),
    all.map((_, index) => index + 1),
  )
  assert.deepEqual(await list(done, '?after=2&limit=3'), all.slice(2, 5))
  assert.deepEqual(await list(done, '?after=1000'), [])
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('hold') })).json
  await until('the step', () => hub.host.holding === 1)
  assert.equal((await list(run_id))[0].type, 'run.created')
})

test('a quiet stream sends signs of life, and ends with its token', async (t) => {
  const hub = await testingHub(t, { apiLimits: { keepAliveMs: 10 } })
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('hold') })).json
  const response = await fetch(`${hub.url}/api/runs/${run_id}/events?access_token=${token}`)
  const decoder = new TextDecoder()
  let text = ''
  const reading = (async () => {
    for await (const bytes of response.body!) text += decoder.decode(bytes, { stream: true })
  })()
  await until('a keep-alive', () => text.includes(': keep-alive\n\n'))
  const [{ id }] = (await hub.call('GET', '/api/tokens', token)).json.tokens
  await hub.call('DELETE', `/api/tokens/${id}`, token)
  await reading
  assert.match(text, /event: error\ndata: \{"error":\{"code":"token_revoked"/)
})

test("an admin who loses the role sees no further events of another user's run", async (t) => {
  const hub = await testingHub(t, { apiLimits: { keepAliveMs: 10 } })
  const [ann, boss, chief] = [
    await hub.user('ann'),
    await hub.user('boss', 'admin'),
    await hub.user('chief', 'admin'),
  ]
  const { run_id } = (await hub.call('POST', '/api/runs', ann.token, { yaml: oneStep('hold') })).json
  const streams = [ann, boss].map(({ token }) => hub.call('GET', `/api/runs/${run_id}/events`, token))
  await until('the readers', () => hub.readers() === 2)
  await hub.call('PATCH', `/api/users/${boss.id}`, chief.token, { role: 'user' })
  assert.match((await streams[1]!).text, /event: error\ndata: \{"error":\{"code":"run_not_found"/)
  hub.host.release()
  assert.match((await streams[0]!).text, /event: run\.finished/)
})

/** Opens a reader that requests the events and takes nothing until `resume`. */
async function stoppedReader(hub: Hub, path: string, token: string): Promise<Socket> {
  const { port } = new URL(hub.url)
  const socket = connect({ port: Number(port), host: '127.0.0.1' })
  socket.pause()
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n\r\n`)
  await until('the reader', () => hub.readers() === 1)
  return socket
}

test('a reader that takes no data is disconnected, uses no memory, and can resume later', async (t) => {
  const hub = await testingHub(t, { apiLimits: { slowReaderMs: 300 } })
  const { token } = await hub.user('ann')
  const run = await ended(hub, token, `flood ${64 * 1024 * 1024}`)
  const socket = await stoppedReader(hub, `/api/runs/${run}/events`, token)
  t.after(() => socket.destroy())
  await until('the cut', () => hub.readers() === 0)
  // The kernel's buffers on the way take only little.
  assert.ok(
    hub.watched.bytes < 32 * 1024 * 1024,
    `${hub.watched.bytes} bytes were read for a reader that took none`,
  )
  const { lastSeq } = hub.watched
  const whole = await hub.call('GET', `/api/runs/${run}/events?after=${lastSeq - 1}`, token)
  assert.equal(seqs(whole.text)[0], lastSeq)
  assert.match(whole.text, /event: run\.finished/)
})

test('limits the readers of one user, of events and of output, regardless of other users', async (t) => {
  const hub = await testingHub(t, { apiLimits: { readersPerUser: 3 } })
  const [ann, bob] = [await hub.user('ann'), await hub.user('bob')]
  const held = async (token: string) =>
    (await hub.call('POST', '/api/runs', token, { yaml: oneStep('hold') })).json.run_id
  const [anns, bobs] = [await held(ann.token), await held(bob.token)]
  const leaving = new AbortController()
  const read = (run: string, token: string, what = 'events') =>
    fetch(`${hub.url}/api/runs/${run}/${what}`, {
      headers: { authorization: `Bearer ${token}` },
      signal: leaving.signal,
    })
  for (let count = 0; count < 3; count++) assert.equal((await read(anns, ann.token)).status, 200)
  for (const what of ['events', 'attempts/1/output/stdout']) {
    const refused = await read(anns, ann.token, what)
    assert.equal(refused.status, 429)
    const { error } = (await refused.json()) as ErrorBody
    assert.equal(error.code, 'rate_limited')
    assert.match(error.hint!, /ERRAND_MAX_READERS/)
    assert.ok(Number(refused.headers.get('retry-after')) > 0)
  }
  assert.equal((await read(bobs, bob.token)).status, 200)
  leaving.abort()
  await until('the end of the readers', () => hub.readers() === 0)
  const again = await hub.call('GET', `/api/runs/${anns}/attempts/1/output/stdout`, ann.token)
  assert.equal(again.status, 200)
})

test('answers a request of one user while many readers of another user start', async (t) => {
  const hub = await testingHub(t)
  const [ann, bob] = [await hub.user('ann'), await hub.user('bob')]
  const run = await ended(hub, ann.token, `flood ${32 * 1024 * 1024}`)
  const bobs = await ended(hub, bob.token, 'say hi')
  let bytes = 0
  const read = hub.outputs.read.bind(hub.outputs)
  hub.outputs.read = async (...of) => {
    const part = await read(...of)
    bytes += part.length
    return part
  }
  const port = Number(new URL(hub.url).port)
  const sockets = Array.from({ length: 100 }, () => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.pause()
    socket.write(
      `GET /api/runs/${run}/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${ann.token}\r\n\r\n`,
    )
    return socket
  })
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  await until('some readers', () => hub.readers() > 0)
  for (let time = 0; time < 5; time++) {
    const before = bytes
    assert.equal((await hub.call('GET', `/api/runs/${bobs}`, bob.token)).status, 200)
    const meanwhile = bytes - before
    assert.ok(meanwhile < 4 * 1024 * 1024, `${meanwhile} bytes were read for other users before the answer`)
  }
  await until('all readers', () => hub.readers() === 100)
})

test('a reader that leaves before its stream begins is gone', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('hold') })).json
  const get = hub.engine.get.bind(hub.engine)
  const requested = Promise.withResolvers<void>()
  const left = Promise.withResolvers<void>()
  hub.engine.get = async (runId) => {
    requested.resolve()
    await left.promise
    return await get(runId)
  }
  hub.app.server.once('connection', (socket) => socket.once('close', () => left.resolve()))
  const leaving = new AbortController()
  const headers = { authorization: `Bearer ${token}`, connection: 'close' }
  const stream = fetch(`${hub.url}/api/runs/${run_id}/events`, { headers, signal: leaving.signal })
  await requested.promise
  leaving.abort()
  await assert.rejects(stream)
  const begun = Promise.withResolvers<void>()
  const watch = hub.engine.watch.bind(hub.engine)
  hub.engine.watch = (...of) => {
    begun.resolve()
    return watch(...of)
  }
  await begun.promise
  await until('the end of the reader', () => hub.readers() === 0)
})

test('streams end when the hub stops', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('hold') })).json
  const stream = hub.call('GET', `/api/runs/${run_id}/events`, token)
  await until('the reader', () => hub.readers() === 1)
  await hub.close()
  assert.ok(!(await stream).text.includes('run.finished'))
})

test('a reader limits how much of each output arrives as text', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('say grüße') })).json
  await hub.engine.done(run_id)
  const outputs = async (bytes: string) => {
    const accept = { accept: 'application/json' }
    const path = `/api/runs/${run_id}/events${bytes}`
    const events = (await hub.call('GET', path, token, undefined, accept)).json
    return events
      .filter(({ type }: { type: string }) => type === 'output')
      .map(({ length, text }: { length: number; text?: string }) => [length, text])
  }
  assert.deepEqual(await outputs(''), [[7, 'grüße']])
  assert.deepEqual(await outputs('?output_bytes=2'), [[7, 'gr']])
  assert.deepEqual(await outputs('?output_bytes=0'), [[7, undefined]])
  assert.equal((await hub.call('GET', `/api/runs/${run_id}/events?output_bytes=x`, token)).status, 400)
})

function reader(bytes: Buffer, outputBytes?: number) {
  const reads: number[] = []
  const engine = {
    output: async (_run: string, _number: number, _stream: string, start: number, end: number) => {
      const part = bytes.subarray(start, end)
      reads.push(part.length)
      return part
    },
  }
  const texts = new EventText({
    engine,
    semaphore: new FairSemaphore(1),
    user: 'ann',
    runId: 'run_a',
    outputBytes,
  })
  return { texts, reads }
}

async function jsonOf(texts: EventText, event: RunEvent): Promise<string[]> {
  const pieces = []
  for await (const piece of texts.json(event, '<', '>')) pieces.push(piece)
  return pieces
}

test('an output event sent in pieces is the JSON of the event with its text, with any bytes', async () => {
  const valid = Buffer.from('"grüße" \\ 🙂\n\u0000\u2028'.repeat(9_000))
  for (const bytes of [
    Buffer.from('one line\n'),
    valid,
    valid.subarray(1),
    valid.subarray(2, valid.length - 1),
    randomBytes(100_000),
    Buffer.alloc(100_001, Buffer.from('🙂').subarray(0, 3)),
  ])
    for (const offset of [0, 3]) {
      const event: RunEvent = {
        seq: 7,
        time,
        type: 'output',
        attempt: 1,
        ...names,
        offset,
        length: bytes.length - offset,
      }
      const { texts, reads } = reader(bytes)
      const pieces = await jsonOf(texts, event)
      const text = bytes.subarray(offset).toString('utf8')
      assert.equal(pieces.join(''), `<${JSON.stringify({ ...event, text })}>`)
      assert.ok(Math.max(...reads) <= 64 * 1024, `${Math.max(...reads)} bytes were held`)
      assert.equal(pieces.length, reads.length, 'there is one write per piece')
    }
})

test('sends only the requested amount of an output as text', async () => {
  const bytes = Buffer.from('x'.repeat(200_000))
  const event: RunEvent = { seq: 1, time, type: 'output', attempt: 1, ...names, offset: 0, length: 200_000 }
  const { texts, reads } = reader(bytes, 100_000)
  const text = JSON.parse((await jsonOf(texts, event)).join('').slice(1, -1)).text
  assert.equal(text, 'x'.repeat(100_000))
  assert.equal(
    reads.reduce((sum, each) => sum + each, 0),
    100_000,
  )
  const beyond: RunEvent = { ...event, seq: 2, offset: 200_000 }
  assert.deepEqual(await jsonOf(texts, beyond), [`<${JSON.stringify(beyond)}>`])
})

test('sends as much of a truncated or missing output as exists, and reports how much is missing', async () => {
  const event: RunEvent = { seq: 1, time, type: 'output', attempt: 1, ...names, offset: 0, length: 100_000 }
  for (const there of [0, 10, 70_000]) {
    const { texts } = reader(Buffer.alloc(there, 'x'))
    const received = JSON.parse((await jsonOf(texts, event)).join('').slice(1, -1))
    assert.deepEqual(received, { ...event, text: 'x'.repeat(there), missing: 100_000 - there })
  }
})
