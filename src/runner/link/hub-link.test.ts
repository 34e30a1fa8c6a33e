import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, test } from 'node:test'
import { type WebSocket, WebSocketServer } from 'ws'
import type { AttemptReport } from '../../contract/attempt.ts'
import type { Attempts, HeldAttempt } from '../ports.ts'
import { HubLink, type HubLinkOptions } from './hub-link.ts'

/** Attempts of a machine that has none. */
const none: Attempts = {
  storageId: 'storage',
  recover: async () => [],
  start: async () => {
    throw new Error('nothing is started here')
  },
  get: () => undefined,
  all: () => [],
  runs: () => [],
  forgetRun: async () => {},
  close: async () => {},
}

const spec = {
  attempt_id: 'run_x.1',
  run_id: 'run_x',
  workflow_name: 'flow',
  step: 'work',
  host: 'box',
  instance: 0,
  try: 1,
  action: 'cmd.run',
  args: {},
  env: {},
  requires: {},
}

let server: Server
let sockets: WebSocketServer
/** Answer of the server to an upgrade: a status with this code, or else a WebSocket. */
let status: number | undefined
let code: string
let link: HubLink | undefined
let done: Promise<void> | undefined
let logged: string[]

beforeEach(async () => {
  status = undefined
  code = 'token_revoked'
  logged = []
  server = createServer()
  sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {})
    if (status === undefined)
      return sockets.handleUpgrade(request, socket, head, (ws) => sockets.emit('connection', ws, request))
    const body = JSON.stringify({ error: { code, message: 'The token was revoked.' } })
    socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(async () => {
  link?.close()
  link?.close()
  await done?.catch(() => {})
  for (const ws of sockets.clients) ws.terminate()
  server.close()
})

const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

function run(options: Partial<HubLinkOptions> = {}): void {
  link = new HubLink({
    url: url(),
    token: 'secret',
    identity: {
      version: '0.1.0',
      runner_id: 'r1',
      group: 'default',
      labels: {},
      mode: 'all',
      hostname: 'server-01',
      cpus: 4,
      memory_bytes: 1024,
      slots: 2,
    },
    attempts: none,
    log: (message) => logged.push(message),
    ...options,
  })
  done = link.run()
  done.catch(() => {})
}
/** Waits for the next link, and for the first frame on it. */
async function nextLink(): Promise<{
  ws: WebSocket
  hello: Record<string, unknown>
  authorization?: string
}> {
  const [ws, request] = await once(sockets, 'connection')
  const [data] = await once(ws, 'message')
  return { ws, hello: JSON.parse(String(data)), authorization: request.headers.authorization }
}
const welcome = JSON.stringify({
  type: 'welcome',
  protocol: 1,
  heartbeat_ms: 5_000,
  lost_after_ms: 60_000,
  attempts: [],
})

test('the link says hello with its token, and reconnects after a break as the same process', async () => {
  run()
  const first = await nextLink()
  assert.equal(first.authorization, 'Bearer secret')
  assert.equal(first.hello.type, 'hello')
  first.ws.send(welcome)
  first.ws.terminate()
  const second = await nextLink()
  assert.equal(second.hello.boot_id, first.hello.boot_id)
})

test('each new link reports the state of the bots and then changes, without repetition', async () => {
  const bots = [{ attempt_id: 'run_x.1', health: { state: 'healthy' as const } }]
  run({ bots: () => bots })
  for (const _ of ['first', 'second']) {
    const { ws } = await nextLink()
    // Nothing from before the link needs to be stored: all of it follows.
    link!.send({ type: 'bots', bots: [{ attempt_id: 'run_old.1' }] })
    ws.send(welcome)
    const [message] = await once(ws, 'message')
    assert.deepEqual(JSON.parse(String(message)), { type: 'bots', bots })
    link!.send({ type: 'bots', bots: [{ attempt_id: 'run_x.1' }] })
    const [changed] = await once(ws, 'message')
    assert.deepEqual(JSON.parse(String(changed)), { type: 'bots', bots: [{ attempt_id: 'run_x.1' }] })
    ws.terminate()
  }
})

test('an unreachable hub is retried, and reported once', async () => {
  const { port } = server.address() as AddressInfo
  run()
  server.close()
  while (logged.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  server.listen(port, '127.0.0.1')
  await nextLink()
  assert.equal(logged.length, 1)
  assert.match(logged[0]!, /ECONNREFUSED/)
})

test('a wrong token on the first try is an error with a hint', async () => {
  status = 401
  run()
  await assert.rejects(done!, {
    code: 'unauthorized',
    message: 'The token was revoked.',
    hint: /errand runner enroll/,
  })
})

/** Makes a machine with one running attempt, and records which attempts were released or ended as lost. */
function oneHeld({
  reports = [],
  action = spec.action,
}: {
  reports?: AttemptReport[]
  action?: string
} = {}): { attempts: Attempts; released: string[]; ended: string[] } {
  const released: string[] = []
  const ended: string[] = []
  const held: HeldAttempt = {
    spec: { ...spec, action, on_disconnect: 'stop' },
    epoch: 1,
    reports,
    ended: false,
    length: () => 0,
    next: () => undefined,
    read: async () => Buffer.alloc(0),
    onChange: () => () => {},
    cancel: () => {},
    endAsLost: (_graceMs, message) => void ended.push(message),
    release: async () => void released.push(spec.attempt_id),
  }
  const all = () => (released.length === 0 ? [held] : [])
  return { attempts: { ...none, all, get: () => all()[0] }, released, ended }
}

/** Opens a link that is welcomed and then answered 401, and waits until the runner says so. */
async function welcomedThenDenied(attempts: Attempts, lostAfterMs: number): Promise<void> {
  run({ attempts })
  const { ws } = await nextLink()
  ws.send(JSON.stringify({ ...JSON.parse(welcome), lost_after_ms: lostAfterMs }))
  while (!link!.connected) await new Promise((resolve) => setTimeout(resolve, 5))
  status = 401
  ws.terminate()
  while (!logged.some((line) => /no longer knows the token: The token was revoked/.test(line)))
    await new Promise((resolve) => setTimeout(resolve, 5))
}

test('a token revoked later is reported and retried slowly, while running work continues', async () => {
  const { attempts, released } = oneHeld()
  await welcomedThenDenied(attempts, 600_000)
  assert.deepEqual(released, [])
})

test('with a revoked token, attempts that the hub has given up by then are ended', async () => {
  const { attempts, released } = oneHeld()
  await welcomedThenDenied(attempts, 0)
  assert.deepEqual(released, ['run_x.1'])
  assert.ok(logged.some((line) => /Ending everything that runs here\. .* given up run_x\.1\./.test(line)))
})

test('a hub that only does not know the token ends nothing', async () => {
  const { attempts, released } = oneHeld()
  code = 'unauthorized'
  await welcomedThenDenied(attempts, 0)
  assert.deepEqual(released, [])
})

for (const stopped of [true, false])
  test(`running work ${stopped ? 'continues while a hub that stopped cleanly' : 'is ended when a hub that vanished'} stays away`, async () => {
    const { attempts, ended } = oneHeld()
    const clock = { ms: 1_000_000 }
    run({ attempts, now: () => clock.ms })
    const { ws } = await nextLink()
    ws.send(JSON.stringify({ ...JSON.parse(welcome), lost_after_ms: 1_000 }))
    while (!link!.connected) await new Promise((resolve) => setTimeout(resolve, 5))
    status = 503
    if (stopped)
      ws.send(JSON.stringify({ type: 'refused', code: 'unavailable', message: 'Bye.', retry: true }))
    else ws.terminate()
    for (let tries = 0; stopped && tries < 50; tries++) {
      await once(server, 'upgrade')
      clock.ms += 50
    }
    while (!stopped && ended.length === 0) {
      clock.ms += 20
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.equal(ended.length, stopped ? 0 : 1)
  })

test('a hub that refuses permanently ends the link with the reason', async () => {
  run()
  const { ws } = await nextLink()
  ws.send(JSON.stringify({ type: 'refused', code: 'forbidden', message: 'No.', retry: false }))
  await assert.rejects(done!, { code: 'forbidden', message: 'No.' })
})

test('a runner that is permanently refused while a step runs on it keeps running, and says so', async () => {
  const { attempts, released } = oneHeld()
  run({ attempts })
  for (let tries = 0; tries < 2; tries++) {
    const { ws } = await nextLink()
    ws.send(JSON.stringify({ type: 'refused', code: 'forbidden', message: 'No.', retry: false }))
  }
  assert.deepEqual(released, [])
  assert.ok(logged.some((line) => /refused runner "r1": No\./.test(line)))
})

for (const [what, answer, pattern] of [
  [
    'that says so',
    { type: 'refused', code: 'protocol_mismatch', message: 'Update Errand where the hub is.', retry: false },
    /Update Errand where the hub is\./,
  ],
  [
    'that is newer',
    { ...JSON.parse(welcome), protocol: 2 },
    /The hub speaks protocol 2, this runner speaks 1\. Update Errand on this machine\./,
  ],
  [
    'that is older',
    { ...JSON.parse(welcome), protocol: 0 },
    /The hub speaks protocol 0, this runner speaks 1\. Update Errand on the machine of the hub\./,
  ],
  [
    'that names none',
    { ...JSON.parse(welcome), protocol: undefined },
    /The hub speaks protocol none, this runner speaks 1\./,
  ],
] as const)
  test(`a hub of another protocol ${what} is retried slowly, and running work continues`, async (t) => {
    t.mock.method(Math, 'random', () => 0)
    const { attempts, released } = oneHeld()
    run({ attempts })
    const first = await nextLink()
    const atMs = performance.now()
    first.ws.send(JSON.stringify(answer))
    const second = await nextLink()
    assert.ok(performance.now() - atMs > 900, 'the first wait is a second, and none is shorter')
    second.ws.send(welcome)
    while (!link!.connected) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepEqual(released, [])
    assert.ok(
      logged.some((line) => pattern.test(line)),
      logged.join('\n'),
    )
  })

test('the link leaves a hub that sends invalid frames, and retries it later each time', async (t) => {
  t.mock.method(Math, 'random', () => 0)
  run()
  const atMs = performance.now()
  for (const wrong of ['{"type":', 'null', '{"type":7}', '{"type":"ack"}']) {
    const { ws } = await nextLink()
    ws.send(welcome)
    ws.send(wrong)
  }
  await nextLink()
  assert.ok(performance.now() - atMs > 1_400, 'the waits are 0.1, 0.2, 0.4 and 0.8 seconds')
})

test('a hub that accepts no frame of the runner is retried later each time', async (t) => {
  t.mock.method(Math, 'random', () => 0)
  run()
  const atMs = performance.now()
  for (const end of [
    (ws: WebSocket) => ws.send('{"type":"refused","code":"bad_request","message":"No.","retry":true}'),
    (ws: WebSocket) => ws.close(1009),
    (ws: WebSocket) => ws.close(1008),
  ]) {
    const { ws } = await nextLink()
    ws.send(welcome)
    end(ws)
  }
  await nextLink()
  assert.ok(performance.now() - atMs > 650, 'the waits are 0.1, 0.2 and 0.4 seconds')
})

test('frames and fields of a newer hub are ignored with one line, and the link stays', async () => {
  run()
  const { ws } = await nextLink()
  const more = { newer: { nested: [1, 'two', null] } }
  const attempt = { attempt_id: 'run_x.1', epoch: 1, ...more }
  for (const frame of [
    { ...JSON.parse(welcome), ...more },
    { type: 'progress', ...attempt },
    { type: '\x1b[31mred' },
    { type: 'constructor' },
    { type: 'ack', ...attempt, reports: 1, streams: { stdout: 1 } },
    { type: 'cancel', ...attempt, grace_ms: 1, reason: 'canceled' },
    { type: 'release', ...attempt },
    { type: 'superseded', ...attempt, why: 'it is' },
    { type: 'forget_run', run_id: 'run_x', ...more },
    { type: 'start', epoch: 1, spec: { ...spec, ...more, requires: { group: 'default', ...more } }, ...more },
  ])
    ws.send(JSON.stringify(frame))
  ws.send(Buffer.from([7, 7]), { binary: true })
  const [data] = await once(ws, 'message')
  const { type, message } = JSON.parse(String(data))
  assert.deepEqual([type, message], ['rejected', 'nothing is started here'], 'the start is read')
  ws.send(JSON.stringify({ type: 'start', epoch: 2, spec: { ...spec, requires: { group: 7 } } }))
  const [unreadable] = await once(ws, 'message')
  const answer = JSON.parse(String(unreadable))
  assert.deepEqual([answer.type, answer.attempt_id, answer.epoch], ['rejected', 'run_x.1', 2])
  assert.match(answer.message, /this runner cannot read the attempt: .*group/s)
  assert.deepEqual(
    logged.filter((line) => line.includes('are ignored')),
    ['The hub sends frames that this runner does not know, such as type progress. They are ignored.'],
  )
  assert.equal(sockets.clients.size, 1)
})

test("an older hub gets a box's network reports in words that it knows, with the same counts", async () => {
  const refused = {
    type: 'network',
    kind: 'refused',
    host: 'x.org',
    port: 443,
    why: 'not allowed',
    count: 3,
  } as const
  const used = { type: 'network', kind: 'used', host: 'a.org', sent_bytes: 1, received_bytes: 2 } as const
  const reports: AttemptReport[] = [
    { type: 'started', isolation: 'sandbox', network: 'models' },
    refused,
    used,
  ]
  const { attempts } = oneHeld({ reports })
  run({ attempts })
  const answer = { state: 'continue', attempt_id: spec.attempt_id, epoch: 1, reports: 1, streams: {} }
  const receivedBy = async (hub: object) => {
    const { ws } = await nextLink()
    const received: { n: number; report: AttemptReport }[] = []
    ws.on('message', (data) => received.push(JSON.parse(String(data))))
    ws.send(JSON.stringify({ ...JSON.parse(welcome), attempts: [answer], ...hub }))
    while (received.length < 2) await once(ws, 'message')
    ws.terminate()
    return received.map(({ n, report }) => [n, report])
  }
  assert.deepEqual(await receivedBy({}), [
    [2, { type: 'phase', phase: 'network', message: 'x.org:443 was refused 3 times: not allowed' }],
    [3, { type: 'phase', phase: 'network', message: 'a.org was used: 1 bytes sent, 2 received' }],
  ])
  assert.deepEqual(await receivedBy({ reports: ['network', 'newer'] }), [
    [2, refused],
    [3, used],
  ])
})

test("an older hub gets an agent's network reports in its session", async () => {
  const refused = { type: 'network', kind: 'refused', host: 'x.org', why: 'not allowed' } as const
  run(oneHeld({ reports: [refused], action: 'agent.run' }))
  const { ws } = await nextLink()
  const answer = { state: 'continue', attempt_id: spec.attempt_id, epoch: 1, reports: 0, streams: {} }
  ws.send(JSON.stringify({ ...JSON.parse(welcome), attempts: [answer] }))
  const [data] = await once(ws, 'message')
  const { report } = JSON.parse(String(data))
  assert.deepEqual(report, {
    type: 'update',
    update: { kind: 'notice', text: 'x.org was refused: not allowed' },
  })
})

test("each hello reports the machine's boxes as last found", async () => {
  const no = { usable: false, why: 'bubblewrap is not installed' }
  run()
  const connected = async () => {
    while (!link!.connected) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const first = await nextLink()
  first.ws.send(JSON.stringify({ ...JSON.parse(welcome), reports: ['network'] }))
  await connected()
  link!.send({ type: 'isolation', isolation: { sandbox: no, container: { usable: true } } })
  const [data] = await once(first.ws, 'message')
  assert.equal(JSON.parse(String(data)).type, 'isolation')
  first.ws.terminate()
  const older = await nextLink()
  assert.deepEqual(older.hello.isolation, { sandbox: no, container: { usable: true } })
  // A hub that does not know boxes would log that it has ignored the frame.
  older.ws.send(welcome)
  await connected()
  link!.send({ type: 'isolation', isolation: { sandbox: no, container: no } })
  link!.send({ type: 'agents', agents: [] })
  const [next] = await once(older.ws, 'message')
  assert.equal(JSON.parse(String(next)).type, 'agents')
})

test('a runner rejects what it cannot start, and everything else while it drains', async () => {
  run()
  const { ws } = await nextLink()
  ws.send(welcome)
  const received: Record<string, unknown>[] = []
  ws.on('message', (data) => received.push(JSON.parse(String(data))))
  ws.send(JSON.stringify({ type: 'start', epoch: 1, spec }))
  await once(ws, 'message')
  link!.drain()
  ws.send(JSON.stringify({ type: 'start', epoch: 2, spec }))
  while (received.length < 3) await once(ws, 'message')
  const messages = received.map(({ type, epoch, message }) => [type, epoch, message])
  assert.ok(messages.some(([type]) => type === 'draining'))
  assert.deepEqual(messages.filter(([type]) => type === 'rejected').sort(), [
    ['rejected', 1, 'nothing is started here'],
    ['rejected', 2, 'the runner is draining'],
  ])
})

test('the signal ends the link', async () => {
  const stop = new AbortController()
  run({ signal: stop.signal })
  await nextLink()
  stop.abort()
  await done
})
