import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket } from 'ws'
import { testingHello } from '../../../test/support/hub/dispatch-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { callersBehind } from '../../platform/callers.ts'
import { openSqliteStores } from '../../stores/sqlite/open.ts'
import { Fleet, type FleetOptions } from './fleet.ts'

/** Opens a hub of only a fleet and its store; the fleet can be replaced as if by a restart. */
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
    await fleet.restore()
    fleet.attach(server, callersBehind(['127.0.0.1']))
    fleet.ready()
    return fleet
  }
  t.after(async () => {
    for (const ws of sockets) ws.terminate()
    await fleet.close()
    server.close()
    close()
  })
  /** Opens a link. Returns it with the first frame of the hub and all frames that have arrived. */
  const connect = async (hello: object = {}, token = 'any') => {
    const { port } = server.address() as AddressInfo
    const ws = new WebSocket(`ws://127.0.0.1:${port}/api/runner-link`, {
      headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': '6.6.6.6, 198.51.100.7' },
    })
    sockets.push(ws)
    const frames: Record<string, unknown>[] = []
    ws.on('message', (data) => frames.push(JSON.parse(String(data))))
    const until = async (count: number) => {
      while (frames.length < count) await once(ws, 'message')
    }
    await once(ws, 'open')
    ws.send(JSON.stringify({ ...testingHello, ...hello }))
    await until(1)
    return { ws, answer: frames[0]!, frames, until }
  }
  return { good, restart, connect, fleet: await restart() }
}

test('a token of one runner opens the link only for that runner', async (t) => {
  const { connect } = await setup(t)
  const { answer } = await connect({ runner_id: 'r2' }, 'own')
  assert.deepEqual([answer.type, answer.code, answer.retry], ['refused', 'forbidden', false])
  assert.match(String(answer.message), /for the runner "r1", not for "r2"/)
  assert.equal((await connect({}, 'own')).answer.type, 'welcome')
})

test('refuses a runner that names another tenant than its token', async (t) => {
  const { connect } = await setup(t)
  const { answer } = await connect({ tenant: 'elsewhere' })
  assert.equal(answer.code, 'forbidden')
  assert.match(String(answer.message), /not for the tenant "elsewhere"/)
  assert.equal((await connect({ tenant: 'acme' })).answer.type, 'welcome')
})

test('refuses a capacity that is not a number, and says which', async (t) => {
  const { connect } = await setup(t)
  for (const wrong of [{ cpus: 'four' }, { cpus: 0 }, { memory_bytes: null }, { slots: 1.5 }]) {
    const { answer } = await connect(wrong)
    assert.deepEqual([answer.code, answer.retry], ['invalid_argument', false])
    assert.match(String(answer.message), new RegExp(`"hello" is not valid at "${Object.keys(wrong)[0]}"`))
  }
})

test("a runner stays drained across restarts, its own and the hub's, until it is resumed", async (t) => {
  const { connect, restart, fleet } = await setup(t)
  const { ws } = await connect()
  assert.equal(await fleet.runners.drain({ tenant: 'acme', id: 'r1' }), true)
  assert.equal(await fleet.runners.undrain({ tenant: 'acme', id: 'nobody' }), false)
  ws.terminate()
  let now = await restart()
  const [gone] = now.runners.list('acme')
  assert.deepEqual([gone?.id, gone?.status, gone?.hostname], ['r1', 'disconnected', 'server-01'])
  assert.deepEqual(now.runners.list('other'), [])
  await connect({ boot_id: 'b2' })
  assert.equal(now.runners.list()[0]?.status, 'draining')
  assert.equal(await now.runners.undrain({ tenant: 'acme', id: 'r1' }), true)
  assert.equal(now.runners.list()[0]?.status, 'connected')
  now = await restart()
  await connect({ boot_id: 'b2' })
  assert.equal(now.runners.list()[0]?.status, 'connected')
})

test('two tenants can have runners with the same id; each is stored, drained and removed separately', async (t) => {
  const { connect, restart, fleet } = await setup(t)
  const here = { tenant: 'acme', id: 'r1' }
  const there = { tenant: 'other', id: 'r1' }
  const statuses = (now: Fleet) =>
    ['acme', 'other'].map((tenant) =>
      now.runners
        .list(tenant)
        .map(({ id, status }) => `${id} ${status}`)
        .join(),
    )
  const first = [await connect(), await connect({ boot_id: 'b2', hostname: 'theirs' }, 'other')]
  assert.deepEqual(
    first.map(({ answer }) => answer.type),
    ['welcome', 'welcome'],
  )
  assert.deepEqual(statuses(fleet), ['r1 connected', 'r1 connected'])
  assert.equal(fleet.runners.list('other')[0]?.hostname, 'theirs')
  assert.equal(await fleet.runners.drain(here), true)
  assert.deepEqual(statuses(fleet), ['r1 draining', 'r1 connected'])
  assert.equal(await fleet.runners.drain({ tenant: 'third', id: 'r1' }), false)

  const now = await restart()
  assert.deepEqual(statuses(now), ['r1 disconnected', 'r1 disconnected'])
  await connect()
  const theirs = await connect({ boot_id: 'b2' }, 'other')
  assert.deepEqual(statuses(now), ['r1 draining', 'r1 connected'])
  assert.equal(await now.runners.remove(there), true)
  await theirs.until(2)
  assert.equal(theirs.frames[1]?.code, 'forbidden')
  assert.deepEqual(statuses(now), ['r1 draining', ''])
  assert.equal(await now.runners.undrain(there), false)
  assert.deepEqual(statuses(await restart()), ['r1 disconnected', ''])
})

