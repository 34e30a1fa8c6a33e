import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alteredStore } from '../../../test/support/altered-store.ts'
import { scriptedEngine, statusesOf, step, until } from '../../../test/support/scripted-engine.ts'
import { dyingStore } from '../../../test/support/simulated-world.ts'
import type { WorkflowFile } from '../../contract/workflow.ts'
import { MemoryRunStore } from '../../stores/runs/memory.ts'

const sub = (name: string, steps: WorkflowFile['steps'], more: object = {}, inputs = {}) =>
  step(name, {
    action: 'workflow.run',
    args: { inputs, workflow: { version: 'v0.1', name: `${name} inner`, steps, ...more } },
  })

test('a sub-workflow is a separate run: inputs go in, and its outputs become variables', async (t) => {
  const { play, engine, host } = scriptedEngine(t, ({ env, step }) =>
    step === 'work' ? { exports: { R: `${env.N}0` } } : 'success',
  )
  const outputs = { RESULT: 'r${R}' }
  const view = await play(
    [
      sub('child', [step('work')], { inputs: { N: { type: 'number' } }, outputs }, { N: '${M}' }),
      step('after'),
    ],
    {},
    { vars: { M: 4 }, owner: 'me' },
  )
  assert.deepEqual([view.status, ...statusesOf(view)], ['success', 'child: success', 'after: success'])
  assert.equal(host.begun.at(-1)?.env.RESULT, 'r40')
  const child = await engine.get(view.steps[0]!.child_run_ids![0]!)
  assert.deepEqual(
    [child?.status, child?.owner, child?.parent?.run_id, child?.parent?.depth],
    ['success', 'me', view.run_id, 1],
  )
})

test('a sub-workflow that fails or cannot start fails its step', async (t) => {
  const { play } = scriptedEngine(t, () => 'failed')
  const view = await play([sub('child', [step('work')]), step('after')])
  assert.deepEqual(statusesOf(view), ['child: failed child_failed', 'after: skipped upstream'])
  assert.match(view.message ?? '', /Step "child > work" failed/)
  const missing = await play(
    [sub('child', [step('work')], { inputs: { N: { type: 'number' } } }, { N: '${M}' })],
    {},
    { vars: { M: 'x' } },
  )
  assert.equal(missing.reason, 'child_failed')
  assert.match(missing.message ?? '', /input N must be a number/)
})

test('a cancellation reaches down to the attempts, and the parent waits for their end', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  host.obeys = false
  const runId = await submit([sub('outer', [sub('inner', [step('work')])])])
  await until(() => host.held.size === 1)
  await engine.cancel(runId)
  await until(() => host.canceled.length === 1)
  assert.equal((await engine.get(runId))?.status, 'running')
  await host.endOf('work', { outcome: 'canceled' })
  assert.equal((await engine.done(runId)).status, 'canceled')
  const { runs } = await engine.list({ limit: 10 })
  assert.deepEqual(
    runs.map(({ status }) => status),
    ['canceled', 'canceled', 'canceled'],
  )
})

test('a sub-workflow that is canceled by itself cancels its step', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  const runId = await submit([sub('child', [step('work')])])
  await until(() => host.held.size === 1)
  const [childId] = (await engine.view(runId)).steps[0]!.child_run_ids!
  await engine.cancel(childId!)
  await engine.done(runId)
  assert.deepEqual(statusesOf(await engine.view(runId)), ['child: canceled canceled'])
})

test('a parent that is canceled before its child exists leaves no running child', async (t) => {
  const memoryStore = new MemoryRunStore()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  let isChecked = false
  const store = alteredStore(memoryStore, {
    // A child's id is looked up before it is created.
    get: async (id) => {
      const record = await memoryStore.get(id)
      isChecked ||= record === undefined
      if (!record) await released
      return record
    },
  })
  const { submit, engine, host } = scriptedEngine(t, () => 'hold', { store })
  const runId = await submit([sub('child', [step('work')])])
  await until(() => isChecked)
  await engine.cancel(runId)
  release()
  assert.equal((await engine.done(runId)).status, 'canceled')
  assert.deepEqual(host.ran, [])
})

test('a parent that ends with an internal error cancels its children', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold', { onStoreFailure: 'abandon' })
  const runId = await submit([
    { ...sub('child', [step('work')]), needs: [] },
    step('a', { needs: [] }),
    step('b', { needs: ['a'] }),
  ])
  await until(() => host.held.size === 2)
  const place = host.place.bind(host)
  host.place = (spec) => {
    if (spec.step === 'b') throw new Error('place is broken')
    return place(spec)
  }
  await host.endOf('a')
  assert.equal((await engine.done(runId)).reason, 'internal')
  const [childId] = (await engine.view(runId)).steps[0]!.child_run_ids!
  assert.equal((await engine.done(childId!)).status, 'canceled')
})

test('sub-workflows can be nested ten deep, and no deeper', async (t) => {
  const { play, engine } = scriptedEngine(t)
  const nested = (depth: number): WorkflowFile['steps'][number] =>
    depth === 0 ? step('work') : sub('child', [nested(depth - 1)])
  assert.equal((await play([nested(10)])).status, 'success')
  const deep = await play([nested(11)]).catch((error) => error)
  if (deep instanceof Error) assert.match(deep.message, /deep/)
  else assert.equal(deep.status, 'failed')
  assert.ok((await engine.list({ limit: 100 })).runs.every(({ status }) => status !== 'running'))
})

test('killed after any commit, parent and child resume and end once', async (t) => {
  const steps = [
    sub('child', [step('one'), step('two')], { outputs: { R: 'done' } }),
    step('after', { env: { SEEN: '${R}' } }),
  ]
  for (let writes = 1; writes < 30; writes++) {
    const store = new MemoryRunStore()
    const dying = dyingStore(store, writes)
    const world = scriptedEngine(t, () => 'hold', { store: dying, dies: true })
    await world.submit(steps, {}, { run_id: 'r' })
    const work = async (ended: () => boolean | Promise<boolean>) => {
      for (let idle = 0; idle < 60 && !(await ended()); idle++) {
        for (const id of [...world.host.held.keys()]) void world.host.end(id, 'success').catch(() => {})
        await new Promise(setImmediate)
      }
    }
    await work(() => dying.died())
    world.host.held.clear()
    const engine = world.again({ store })
    await engine.resume()
    await work(async () => (await store.get('r'))?.status === 'success')
    const record = await store.get('r')
    assert.equal(record?.status, 'success', `killed after ${writes} writes`)
    const { runs } = await store.list({ limit: 10 })
    assert.deepEqual(
      runs.map(({ status }) => status),
      ['success', 'success'],
      `killed after ${writes} writes`,
    )
  }
})

test('a cancellation committed before a crash still reaches the child, whichever run resumes first', async (t) => {
  const { submit, engine, host, store, again } = scriptedEngine(t, () => 'hold')
  host.obeys = false
  const runId = await submit([sub('child', [step('work')])])
  await until(() => host.held.size === 1)
  const [childId] = (await engine.view(runId)).steps[0]!.child_run_ids!
  await engine.close()
  const record = (await store.get(runId))!
  const time = record.created_at
  await store.update(runId, {
    events: [{ seq: record.last_seq + 1, time, type: 'run.cancel_requested', force: false }],
  })
  host.obeys = true
  const after = again()
  await after.resume()
  assert.equal((await after.done(runId)).status, 'canceled')
  assert.equal((await store.get(childId!))?.status, 'canceled')
})
