import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import type { FleetOptions } from '../../src/hub/fleet/fleet.ts'
import { AttemptsStandIn, type Script } from './attempts-stand-in.ts'
import { EngineStandIn, type PlacedAttempt } from './engine-stand-in.ts'
import { HubSetup, openRunner, type RunnerSetup, spec, until } from './setup.ts'
import { TcpProxy } from './tcp-proxy.ts'

const hello: Script = { chunks: [{ stream: 'stdout', bytes: Buffer.from('hello\n') }] }
const forever: Script = { chunks: [], forever: true }
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function openHub(options: Partial<FleetOptions> = {}): Promise<HubSetup> {
  const hub = await HubSetup.open(options)
  cleanups.push(() => hub.close())
  return hub
}
function connect(...args: Parameters<typeof openRunner>): RunnerSetup {
  const runner = openRunner(...args)
  cleanups.push(async () => {
    runner.link.close()
    await runner.done
    await args[1].close()
  })
  return runner
}
async function openProxy(hub: HubSetup): Promise<TcpProxy> {
  const proxy = await TcpProxy.open(() => hub.port)
  cleanups.push(() => proxy.close())
  return proxy
}

test('an attempt runs on a connected runner, and is released when its end is committed', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => hello)
  connect(hub.url, attempts)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const engine = new EngineStandIn()
  const attempt = engine.start(hub.fleet, spec())
  await until('it is released', () => attempts.released.length === 1)
  assert.deepEqual(
    attempt.reports.map((report) => report.type),
    ['started', 'ended'],
  )
  assert.equal(Buffer.concat(attempt.chunks.stdout).toString(), 'hello\n')
  assert.deepEqual(attempt.placements, [{ runner: 'r1', storage_id: 'storage', epoch: 1 }])
  assert.equal(hub.fleet.runners.list()[0]!.running, 0)
  hub.fleet.runEnded(attempt.spec.run_id)
  await until('the runner forgot the run', () => attempts.forgotten.includes(attempt.spec.run_id))
})

test('runners are listed with what they offer', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  connect(hub.url, new AttemptsStandIn(() => hello), { labels: { gpu: '1' } })
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const [view] = hub.fleet.runners.list('acme')
  assert.equal(view?.memory, '8GB')
  assert.equal(view?.status, 'connected')
  assert.deepEqual(view?.labels, { gpu: '1' })
  assert.deepEqual(hub.fleet.runners.list('other'), [])
})

test('attempts wait in order, say why, and continue when a slot is free', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const engine = new EngineStandIn()
  const attempt = [1, 2, 3].map(() => engine.start(hub.fleet, spec()))
  assert.deepEqual(attempt[0]!.whys, ['no runner is connected'])
  const attempts = new AttemptsStandIn(() => forever)
  connect(hub.url, attempts, { slots: 1 })
  const busy = 'runner "r1" of group "default" is busy (1 of 1 slots)'
  await until('it was told why', () => attempt[2]!.whys.at(-1) === busy)
  for (const [index, each] of attempt.entries()) {
    await until('it started', () => each.reports.length === 1)
    assert.equal(attempts.begun.length, index + 1)
    hub.fleet.cancel(each.spec.attempt_id, 'canceled')
    await until('it ended', () => each.end !== undefined)
    assert.equal(each.end?.outcome, 'canceled')
  }
})

test('a waiting attempt is canceled at once', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const engine = new EngineStandIn()
  const attempt = engine.start(hub.fleet, spec())
  hub.fleet.cancel(attempt.spec.attempt_id, 'timeout')
  await until('it ended', () => attempt.end !== undefined)
  assert.deepEqual(attempt.end, { type: 'ended', outcome: 'canceled', reason: 'timeout' })
})

test('an unused place is returned', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  connect(hub.url, new AttemptsStandIn(() => hello), { slots: 1 })
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const unused = spec()
  assert.deepEqual(hub.fleet.place(unused), { runner: 'r1', storage_id: 'storage', epoch: 1 })
  const engine = new EngineStandIn()
  const attempt = engine.start(hub.fleet, spec())
  assert.equal(attempt.placement, undefined)
  hub.fleet.cancel(unused.attempt_id, 'canceled')
  await until('the other one ended', () => attempt.end?.outcome === 'success')
})

