import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { alteredStore } from '../../test/support/altered-store.ts'
import { scriptedEngine, step, until } from '../../test/support/scripted-engine.ts'
import type { Script } from '../../test/support/scripted-host.ts'
import { ErrandError } from '../contract/errors.ts'
import { MemoryRunStore } from '../stores/runs/memory.ts'
import type { EngineOptions } from './api.ts'

/** Makes an engine whose store fails with `failing.with`, if that is set. */
function failingWorld(t: TestContext, script: () => Script, options: Partial<EngineOptions> = {}) {
  const stored = new MemoryRunStore()
  const failing: { with?: Error; times: number } = { times: 0 }
  const failed = () => {
    if (failing.with) failing.times++
    return failing.with
  }
  const store = alteredStore(stored, {
    create: async (...args) => {
      const error = failed()
      if (error) throw error
      await stored.create(...args)
    },
    update: async (...args) => {
      const error = failed()
      if (error) throw error
      await stored.update(...args)
    },
  })
  return { failing, ...scriptedEngine(t, script, { store, ...options }) }
}

const full = new ErrandError('store_failed', 'The disk is full.')

test('refuses a run that cannot be created, leaves nothing, and releases what was placed', async (t) => {
  const { failing, submit, engine, host } = failingWorld(t, () => 'success')
  failing.with = full
  const more = { concurrency: { group: 'g' } }
  await assert.rejects(submit([step('a')], more, { run_id: 'r' }), { code: 'store_failed' })
  assert.deepEqual([host.placed.size, host.ran, await engine.get('r')], [0, [], undefined])
  await assert.rejects(engine.done('r'), { code: 'run_not_found' })
  failing.with = undefined
  await submit([step('a')], more, { run_id: 'r' })
  assert.equal((await engine.done('r')).status, 'success')
})

test('nothing moves while the store fails, and nothing is lost once it works again', async (t) => {
  const reported: string[] = []
  const { failing, submit, engine, host, events } = failingWorld(t, () => 'hold', {
    log: (message) => reported.push(message),
  })
  const runId = await submit([step('a'), step('b')])
  failing.with = full
  const ended = host.endOf('a', { outcome: 'success', exports: { V: '1' }, writes: 'hello\n' })
  await until(() => failing.times === 2)
  assert.deepEqual(host.ran, ['a'])
  assert.match(reported[0]!, /events cannot be stored \(try 1\): The disk is full/)
  failing.with = undefined
  await ended
  await until(() => host.ran.includes('b'))
  assert.equal(host.of('b').spec.env.V, '1')
  await host.endOf('b')
  assert.equal((await engine.done(runId)).status, 'success')
  const log = await events(runId)
  assert.deepEqual(
    log.map(({ seq }) => seq),
    log.map((_, index) => index + 1),
  )
})

test('an engine that aborts on failure ends the processes of the run, and waiting for it fails', async (t) => {
  const { failing, submit, engine, host } = failingWorld(t, () => 'hold', { onStoreFailure: 'abandon' })
  host.obeys = false
  const runId = await submit([step('a', { needs: [] }), step('b', { needs: [] })])
  const done = engine.done(runId)
  done.catch(() => {})
  failing.with = full
  await assert.rejects(host.endOf('a'), { code: 'store_failed' })
  await assert.rejects(done, { code: 'store_failed' })
  assert.deepEqual(host.canceled, [{ id: `${runId}.2`, reason: 'canceled', force: true }])
  // Its host releases the attempt: reports for a run that was given up are dropped.
  await host.endOf('b', { writes: 'hello\n' })
  assert.equal((await engine.get(runId))?.status, 'running')
  await assert.rejects(engine.done(runId), { code: 'store_failed' })
  await assert.rejects(engine.cancel(runId), { code: 'unavailable' })
})

test('a run with a foreign write is set aside, its group continues, and it resumes from its log', async (t) => {
  const { submit, engine, host, store, events } = failingWorld(t, () => 'hold')
  const group = { concurrency: { group: 'g' } }
  const first = await submit([step('a'), step('c')], group)
  const second = await submit([step('b')], group)
  const seq = (await store.get(first))!.last_seq + 1
  const share = { user: 'ann', can: 'watch', by: 'root' } as const
  await store.update(first, {
    events: [{ seq, time: new Date().toISOString(), type: 'run.shared', ...share }],
  })
  await assert.rejects(host.endOf('a'), { code: 'run_set_aside' })
  await until(async () => (await engine.get(first))?.set_aside !== undefined)
  assert.deepEqual(engine.setAside(), [first])
  assert.match((await engine.get(first))!.set_aside!.why, /expects event \d+ next, but got/)
  await until(() => host.ran.includes('b'))
  await host.endOf('b')
  assert.equal((await engine.done(second)).status, 'success')
  await engine.resumeRun(first)
  await host.endOf('a')
  await until(() => host.ran.includes('c'))
  await host.endOf('c')
  assert.equal((await engine.done(first)).status, 'success')
  assert.deepEqual(
    (await events(first)).map(({ seq }) => seq),
    (await events(first)).map((_, index) => index + 1),
  )
})

test('a run that something else has ended is over here too, and its machines learn of that', async (t) => {
  const { submit, engine, host, store } = failingWorld(t, () => 'hold')
  const runId = await submit([step('a')])
  const done = engine.done(runId)
  await store.markInterrupted('Ended by hand.', [runId])
  await assert.rejects(host.endOf('a'), { code: 'run_set_aside' })
  assert.equal((await done).status, 'interrupted')
  await until(() => host.endedRuns.includes(runId))
  assert.deepEqual(engine.setAside(), [])
})

test('closing does not wait for a store that fails', async (t) => {
  const { failing, submit, engine, host } = failingWorld(t, () => 'hold')
  const runId = await submit([step('a')])
  failing.with = full
  const ended = assert.rejects(host.endOf('a'))
  await until(() => failing.times > 0)
  await engine.close()
  await ended
  await assert.rejects(engine.done(runId), { code: 'unavailable' })
})
