import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import fc from 'fast-check'
import type { StreamName } from '../../src/contract/attempt.ts'
import { AttemptsStandIn, type Script } from './attempts-stand-in.ts'
import { EngineStandIn } from './engine-stand-in.ts'
import { FrameDropper } from './frame-dropper.ts'
import { FrameShuffler } from './frame-shuffler.ts'
import { HubSetup, openRunner, spec, until } from './setup.ts'

const HEARTBEAT_MS = 40
const hello: Script = { chunks: [{ stream: 'stdout', bytes: Buffer.from('hello\n') }] }
const forever: Script = { chunks: [], forever: true }

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Starts a hub and a runner, between which frames are lost. */
async function place(loses: Parameters<typeof FrameDropper.open>[1], script: Script) {
  const hub = await HubSetup.open({ heartbeatMs: HEARTBEAT_MS, graceMs: 0 })
  cleanups.push(() => hub.close())
  const dropper = await FrameDropper.open(() => hub.url, loses)
  cleanups.push(() => dropper.close())
  const attempts = new AttemptsStandIn(() => script)
  const runner = openRunner(dropper.url, attempts, {}, { heartbeatMs: HEARTBEAT_MS, handshakeTimeoutMs: 500 })
  cleanups.push(async () => {
    runner.link.close()
    await runner.done
    await attempts.close()
  })
  hub.fleet.ready()
  return { hub, dropper, attempts, engine: new EngineStandIn() }
}

/** Loses the first frame of that type; for a report, the type is the report's. */
function first(type: string): Parameters<typeof FrameDropper.open>[1] {
  let isLost = false
  return (_, frame) => {
    if (isLost || type !== (frame.report?.type ?? frame.type)) return false
    isLost = true
    return true
  }
}

/** Waits until some heartbeats have passed over the link. */
async function heartbeats(hub: HubSetup): Promise<void> {
  const seenAtMs = () => Date.parse(hub.fleet.runners.list()[0]!.last_seen_at)
  const beforeMs = seenAtMs()
  await until('some heartbeats', () => seenAtMs() - beforeMs > 5 * HEARTBEAT_MS)
}

for (const type of ['started', 'output', 'ended', 'claimed', 'start', 'ack', 'release'])
  test(`a lost frame "${type}" is made up for over the same live link`, async () => {
    const { hub, dropper, attempts, engine } = await place(first(type), hello)
    const attempt = engine.start(hub.fleet, spec())
    await until('its release', () => dropper.lost.length === 1 && attempts.released.length === 1)
    assert.deepEqual(
      attempt.reports.map((report) => report.type),
      ['started', 'ended'],
    )
    assert.equal(attempt.end?.outcome, 'success')
    assert.equal(Buffer.concat(attempt.chunks.stdout).toString(), 'hello\n')
    assert.deepEqual(dropper.lost, [type])
    assert.equal(dropper.links, 1)
    assert.equal(attempts.begun.length, 1)
    assert.deepEqual(engine.complaints, [])
  })

test('a lost cancel is sent again, and so is a lost input', async () => {
  const [cancel, input] = [first('cancel'), first('input')]
  const { hub, dropper, attempts, engine } = await place((...of) => cancel(...of) || input(...of), forever)
  const attempt = engine.start(hub.fleet, spec())
  const id = attempt.spec.attempt_id
  await until('its start', () => attempt.reports.length === 1)
  hub.fleet.input(id, { type: 'prompt', input_id: 'one', text: 'go on' })
  const held = attempts.held.get(id)!
  await until('its input', () => attempt.reports.some((report) => report.type === 'input_taken'))
  hub.fleet.cancel(id, 'canceled')
  await until('its end', () => attempt.end !== undefined)
  assert.deepEqual([attempt.end?.outcome, held.inputs], ['canceled', ['one']])
  assert.deepEqual([dropper.lost, dropper.links], [['input', 'cancel'], 1])
})