test('an attempt that a runner rejects is placed on another runner at once', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const full = new AttemptsStandIn(() => hello)
  full.rejectWith = 'its disk is full'
  const good = new AttemptsStandIn(() => hello)
  connect(hub.url, full, { runner_id: 'full', slots: 9 })
  connect(hub.url, good, { runner_id: 'good' })
  await until('both are connected', () => hub.fleet.runners.list().length === 2)
  const engine = new EngineStandIn()
  const attempt = engine.start(hub.fleet, spec())
  await until('it ended', () => attempt.end?.outcome === 'success')
  assert.deepEqual(attempt.placements, [
    { runner: 'full', storage_id: 'storage', epoch: 1 },
    { runner: 'good', storage_id: 'storage', epoch: 2 },
  ])
  assert.deepEqual(good.begun, [`${attempt.spec.attempt_id}/2`])
  assert.deepEqual(engine.complaints, [])
})

test('an attempt that every runner rejects fails with their reasons', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const full = new AttemptsStandIn(() => hello)
  full.rejectWith = 'its disk is full'
  connect(hub.url, full)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const attempt = new EngineStandIn().start(hub.fleet, spec())
  await until('it ended', () => attempt.end !== undefined)
  assert.equal(attempt.end?.reason, 'rejected')
  assert.match(attempt.end?.message ?? '', /runner "r1" rejected it: its disk is full/)
})

test('a draining runner finishes its work and gets nothing new', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => forever)
  connect(hub.url, attempts)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const engine = new EngineStandIn()
  const first = engine.start(hub.fleet, spec())
  await until('it started', () => first.reports.length === 1)
  assert.equal(await hub.fleet.runners.drain({ tenant: 'acme', id: 'r1' }), true)
  assert.equal(await hub.fleet.runners.drain({ tenant: 'acme', id: 'nobody' }), false)
  const second = engine.start(hub.fleet, spec())
  assert.deepEqual(second.whys, ['runner "r1" is draining'])
  hub.fleet.cancel(first.spec.attempt_id, 'canceled')
  await until('it ended', () => first.end !== undefined)
  assert.equal(hub.fleet.runners.list()[0]?.status, 'draining')
  assert.equal(attempts.begun.length, 1)
})

for (const held of ['both', 'to_hub', 'to_runner'] as const)
  test(`both ends notice a half-open link (held: ${held}), and the runner returns with all its attempts`, async () => {
    const hub = await openHub({ heartbeatMs: 50 })
    hub.fleet.ready()
    const proxy = await openProxy(hub)
    const attempts = new AttemptsStandIn(() => forever)
    const runner = connect(proxy.url, attempts, {}, { handshakeTimeoutMs: 200 })
    await until('it is connected', () => hub.fleet.runners.list()[0]?.status === 'connected')
    const attempt = new EngineStandIn().start(hub.fleet, spec())
    await until('it started', () => attempt.reports.length === 1)
    proxy.freeze(held)
    await until('the hub noticed', () => hub.fleet.runners.list()[0]?.status === 'disconnected')
    await until('the runner noticed', () => !runner.link.connected)
    proxy.thaw()
    await until('it is back', () => hub.fleet.runners.list()[0]?.status === 'connected')
    hub.fleet.cancel(attempt.spec.attempt_id, 'canceled')
    await until('it ended', () => attempt.end !== undefined)
    assert.equal(attempts.begun.length, 1)
  })

test("a runner's attempts are lost when it stays away, and superseded when it returns", async () => {
  const hub = await openHub({ lostAfterMs: 100 })
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => forever)
  const first = connect(hub.url, attempts)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const attempt = new EngineStandIn().start(hub.fleet, spec())
  await until('it started', () => attempt.reports.length === 1)
  first.link.close()
  await until('it is lost', () => attempt.end !== undefined)
  assert.equal(attempt.end?.outcome, 'failed')
  assert.equal(attempt.end?.reason, 'lost')
  assert.match(attempt.end?.message ?? '', /Runner "r1" has not been heard from since \d{4}-/)
  connect(hub.url, attempts)
  await until('the runner dropped it', () => attempts.released.includes(attempt.spec.attempt_id))
  assert.equal(attempt.reports.length, 2)
})

test('if a runner does not return after a hub restart, the hub says so, without a time that it cannot know', async () => {
  const hub = await openHub({ lostAfterMs: 100 })
  const engine = new EngineStandIn()
  const attempt = engine.start(hub.fleet, spec())
  await hub.fleet.close()
  attempt.placement = { runner: 'r1', epoch: 1 }
  hub.newFleet()
  engine.resume(hub.fleet)
  hub.fleet.ready()
  await until('it is lost', () => attempt.end !== undefined)
  assert.equal(attempt.end?.reason, 'lost')
  assert.match(
    attempt.end?.message ?? '',
    /^Runner "r1" has not reconnected since the hub was started at \d{4}-.*Z\.$/,
  )
})

