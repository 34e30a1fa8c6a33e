import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { GB, key, TestingDispatch } from '../../../test/support/hub/dispatch-fixture.ts'

const chapter = fc.record({
  what: fc.constantFrom(
    ...(['submit', 'submit', 'submit', 'submit', 'end', 'end', 'cancel', 'begun', 'begun', 'again'] as const),
    ...(['connect', 'connect', 'disconnect', 'away', 'stop', 'drain', 'resume', 'commit'] as const),
  ),
  which: fc.nat(),
  user: fc.constantFrom('ann', 'bob', 'cid'),
  cpus: fc.constantFrom(undefined, 0.1, 0.7, 2, 4),
  memory_bytes: fc.constantFrom(undefined, GB, 3 * GB),
  run: fc.constantFrom('run_a', 'run_b', undefined),
  containers: fc.constantFrom(undefined, undefined, true),
  overcommit: fc.constantFrom(undefined, 1, 3),
})
const withEngine = { containers: { engine: 'docker', version: '0' } }
type Chapter = typeof chapter extends fc.Arbitrary<infer T> ? T : never

test('however runners come, go, drain and shrink, everything that fits is placed, and nothing twice', async () => {
  const story = fc.array(chapter, { maxLength: 60, size: 'max' })
  await fc.assert(
    fc.asyncProperty(story, async (chapters) => {
      const world = new TestingDispatch({ patience: 2 })
      try {
        for (const [index, each] of chapters.entries()) {
          if (each.what === 'commit') await setImmediate()
          else happen(world, index, each)
          assertSound(world)
        }
        await assertAllEnds(world)
      } finally {
        world.close()
      }
    }),
    { numRuns: 1000 },
  )
})

function happen(world: TestingDispatch, index: number, chapter: Chapter): void {
  const { what, which, user, cpus, memory_bytes, run, containers, overcommit } = chapter
  const id = `r${which % 3}`
  const runner = world.runners.get(key(id))
  const list = what === 'cancel' ? world.waiting : world.running
  const one = list[which % (list.length || 1)]
  if (what === 'submit') {
    world.submit(
      user,
      { cpus, memory_bytes, containers },
      run && { run_id: run, attempt_id: `${run}.${index}` },
    )
  } else if (what === 'connect') {
    // With less than it holds it would exceed what it offers, which is allowed.
    if (runner && runner.held.size > 0) return
    if (runner) runner.draining = false
    const bots = { cpu_overcommit: overcommit }
    world.connect(id, { slots: 1 + (which % 3), cpus: 1 + (which % 4), ...withEngine, bots })
  } else if (what === 'begun' || what === 'again') {
    if (one?.stage.type === 'placed' && !one.begun) world.dispatch[what](one)
  } else if (what === 'end' || what === 'cancel') {
    if (one) world.end(one)
  } else if (!runner) {
    return
  } else if (what === 'disconnect' || what === 'away') {
    world.disconnect(id, what === 'away')
  } else {
    if (what === 'stop') runner.draining = runner.link !== undefined
    else runner.drained = what === 'drain'
    world.dispatch.rosterChanged(runner)
  }
}

function assertSound(world: TestingDispatch): void {
  assert.deepEqual(world.complaints(), [])
  for (const { stage, queue, spec } of world.assignments)
    assert.equal(queue !== undefined, stage.type === 'waiting', `${spec.attempt_id} is ${stage.type}`)
  for (const waiting of world.waiting) assert.ok(!world.running.includes(waiting))
}

/** Connects all runners, and checks that nothing waits forever and no room stays reserved for finished attempts. */
async function assertAllEnds(world: TestingDispatch): Promise<void> {
  await setImmediate()
  for (const runner of world.runners.values()) [runner.drained, runner.draining] = [false, false]
  for (const id of ['r0', 'r1', 'r2']) world.connect(id, { slots: 3, cpus: 4, ...withEngine })
  while (world.running.length > 0) {
    world.end(world.running[0]!)
    await setImmediate()
  }
  assert.deepEqual(world.waiting, [])
  for (const { used, freeCpus, cpus, reservedFor } of world.runners.values())
    assert.deepEqual([used, freeCpus, reservedFor], [0, cpus, undefined])
}
