import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { WebSocket } from 'ws'
import { testingHello as hello } from '../../../test/support/hub/dispatch-fixture.ts'
import { MAX_FRAME_BYTES } from '../../contract/protocol.ts'
import { Fleet } from './fleet.ts'

const logged: string[] = []
/** A patient fleet, so that only the test about its timeouts runs into them. */
let here: Awaited<ReturnType<typeof openFleet>>

async function openFleet(helloTimeoutMs: number) {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const fleet = new Fleet({
    authenticate: async (token) => {
      if (token === 'good') return { tenant: 'acme' }
      if (token === 'other') return { tenant: 'other' }
      if (token === 'gpu') return { tenant: 'acme', group: 'gpu' }
      return { refused: 'The token is not known here.' }
    },
    isDurable: () => true,
    helloTimeoutMs,
    log: (message, { level = 'info' } = {}) => logged.push(`${level}: ${message}`),
  })
  fleet.attach(server)
  fleet.ready()
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    await fleet.close()
    await fleet.close()
    server.close()
  }
  return { port, close, fleet }
}

before(async () => {
  here = await openFleet(120_000)
})
after(async () => await here.close())

function open(token = 'good', path = '/api/runner-link', port = here.port): WebSocket {
  const url = `ws://127.0.0.1:${port}${path}`
  return new WebSocket(url, { headers: { authorization: `Bearer ${token}` } })
}

/** Sends the frames and returns what the hub answers until it closes the link. */
async function say(
  frames: (string | Buffer | object)[],
  token?: string,
  port?: number,
): Promise<Record<string, unknown>[]> {
  const ws = open(token, undefined, port)
  const received: Record<string, unknown>[] = []
  ws.on('message', (data) => received.push(JSON.parse(String(data))))
  await once(ws, 'open')
  for (const frame of frames)
    ws.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  await once(ws, 'close')
  return received
}

async function answerTo(token: string, path?: string): Promise<{ status: number; code: string }> {
  const ws = open(token, path)
  ws.on('error', () => {})
  const [, response] = await once(ws, 'unexpected-response')
  let body = ''
  for await (const chunk of response) body += chunk
  return { status: response.statusCode, code: JSON.parse(body).error.code }
}

async function assertWell(): Promise<void> {
  const ws = open()
  await once(ws, 'open')
  ws.send(JSON.stringify({ ...hello, runner_id: 'well' }))
  const [data] = await once(ws, 'message')
  assert.equal(JSON.parse(String(data)).type, 'welcome')
  ws.close()
  await once(ws, 'close')
}

test('answers a wrong token with 401 and the error body', async () => {
  assert.deepEqual(await answerTo('wrong'), { status: 401, code: 'unauthorized' })
})

test('answers a WebSocket at another path with 404', async () => {
  assert.deepEqual(await answerTo('good', '/api/nothing'), { status: 404, code: 'not_found' })
})