test('a cancel reaches a runner that was away', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => forever)
  const first = connect(hub.url, attempts)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const attempt = new EngineStandIn().start(hub.fleet, spec())
  await until('it started', () => attempt.reports.length === 1)
  first.link.close()
  await until('it is away', () => hub.fleet.runners.list()[0]?.status === 'disconnected')
  hub.fleet.cancel(attempt.spec.attempt_id, 'canceled')
  connect(hub.url, attempts)
  await until('it ended', () => attempt.end?.outcome === 'canceled')
})

test('an attempt without a trace on a restarted runner starts if it never did, otherwise is interrupted', async () => {
  const hub = await openHub()
  const engine = new EngineStandIn()
  const never = engine.start(hub.fleet, spec())
  const ran = engine.start(hub.fleet, spec())
  const inline = engine.start(hub.fleet, spec({ action: 'noop' }))
  await hub.fleet.close()
  for (const attempt of [never, ran, inline])
    attempt.placement = { runner: 'r1', storage_id: 'storage', epoch: 1 }
  ran.reports.push({ type: 'started' })
  hub.newFleet()
  engine.resume(hub.fleet)
  const attempts = new AttemptsStandIn(() => hello)
  connect(hub.url, attempts)
  hub.fleet.ready()
  await until('all ended', () => [never, ran, inline].every((attempt) => attempt.end !== undefined))
  assert.equal(never.end?.outcome, 'success')
  for (const attempt of [ran, inline]) {
    assert.equal(attempt.end?.outcome, 'interrupted')
    assert.equal(attempt.end?.reason, 'lost')
  }
  assert.deepEqual(attempts.begun, [`${never.spec.attempt_id}/1`])
})

test('an attempt that waited again when the hub stopped is handed out under its next epoch', async () => {
  const hub = await openHub()
  const engine = new EngineStandIn()
  const attempt = engine.start(hub.fleet, spec())
  await hub.fleet.close()
  attempt.placement = { runner: 'r1', storage_id: 'storage', epoch: 1 }
  attempt.waits = true
  hub.newFleet()
  engine.resume(hub.fleet)
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => hello)
  connect(hub.url, attempts)
  await until('it ended', () => attempt.end !== undefined)
  assert.equal(attempt.end?.outcome, 'success')
  assert.deepEqual(attempts.begun, [`${attempt.spec.attempt_id}/2`])
  assert.deepEqual(engine.complaints, [])
})

test('an attempt that a runner may have started before its storage changed is lost, and never starts again', async () => {
  const hub = await openHub()
  const engine = new EngineStandIn()
  const placed = engine.start(hub.fleet, spec())
  const older = engine.start(hub.fleet, spec())
  await hub.fleet.close()
  placed.placement = { runner: 'r1', storage_id: 'before the power cut', epoch: 1 }
  // A hub of an older version has stored it like this.
  older.placement = { runner: 'r1', epoch: 1 }
  hub.newFleet()
  engine.resume(hub.fleet)
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => hello)
  connect(hub.url, attempts)
  await until('both ended', () => [placed, older].every((attempt) => attempt.end !== undefined))
  for (const { end } of [placed, older]) {
    assert.deepEqual([end?.outcome, end?.reason], ['interrupted', 'lost'])
    assert.match(end!.message!, /machine was restarted/)
  }
  assert.deepEqual(attempts.begun, [])
})

test('a start that a runner accepted before it lost power is not sent to it again', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const first = new AttemptsStandIn(() => forever)
  const proxy = await openProxy(hub)
  const runner = connect(proxy.url, first)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  // The runner receives its orders, and nobody hears about it.
  proxy.freeze('to_hub')
  const attempt = new EngineStandIn().start(hub.fleet, spec())
  await until('it was begun', () => first.begun.length === 1)
  runner.link.close()
  proxy.cut()
  await until('it is away', () => hub.fleet.runners.list()[0]?.status === 'disconnected')
  const second = new AttemptsStandIn(() => hello)
  second.storageId = 'after the power cut'
  connect(hub.url, second)
  await until('it ended', () => attempt.end !== undefined)
  assert.deepEqual([attempt.end?.outcome, attempt.end?.reason], ['interrupted', 'lost'])
  assert.deepEqual(second.begun, [])
})