test('work of an unknown runner waits for the runner of its tenant, and no other runner learns of the run', async (t) => {
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
  fleet.remember({ ...spec, run_id: 'run_2' }, 'r1')
  const placement = { runner: 'r1', storage_id: testingHello.storage_id, epoch: 1 }
  fleet.resume(spec, placement, { started: false, streams: {} }, sink)
  const runs = ['run_1', 'run_2', 'run_none']
  const theirs = await connect(
    { runs, attempts: [{ attempt_id: 'run_1.1', epoch: 1, ended: false }] },
    'other',
  )
  await theirs.until(4)
  assert.deepEqual(theirs.answer.attempts, [
    {
      state: 'superseded',
      attempt_id: 'run_1.1',
      epoch: 1,
      why: 'it has ended at the hub, or another runner has it',
    },
  ])
  assert.deepEqual(
    theirs.frames.slice(1).map(({ type, run_id }) => `${type} ${run_id}`),
    runs.map((run) => `forget_run ${run}`),
  )
  const ours = await connect({ runs })
  await ours.until(3)
  assert.deepEqual(
    ours.frames.slice(1).map(({ type, run_id, spec }) => [type, run_id ?? (spec as AttemptSpec).run_id]),
    [
      ['start', 'run_1'],
      ['forget_run', 'run_none'],
    ],
  )
  fleet.runEnded('run_2')
  await ours.until(4)
  assert.deepEqual([ours.frames[3]?.type, ours.frames[3]?.run_id], ['forget_run', 'run_2'])
  assert.equal(theirs.frames.length, 4)
})

test('closes a link whose token is revoked, and keeps another one', async (t) => {
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

test('closes a link whose token is no longer valid, even without a notification', async (t) => {
  const { good, connect } = await setup(t, { recheckMs: 10 })
  const { ws } = await connect({}, 'own')
  const refused = once(ws, 'message')
  good.delete('own')
  assert.equal(JSON.parse(String((await refused)[0])).code, 'unauthorized')
})

test('a machine that returns replaces its dead link, and is refused while the old link still answers', async (t) => {
  const { connect } = await setup(t)
  const { ws } = await connect()
  const { answer } = await connect({ boot_id: 'b2' })
  assert.deepEqual([answer.code, answer.retry], ['conflict', true])
  assert.match(String(answer.message), /"r1" is in use by another process, on server-01 \(198\.51\.100\.7\)/)
  // Like a machine that lost power: nothing says that the link is gone.
  ws.pause()
  assert.equal((await connect({ boot_id: 'b2' })).answer.type, 'welcome')
})

test("an attempt placed before a restart goes out with its group's box, only to a runner that has the box", async (t) => {
  const { connect, fleet } = await setup(t)
  const whys: string[] = []
  const sink: AttemptSink = {
    waiting: (why) => void whys.push(why),
    assigned: async () => true,
    report: async () => {},
    output: async (_stream, offset, bytes) => offset + bytes.length,
    length: async () => 0,
  }
  const spec = (run_id: string, more: Partial<AttemptSpec> = {}): AttemptSpec => ({
    ...{ attempt_id: `${run_id}.1`, run_id, workflow_name: 'flow', tenant: 'acme' },
    ...{ step: 'one', host: 'local', instance: 0, try: 1, action: 'cmd.run', args: { cmd: 'x' }, env: {} },
    ...{ requires: {}, ...more },
  })
  const placement = { runner: 'r1', storage_id: testingHello.storage_id, epoch: 1 }
  const known = { started: false, streams: {} }
  const box = { isolation: 'sandbox', network: 'models' } as const
  fleet.resume(spec('run_grouped'), { ...placement, ...box }, known, sink)
  fleet.resume(spec('run_asked', { isolation: 'sandbox' }), placement, known, sink)
  fleet.resume(spec('run_plain'), placement, known, sink)
  // The runner has an older release now, or lost its bubblewrap.
  const ours = await connect({ slots: 8 })
  const starts = () =>
    ours.frames.flatMap(({ type, spec }) => (type === 'start' ? [spec as unknown as AttemptSpec] : []))
  await ours.until(3)
  assert.deepEqual(
    starts().map(({ run_id, isolation }) => [run_id, isolation]),
    // Its group demands nothing any more and the attempt has not begun, so it is placed again.
    [
      ['run_plain', undefined],
      ['run_grouped', undefined],
    ],
  )
  assert.match(whys.at(-1)!, /can provide a sandbox: runner "r1": its version/)
  const isolation = { sandbox: { usable: true }, container: { usable: false, why: 'There is no engine.' } }
  ours.ws.send(JSON.stringify({ type: 'isolation', isolation }))
  await ours.until(4)
  assert.deepEqual([starts().at(-1)?.run_id, starts().at(-1)?.isolation], ['run_asked', 'sandbox'])
  assert.deepEqual(fleet.runners.list('acme')[0]?.isolation, isolation)
})