for (const [what, hello, message] of [
  ['newer', { protocol: 99 }, /protocol 99, this hub speaks 1\. Update Errand on the hub\./],
  [
    'newer, of several versions',
    { protocol: 2, newest_protocol: 7 },
    /protocol 2 to 7, this hub speaks 1\. Update Errand on/,
  ],
  ['older', { protocol: 0 }, /protocol 0, this hub speaks 1\. Update Errand on the runner's machine\./],
  ['impossible', { protocol: 2, newest_protocol: 1 }, /protocol 2 to 1, this hub speaks 1/],
  ['not a number', { protocol: 1, newest_protocol: 'all' }, /protocol 1 to "all", this hub/],
] as const)
  test(`refuses a protocol that is ${what} with both versions and the side to update, and allows a retry`, async () => {
    const [refused] = await say([{ type: 'hello', ...hello, something: 'else' }])
    assert.equal(refused?.code, 'protocol_mismatch')
    assert.equal(refused?.retry, true)
    assert.match(String(refused?.message), message)
  })

test('welcomes a runner that also speaks newer versions, in the version of this hub', async () => {
  const ws = open()
  await once(ws, 'open')
  ws.send(JSON.stringify({ ...hello, runner_id: 'newer', newest_protocol: 7 }))
  const [data] = await once(ws, 'message')
  assert.deepEqual([JSON.parse(String(data)).type, JSON.parse(String(data)).protocol], ['welcome', 1])
  ws.close()
  await once(ws, 'close')
})

test('ignores frames and fields that only a newer runner knows, logs one line, and keeps the link', async () => {
  logged.length = 0
  const ws = open()
  const received: Record<string, unknown>[] = []
  ws.on('message', (data) => received.push(JSON.parse(String(data))))
  await once(ws, 'open')
  const more = { newer: { nested: [1, 'two', null] } }
  const attempt = { attempt_id: 'run_x.1', epoch: 1, ...more }
  for (const frame of [
    { ...hello, runner_id: 'newer', ...more },
    { type: 'weather', ...attempt },
    { type: '\x1b[31mred', ...attempt },
    { type: 'hasOwnProperty' },
    { type: 'containers', containers: { engine: 'docker', version: '1', ...more }, ...more },
    { type: 'draining', ...more },
    { type: 'claimed', ...attempt },
    { type: 'rejected', ...attempt, message: 'no' },
    { type: 'report', ...attempt, n: 1, report: { type: 'started', pid: 1, ...more } },
    { type: 'report', ...attempt, n: 2, report: { type: 'ended', outcome: 'success', ...more } },
  ])
    ws.send(JSON.stringify(frame))
  for (const bytes of [[2], [255, 1, 2, 3]]) ws.send(Buffer.from(bytes))
  ws.send(
    JSON.stringify({
      type: 'report',
      ...attempt,
      attempt_id: 'run_last.1',
      n: 1,
      report: { type: 'started' },
    }),
  )
  while (!received.some(({ attempt_id }) => attempt_id === 'run_last.1')) await once(ws, 'message')
  assert.ok(
    received.every(({ type }) => type === 'welcome' || type === 'superseded'),
    JSON.stringify(received),
  )
  assert.deepEqual(
    logged.filter((line) => line.includes('frames that')),
    [
      'info: Runner "newer" sends frames that this hub does not know, for example of type weather. They are ignored.',
    ],
  )
  ws.close()
  await once(ws, 'close')
})

test('still refuses an invalid known frame after hello, and a binary one', async () => {
  const attempt = { attempt_id: 'run_x.1', epoch: 1 }
  for (const frame of [
    { type: 'claimed', attempt_id: 'run_x.1' },
    { type: 'report', ...attempt, n: 0, report: { type: 'started' } },
    { type: 'report', ...attempt, n: 1, report: { type: 'surprise' } },
    { type: 7 },
    {},
    Buffer.from([1, 9, 9]),
    Buffer.alloc(0),
  ]) {
    const received = await say([{ ...hello, runner_id: 'wrong' }, frame])
    assert.deepEqual(
      [received.at(-1)?.code, received.at(-1)?.retry],
      ['bad_request', true],
      JSON.stringify(frame),
    )
  }
  await assertWell()
})

test('also refuses a protocol that is not text, and the hub stays well', async () => {
  const nested = `{"type":"hello","protocol":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
  for (const frame of [nested, { type: 'hello', protocol: { toString: 1, valueOf: 1 } }]) {
    const [refused] = await say([frame])
    assert.equal(refused?.code, 'protocol_mismatch')
    await assertWell()
  }
})

for (const [what, wrong, message] of [
  ['without a name', { runner_id: undefined }, /"runner_id"/],
  [
    'with a name of two lines',
    { runner_id: 'a\nb' },
    /"runner_id": it contains the character U\+000A at position 2/,
  ],
  ['with a group that reverses the text', { group: 'gpu\u202e' }, /"group": .*U\+202E at position 4/],
  ['with a host that colors the terminal', { hostname: '\x1b[31m' }, /"hostname": .*U\+001B at position 1/],
  ['with a label of two lines', { labels: { zone: 'a\r\n' } }, /"labels.zone": .*U\+000D at position 2/],
  ['with a label that has no name', { labels: { '': 'a' } }, /"labels.*": /],
  [
    'with a group that is too long',
    { group: 'x'.repeat(201) },
    /"group": it has 201 characters; the maximum is 200/,
  ],
] as const)
  test(`permanently refuses a hello ${what}, and says what is wrong`, async () => {
    const [refused] = await say([{ ...hello, ...wrong }])
    assert.deepEqual([refused?.type, refused?.code, refused?.retry], ['refused', 'invalid_argument', false])
    assert.match(String(refused?.message), message)
    await assertWell()
  })

for (const [name, frame] of [
  ['text that is not JSON', '{"type":'],
  ['JSON that is not a frame', { type: 'surprise' }],
  ['null', 'null'],
  ['a frame with a deeply nested type', `{"type":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
  ['a binary frame that is not output', Buffer.from([9, 9, 9])],
  ['a report before hello', { type: 'draining' }],
] as const)
  test(`refuses ${name} with the reason, and the hub stays well`, async () => {
    const [refused] = await say([frame])
    assert.equal(refused?.type, 'refused')
    assert.equal(refused?.code, 'bad_request')
    assert.equal(refused?.retry, true)
    await assertWell()
  })

test('refuses a frame over the limit, disconnects on a much larger one, and stays well', async () => {
  const [refused] = await say([Buffer.alloc(MAX_FRAME_BYTES + 1)])
  assert.equal(refused?.code, 'frame_too_large')
  assert.deepEqual(await say([Buffer.alloc(3 * MAX_FRAME_BYTES)]), [])
  await assertWell()
})

test('disconnects a client that sends no hello', async (t) => {
  const hurried = await openFleet(300)
  t.after(hurried.close)
  const [refused] = await say([], undefined, hurried.port)
  assert.match(String(refused?.message), /No hello arrived within 300 ms/)
})

test('a token of one group admits runners of that group only', async () => {
  const [refused] = await say([{ ...hello, group: 'cpu' }], 'gpu')
  assert.equal(refused?.code, 'forbidden')
  assert.equal(refused?.retry, false)
})

test('a runner id of one tenant is free to use in another tenant', async () => {
  await assertWell()
  const answers = ['well', 'nobody'].map(async (runner_id) => {
    const ws = open('other')
    await once(ws, 'open')
    ws.send(JSON.stringify({ ...hello, runner_id }))
    const [data] = await once(ws, 'message')
    ws.close()
    return JSON.parse(String(data))
  })
  const [taken, free] = await Promise.all(answers)
  assert.equal(taken.type, 'welcome')
  assert.deepEqual(taken, free)
})

test('the state of a bot comes from the runner that has it, as long as that is connected', async () => {
  const connect = async (runner_id: string) => {
    const ws = open()
    await once(ws, 'open')
    ws.send(JSON.stringify({ ...hello, runner_id }))
    await once(ws, 'message')
    return ws
  }
  const [own, other] = await Promise.all(['bots-own', 'bots-other'].map(connect))
  const attempt_id = 'run_bot.1'
  const spec = {
    ...{ attempt_id, run_id: 'run_bot', workflow_name: 'echo', tenant: 'acme', step: 'bot', host: 'local' },
    ...{ instance: 0, try: 1, action: 'bot.serve', args: {}, env: {}, requires: { runner: 'bots-own' } },
  }
  const { fleet } = here
  const placement = fleet.place(spec)
  assert.ok('epoch' in placement)
  const assigned = once(own!, 'message')
  fleet.start(spec, placement, {
    waiting: () => {},
    secrets: () => {},
    assigned: async () => true,
    report: async () => {},
    output: async (_stream, offset, bytes) => offset + bytes.length,
    length: async () => 0,
  })
  await assigned
  assert.equal(fleet.liveBot(attempt_id), undefined)
  assert.ok(fleet.contactMs(attempt_id) >= 0)
  const sendState = async (ws: WebSocket, state: 'healthy' | 'unhealthy') => {
    ws.send(
      JSON.stringify({
        type: 'bots',
        bots: [{ attempt_id, health: { state } }, { attempt_id: 'run_none.1' }],
      }),
    )
    // The hub handles frames in order, so the answer comes after the report.
    ws.send(
      JSON.stringify({
        type: 'report',
        attempt_id: 'run_none.1',
        epoch: 1,
        n: 1,
        report: { type: 'started' },
      }),
    )
    await once(ws, 'message')
  }
  await sendState(other!, 'unhealthy')
  assert.equal(fleet.liveBot(attempt_id), undefined)
  await sendState(own!, 'healthy')
  assert.equal(fleet.liveBot(attempt_id)?.health?.state, 'healthy')
  own!.terminate()
  while (fleet.contactMs(attempt_id) > 0) await new Promise(setImmediate)
  assert.equal(fleet.liveBot(attempt_id)?.health?.state, 'healthy')
  other!.close()
})

test('an attempt unknown to the hub is superseded, in hello and in later frames', async () => {
  const ws = open()
  const received: { type: string; attempts?: { state: string }[] }[] = []
  ws.on('message', (data) => received.push(JSON.parse(String(data))))
  await once(ws, 'open')
  const attempt = { attempt_id: 'run_x.1', epoch: 1 }
  ws.send(JSON.stringify({ ...hello, attempts: [{ ...attempt, ended: false }] }))
  ws.send(JSON.stringify({ type: 'report', ...attempt, n: 1, report: { type: 'started' } }))
  while (received.length < 2) await once(ws, 'message')
  assert.equal(received[0]?.attempts?.[0]?.state, 'superseded')
  assert.equal(received[1]?.type, 'superseded')
  ws.close()
  await once(ws, 'close')
})

for (const [what, leave, line] of [
  [
    'that stops normally is not logged as a warning',
    (ws: WebSocket) => ws.close(1001),
    'info: Runner "goes" has stopped.',
  ],
  [
    'that is lost is logged as a warning',
    (ws: WebSocket) => ws.terminate(),
    'warn: Runner "goes" is disconnected.',
  ],
] as const)
  test(`a runner ${what}`, async () => {
    logged.length = 0
    const ws = open()
    await once(ws, 'open')
    ws.send(JSON.stringify({ ...hello, runner_id: 'goes' }))
    await once(ws, 'message')
    leave(ws)
    // The links of earlier tests may close only now.
    const lines = () => logged.filter((each) => each.includes('"goes"'))
    while (lines().length < 2) await new Promise(setImmediate)
    assert.deepEqual(lines(), ['info: Runner "goes" of group "default" is connected.', line])
  })
