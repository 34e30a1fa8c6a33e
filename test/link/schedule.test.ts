import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { StreamName } from '../../src/contract/attempt.ts'
import { AttemptsStandIn, type HeldStandIn, type Script } from './attempts-stand-in.ts'
import { EngineStandIn } from './engine-stand-in.ts'
import { FrameShuffler } from './frame-shuffler.ts'
import { HubSetup, openRunner, spec, until } from './setup.ts'
import { TcpProxy } from './tcp-proxy.ts'

const ATTEMPTS = 6

const trouble = fc.record({
  kind: fc.constantFrom('cut', 'freeze', 'restart the hub', 'restart the runner', 'fail the store'),
  afterMs: fc.integer({ min: 0, max: 120 }),
})

/** Returns a generator of numbers from 0 to 1, which are the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function randomScript(random: () => number): Script {
  const chunks = Array.from({ length: 1 + Math.floor(random() * 30) }, () => ({
    stream: (random() < 0.7 ? 'stdout' : 'stderr') as StreamName,
    bytes: Buffer.from(Array.from({ length: Math.floor(random() ** 4 * 60_000) + 1 }, () => random() * 256)),
    pauseMs: random() < 0.5 ? Math.floor(random() * 25) : undefined,
  }))
  return { chunks, phases: Math.floor(random() * 4) }
}

test('whatever breaks, every byte and report arrives once and in order, and every attempt starts once', async () => {
  let shuffled = 0
  const property = fc.asyncProperty(fc.array(trouble, { maxLength: 8 }), fc.nat(), async (troubles, seed) => {
    const random = numbers(seed)
    const hub = await HubSetup.open({ heartbeatMs: 40 })
    const proxy = await TcpProxy.open(() => hub.port)
    const shuffler = await FrameShuffler.open(() => proxy.url, random)
    const engine = new EngineStandIn({ commitMs: 10, random })
    const attempts = new AttemptsStandIn(() => randomScript(random))
    const played = new Map<string, HeldStandIn>()
    const options = { heartbeatMs: 40, handshakeTimeoutMs: 200 }
    let runner = openRunner(shuffler.url, attempts, {}, options)
    hub.fleet.ready()
    const all = Array.from({ length: ATTEMPTS }, () => engine.start(hub.fleet, spec()))
    try {
      for (const { kind, afterMs } of troubles) {
        // Sleeps: troubles come at moments that fast-check chooses, each printed with its seed.
        await sleep(afterMs)
        for (const [id, held] of attempts.held) played.set(id, held)
        if (kind === 'cut') proxy.cut()
        else if (kind === 'freeze') {
          proxy.freeze()
          // Sleeps: each trouble has its own duration.
          await sleep(random() * 300)
          proxy.thaw()
        } else if (kind === 'restart the hub') {
          engine.forget()
          proxy.cut()
          await hub.fleet.close()
          hub.newFleet()
          engine.resume(hub.fleet)
          // Sleeps: each trouble has its own duration.
          await sleep(random() * 30)
          hub.fleet.ready()
        } else if (kind === 'restart the runner') {
          runner.link.close()
          await runner.done
          runner = openRunner(shuffler.url, attempts, {}, options)
        } else {
          engine.faults.failing = 0.5
          // Sleeps: each trouble has its own duration.
          await sleep(random() * 100)
          engine.faults.failing = 0
        }
      }
      await until('all have ended', () => {
        for (const [id, held] of attempts.held) played.set(id, held)
        return all.every((each) => each.end !== undefined) && attempts.held.size === 0
      })
    } finally {
      runner.link.close()
      await runner.done
      await attempts.close()
      await shuffler.close()
      await proxy.close()
      await hub.close()
    }
    for (const each of all) {
      assert.equal(each.end?.outcome, 'success')
      for (const stream of ['stdout', 'stderr'] as const)
        assert.equal(each.sha256(stream), each.end?.streams?.[stream]?.sha256)
      const made = played.get(each.spec.attempt_id)
      if (made) assert.deepEqual(each.reports, made.reports)
    }
    // The epoch is later if the runner went away before the attempt was sent.
    const begun = attempts.begun.map((each) => each.split('/')[0]!)
    assert.deepEqual(begun.toSorted(), all.map((each) => each.spec.attempt_id).toSorted())
    assert.deepEqual(engine.complaints, [])
    shuffled += shuffler.shuffled
  })
  await fc.assert(property, { numRuns: 8, endOnFailure: true })
  assert.ok(shuffled > 0)
})