test("a runner that lost some of an attempt's reports loses the attempt, and is asked to drop it", async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => ({ ...forever, phases: 3 }))
  const first = connect(hub.url, attempts)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const attempt = new EngineStandIn().start(hub.fleet, spec())
  await until('all is told', () => attempt.reports.length === 4)
  first.link.close()
  await first.done
  // The end would have a number that the hub already has.
  const held = attempts.held.get(attempt.spec.attempt_id)!
  held.reports.splice(2)
  held.cancel()
  await until('it ended there', () => held.ended)
  connect(hub.url, attempts)
  await until('it ended', () => attempt.end !== undefined)
  assert.deepEqual([attempt.end?.outcome, attempt.end?.reason], ['interrupted', 'lost'])
  await until('it is dropped', () => attempts.released.length === 1)
})

test('runners get no answer until the open runs are resumed', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => forever)
  const runner = connect(hub.url, attempts)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const engine = new EngineStandIn()
  const attempt = engine.start(hub.fleet, spec())
  await until('it started', () => attempt.reports.length === 1)
  engine.forget()
  await hub.fleet.close()
  hub.newFleet()
  await until('it said hello again', () => runner.logged.some((line) => /stopping/.test(line)))
  engine.resume(hub.fleet)
  assert.deepEqual(hub.fleet.runners.list(), [])
  hub.fleet.ready()
  await until('it is back', () => hub.fleet.runners.list()[0]?.status === 'connected')
  assert.equal(attempts.released.length, 0)
  hub.fleet.cancel(attempt.spec.attempt_id, 'canceled')
  await until('it ended', () => attempt.end?.outcome === 'canceled')
  assert.equal(attempts.begun.length, 1)
})

test("an ended run's workspace is removed after an outage of runner and hub, and an open run's stays", async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const attempts = new AttemptsStandIn(() => forever)
  const first = connect(hub.url, attempts)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const engine = new EngineStandIn()
  const attempt = engine.start(hub.fleet, spec())
  await until('it started', () => attempt.reports.length === 1)
  first.link.close()
  await first.done
  attempts.workspaces.add('run_ended')
  engine.forget()
  await hub.fleet.close()
  hub.newFleet()
  engine.resume(hub.fleet)
  hub.fleet.ready()
  connect(hub.url, attempts)
  await until('the old one is gone', () => attempts.forgotten.length > 0)
  assert.deepEqual(attempts.runs(), [attempt.spec.run_id])
  hub.fleet.runEnded(attempt.spec.run_id)
  await until('that of the ended run is gone too', () => attempts.runs().length === 0)
  assert.deepEqual(attempts.forgotten, ['run_ended', attempt.spec.run_id])
})

test('a runner id in use is refused to another process, and given to it when the first is gone', async () => {
  const hub = await openHub({ heartbeatMs: 200 })
  hub.fleet.ready()
  const proxy = await openProxy(hub)
  connect(proxy.url, new AttemptsStandIn(() => hello), { hostname: 'first' })
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const second = connect(hub.url, new AttemptsStandIn(() => hello), { hostname: 'second' })
  await until('it is refused', () =>
    second.logged.some((line) =>
      /"r1" is in use by another process, on first \(127\.0\.0\.1\), connected since \d/.test(line),
    ),
  )
  assert.equal(second.link.connected, false)
  proxy.freeze()
  await until('it has taken over', () => second.link.connected)
  assert.equal(hub.fleet.runners.list()[0]?.hostname, 'second')
})

test('a failing store holds the runner back, and loses nothing', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const chunks = Array.from({ length: 40 }, (_, i) => ({
    stream: 'stdout' as const,
    bytes: Buffer.alloc(100_000, i),
  }))
  const attempts = new AttemptsStandIn(() => ({ chunks }))
  connect(hub.url, attempts)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const engine = new EngineStandIn({ failing: 1 })
  const attempt = engine.start(hub.fleet, spec())
  await until(
    'it was tried twice',
    () => hub.logged.filter((line) => /could not be saved/.test(line)).length >= 2,
  )
  assert.equal(attempt.length('stdout'), 0)
  engine.faults.failing = 0
  await until('it ended', () => attempt.end !== undefined)
  assert.equal(attempt.sha256('stdout'), attempt.end?.streams?.stdout?.sha256)
})

