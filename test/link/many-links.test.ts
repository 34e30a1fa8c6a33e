import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AttemptsStandIn } from './attempts-stand-in.ts'
import { EngineStandIn } from './engine-stand-in.ts'
import { HubSetup, openRunner, spec, until } from './setup.ts'
import { TcpProxy } from './tcp-proxy.ts'

const RUNNERS = 200

test('two hundred runners whose links break at once all return with all they have, again and again', async () => {
  const hub = await HubSetup.open()
  hub.fleet.ready()
  const proxy = await TcpProxy.open(() => hub.port)
  const machines = Array.from(
    { length: RUNNERS },
    () => new AttemptsStandIn(() => ({ chunks: [], forever: true })),
  )
  const runners = machines.map((attempts, index) =>
    openRunner(proxy.url, attempts, { runner_id: `r${index}`, slots: 1 }),
  )
  const connected = () => hub.fleet.runners.list().filter(({ status }) => status === 'connected').length
  try {
    await until('all are connected', () => connected() === RUNNERS)
    const engine = new EngineStandIn()
    const placed = Array.from({ length: RUNNERS + 50 }, () => engine.start(hub.fleet, spec()))
    const started = () => placed.filter(({ reports }) => reports.length > 0).length
    await until('all are busy', () => started() === RUNNERS)
    for (let round = 0; round < 3; round++) {
      proxy.cut()
      await until('the hub noticed', () => connected() < RUNNERS)
      await until('all are back', () => connected() === RUNNERS)
    }
    for (const { spec: each } of placed.slice(0, RUNNERS)) hub.fleet.cancel(each.attempt_id, 'canceled')
    await until('those that waited have started', () =>
      placed.slice(RUNNERS).every(({ reports }) => reports.length > 0),
    )
    for (const { spec: each } of placed) hub.fleet.cancel(each.attempt_id, 'canceled')
    await until('all ended', () => placed.every(({ end }) => end !== undefined))
    assert.deepEqual(new Set(placed.map(({ end }) => end?.outcome)), new Set(['canceled']))
    assert.equal(
      machines.reduce((sum, { begun }) => sum + begun.length, 0),
      RUNNERS + 50,
    )
    assert.deepEqual(engine.complaints, [])
  } finally {
    for (const { link } of runners) link.close()
    await Promise.all(runners.map(({ done }) => done))
    await Promise.all(machines.map((attempts) => attempts.close()))
    await proxy.close()
    await hub.close()
  }
})
