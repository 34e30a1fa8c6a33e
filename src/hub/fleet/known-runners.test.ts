import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket } from 'ws'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { openSqliteStores } from '../store/open-sqlite.ts'
import { Fleet, type FleetOptions } from './fleet.ts'
import { testingHello as said } from './testing-hello.ts'

/** A hub of nothing but a fleet and its store, which can be replaced as by a restart. */
async function setup(t: TestContext, options: Partial<FleetOptions> = {}) {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { accounts, close } = await openSqliteStores({ file: ':memory:' })
  const good = new Map<string, { tenant: string; runner_id?: string }>([
    ['any', { tenant: 'acme' }],
    ['own', { tenant: 'acme', runner_id: 'r1' }],
    ['other', { tenant: 'other' }],
  ])
  const sockets: WebSocket[] = []
  let fleet: Fleet
  const restart = async (): Promise<Fleet> => {
    await fleet?.close()
    fleet = new Fleet({
      authenticate: async (token) => good.get(token) ?? { refused: 'The token was revoked.' },
      isDurable: () => true,
      store: accounts,
      ...options,
    })
    await fleet.recall()
    fleet.attach(server)
    fleet.ready()
    return fleet
  }
  t.after(async () => {
    for (const ws of sockets) ws.terminate()
    await fleet.close()
    server.close()
    close()
  })
  /** The link and the first frame of the hub on it. */
  const connect = async (hello: object = {}, token = 'any') => {
    const { port } = server.address() as AddressInfo
    const ws = new WebSocket(`ws://127.0.0.1:${port}/api/runner-link`, {
      headers: { authorization: `Bearer ${token}` },
    })
    sockets.push(ws)
    await once(ws, 'open')
    ws.send(JSON.stringify({ ...said, ...hello }))
    const [data] = await once(ws, 'message')
    return { ws, answer: JSON.parse(String(data)) as Record<string, unknown> }
  }
  return { good, restart, connect, fleet: await restart() }
}

test('a token of one runner opens the link for that runner alone', async (t) => {
  const { connect } = await setup(t)
  const { answer } = await connect({ runner_id: 'r2' }, 'own')
  assert.deepEqual([answer.type, answer.code, answer.retry], ['refused', 'forbidden', false])
  assert.match(String(answer.message), /for the runner "r1", not for "r2"/)
  assert.equal((await connect({}, 'own')).answer.type, 'welcome')
})

test('a runner that was told another tenant than its token has is refused', async (t) => {
  const { connect } = await setup(t)
  const { answer } = await connect({ tenant: 'elsewhere' })
  assert.equal(answer.code, 'forbidden')
  assert.match(String(answer.message), /not for the tenant "elsewhere"/)
  assert.equal((await connect({ tenant: 'acme' })).answer.type, 'welcome')
})

test('a capacity that is no number is refused, saying which', async (t) => {
  const { connect } = await setup(t)
  for (const wrong of [{ cpus: 'four' }, { cpus: 0 }, { memory_bytes: null }, { slots: 1.5 }]) {
    const { answer } = await connect(wrong)
    assert.deepEqual([answer.code, answer.retry], ['invalid_argument', false])
    assert.match(String(answer.message), new RegExp(`"hello" is wrong at "${Object.keys(wrong)[0]}"`))
  }
})

test("a runner stays drained over its restart and the hub's, until it is resumed", async (t) => {
  const { connect, restart, fleet } = await setup(t)
  const { ws } = await connect()
  assert.equal(await fleet.runners.drain('r1'), true)
  assert.equal(await fleet.runners.undrain('nobody'), false)
  ws.terminate()
  let now = await restart()
  const [gone] = now.runners.list('acme')
  assert.deepEqual([gone?.id, gone?.status, gone?.hostname], ['r1', 'disconnected', 'server-01'])
  assert.deepEqual(now.runners.list('other'), [])
  await connect({ boot_id: 'b2' })
  assert.equal(now.runners.list()[0]?.status, 'draining')
  assert.equal(await now.runners.undrain('r1'), true)
  assert.equal(now.runners.list()[0]?.status, 'connected')
  now = await restart()
  await connect({ boot_id: 'b2' })
  assert.equal(now.runners.list()[0]?.status, 'connected')
})

test("the id of a runner is its tenant's over a restart of the hub, until it is removed", async (t) => {
  const { connect, restart } = await setup(t)
  const { ws } = await connect()
  ws.terminate()
  const now = await restart()
  const { answer } = await connect({}, 'other')
  assert.match(String(answer.message), /belongs to another tenant/)
  assert.equal(await now.runners.remove('r1'), true)
  assert.deepEqual((await restart()).runners.list(), [])
  assert.equal((await connect({}, 'other')).answer.type, 'welcome')
})

test('what was given to a runner of which nothing is known waits for one of its tenant', async (t) => {
  const { connect, fleet } = await setup(t)
  const sink: AttemptSink = {
    waiting: () => {},
    assigned: async () => true,
    report: async () => {},
    output: async (_stream, offset, bytes) => offset + bytes.length,
    length: async () => 0,
  }
  const spec: AttemptSpec = {
    ...{ attempt_id: 'run_1.1', run_id: 'run_1', workflow_name: 'flow', tenant: 'acme' },
    ...{ step: 'one', host: 'local', instance: 0, try: 1, action: 'cmd.run', args: { cmd: 'x' }, env: {} },
    requires: {},
  }
  fleet.resume(spec, { runner: 'r1', epoch: 1 }, { started: false, streams: {} }, sink)
  assert.match(String((await connect({}, 'other')).answer.message), /belongs to another tenant/)
  assert.equal((await connect()).answer.type, 'welcome')
})

test('a link whose token is revoked is closed, another stays', async (t) => {
  const { good, connect, fleet } = await setup(t)
  const own = await connect({}, 'own')
  await connect({ runner_id: 'r2' })
  good.delete('own')
  const refused = once(own.ws, 'message')
  await fleet.recheck()
  const { code, message, retry } = JSON.parse(String((await refused)[0]))
  assert.deepEqual([code, message, retry], ['unauthorized', 'The token was revoked.', true])
  assert.deepEqual(
    fleet.runners.list().map(({ id, status }) => `${id} ${status}`),
    ['r1 disconnected', 'r2 connected'],
  )
})

test('a link whose token is good no more is closed though nothing tells of that', async (t) => {
  const { good, connect } = await setup(t, { recheckMs: 10 })
  const { ws } = await connect({}, 'own')
  const refused = once(ws, 'message')
  good.delete('own')
  assert.equal(JSON.parse(String((await refused)[0])).code, 'unauthorized')
})

test('a machine that came back takes the place of its link that is dead; while that one answers it is told', async (t) => {
  const { connect } = await setup(t)
  const { ws } = await connect()
  const { answer } = await connect({ boot_id: 'b2' })
  assert.deepEqual([answer.code, answer.retry], ['conflict', true])
  assert.match(String(answer.message), /"r1" is taken by another process, on server-01/)
  // As of a machine that lost its power: nothing says that the link is gone.
  ws.pause()
  assert.equal((await connect({ boot_id: 'b2' })).answer.type, 'welcome')
})