test('a slow store makes the hub stop reading, so that the waiting data in it are limited', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const proxy = await openProxy(hub)
  const bytes = Buffer.alloc(1024 * 1024, 'x')
  const chunks = [{ stream: 'stdout' as const, bytes }]
  connect(proxy.url, new AttemptsStandIn(() => ({ chunks })), { slots: 60 })
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const engine = new EngineStandIn({ commitMs: 200 })
  const all = Array.from({ length: 60 }, () => engine.start(hub.fleet, spec()))
  let mostBytes = 0
  await until('all ended', () => {
    const storedBytes = all.reduce((sum, attempt) => sum + attempt.length('stdout'), 0)
    mostBytes = Math.max(mostBytes, proxy.bytes - storedBytes)
    return all.every((attempt) => attempt.end !== undefined)
  })
  // 4 MB in the hub; the rest is in the buffers of the two sockets.
  assert.ok(mostBytes < 24 * 1024 * 1024, `${mostBytes} bytes were in transit`)
  for (const attempt of all) assert.equal(attempt.sha256('stdout'), attempt.end?.streams?.stdout?.sha256)
})

test('two tenants whose runners have the same id each have their own work done by their own runner', async () => {
  const authenticate = async (tenant?: string) => ({ tenant: tenant! })
  const hub = await openHub({ authenticate })
  hub.fleet.ready()
  const tenants = ['acme', 'other'].map((tenant) => ({
    tenant,
    attempts: new AttemptsStandIn(({ step }) => (step === 'hold' ? forever : hello)),
    engine: new EngineStandIn(),
  }))
  const [removed] = tenants.map(({ tenant, attempts }) => connect(hub.url, attempts, {}, { token: tenant }))
  // The hub ends the link of the removed runner.
  cleanups.splice(-2, 1)
  await until('both are connected', () => hub.fleet.runners.list().length === 2)
  const start = ({ tenant, engine }: (typeof tenants)[number], step: string) =>
    engine.start(hub.fleet, spec({ tenant, step, requires: { runner: 'r1' } }))
  const done = tenants.map((each) => [start(each, 'work'), start(each, 'work')])
  await until('all have ended', () => done.flat().every(({ end }) => end?.outcome === 'success'))
  for (const [index, { attempts }] of tenants.entries()) {
    const own = done[index]!.map(({ spec }) => spec.attempt_id)
    assert.deepEqual(
      attempts.begun.map((begun) => begun.split('/')[0]),
      own,
    )
    assert.deepEqual(
      done[index]!.map(({ placement }) => placement?.runner),
      ['r1', 'r1'],
    )
  }

  const [held, attempt] = tenants.map((each) => start(each, 'hold')) as [PlacedAttempt, PlacedAttempt]
  await until('both have started', () => [held, attempt].every(({ reports }) => reports.length === 1))
  assert.equal(await hub.fleet.runners.drain({ tenant: 'acme', id: 'r1' }), true)
  assert.deepEqual(start(tenants[0]!, 'work').whys, ['runner "r1" is draining'])
  const more = start(tenants[1]!, 'work')
  await until('the other tenant goes on', () => more.end?.outcome === 'success')
  const startFor = (tenant: string) =>
    hub.fleet.runners.attempts({ tenant, id: 'r1' }).map(({ run_id }) => run_id)
  assert.deepEqual([startFor('acme'), startFor('other')], [[held.spec.run_id], [attempt.spec.run_id]])
  assert.equal(await hub.fleet.runners.remove({ tenant: 'acme', id: 'r1' }), true)
  await assert.rejects(removed!.done, { code: 'forbidden' })
  await until('what it had is lost', () => held.end?.reason === 'lost')
  assert.equal(attempt.end, undefined)
  hub.fleet.cancel(attempt.spec.attempt_id, 'canceled')
  await until('the other one is canceled', () => attempt.end?.outcome === 'canceled')
})

test('a removed runner is asked never to return, and its attempts are lost', async () => {
  const hub = await openHub()
  hub.fleet.ready()
  const runner = connect(hub.url, new AttemptsStandIn(() => forever))
  cleanups.pop()
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const attempt = new EngineStandIn().start(hub.fleet, spec())
  await until('it started', () => attempt.reports.length === 1)
  assert.equal(await hub.fleet.runners.remove({ tenant: 'acme', id: 'r1' }), true)
  await assert.rejects(runner.done, { code: 'forbidden' })
  await until('it is lost', () => attempt.end?.reason === 'lost')
  assert.deepEqual(hub.fleet.runners.list(), [])
})