test("a runner's rejection is known even if its frame was lost", async () => {
  const { hub, dropper, attempts, engine } = await place(first('rejected'), hello)
  attempts.rejectWith = 'not here'
  const attempt = engine.start(hub.fleet, spec())
  await until('its end', () => attempt.end !== undefined)
  assert.equal(attempt.end?.reason, 'rejected')
  assert.deepEqual([dropper.lost, dropper.links], [['rejected'], 1])
})

test('a runner that gets no welcome requests it over a new link', async () => {
  const { hub, dropper, engine } = await place(first('welcome'), hello)
  await until('a second link', () => dropper.links === 2)
  const attempt = engine.start(hub.fleet, spec())
  await until('its end', () => attempt.end !== undefined)
  assert.deepEqual([attempt.end?.outcome, dropper.lost, dropper.links], ['success', ['welcome'], 2])
})

test('a hub of a release that compares nothing gets nothing to compare', async () => {
  const seen: string[] = []
  const { hub, attempts, engine } = await place((_, frame) => {
    seen.push(frame.type)
    return frame.type === 'welcome' && { ...frame, progress: undefined }
  }, forever)
  const attempt = engine.start(hub.fleet, spec())
  await until('its start', () => attempt.reports.length === 1)
  await heartbeats(hub)
  hub.fleet.cancel(attempt.spec.attempt_id, 'canceled')
  await until('its release', () => attempts.released.length === 1)
  assert.ok(!seen.includes('progress'))
})

test('an idle link sends nothing but its pings', async () => {
  const seen: string[] = []
  const { hub } = await place((_, { type }) => seen.push(type) === 0, hello)
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  await heartbeats(hub)
  assert.deepEqual(seen, ['hello', 'welcome'])
})

/** Returns a generator of numbers from 0 to 1, which are the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function randomScript(random: () => number): Script {
  const chunks = Array.from({ length: 1 + Math.floor(random() * 20) }, () => ({
    stream: (random() < 0.7 ? 'stdout' : 'stderr') as StreamName,
    bytes: Buffer.alloc(Math.floor(random() ** 4 * 60_000) + 1, Math.floor(random() * 256)),
    pauseMs: random() < 0.5 ? Math.floor(random() * 15) : undefined,
  }))
  return { chunks, phases: Math.floor(random() * 4) }
}

test('no matter which frames are lost, doubled or late, every byte and report arrives once, and all ends', async () => {
  const property = fc.asyncProperty(fc.nat(), fc.constantFrom(0.05, 0.2, 0.4), async (seed, share) => {
    const random = numbers(seed)
    const hub = await HubSetup.open({ heartbeatMs: HEARTBEAT_MS })
    const dropper = await FrameDropper.open(
      () => hub.url,
      (_, { type }) => type !== 'hello' && type !== 'welcome' && random() < share,
    )
    const shuffler = await FrameShuffler.open(() => dropper.url, random)
    const engine = new EngineStandIn({ commitMs: 5, random })
    const attempts = new AttemptsStandIn(() => randomScript(random))
    const runner = openRunner(shuffler.url, attempts, {}, { heartbeatMs: HEARTBEAT_MS })
    hub.fleet.ready()
    const all = Array.from({ length: 6 }, () => engine.start(hub.fleet, spec()))
    try {
      await until('all have ended', () => all.every(({ end }) => end) && attempts.held.size === 0)
    } finally {
      runner.link.close()
      await runner.done
      await attempts.close()
      await shuffler.close()
      await dropper.close()
      await hub.close()
    }
    for (const attempt of all) {
      assert.equal(attempt.end?.outcome, 'success')
      for (const stream of ['stdout', 'stderr'] as const)
        assert.equal(attempt.sha256(stream), attempt.end?.streams?.[stream]?.sha256)
    }
    assert.deepEqual(attempts.begun.toSorted(), all.map(({ spec }) => `${spec.attempt_id}/1`).toSorted())
    assert.deepEqual(engine.complaints, [])
  })
  await fc.assert(property, { numRuns: 8, endOnFailure: true })
})
