import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../test/support/hub/hub-fixture.ts'
import { ErrandClient } from './client.ts'

test('views are saved once, changed and removed, and failures are marked as seen', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const client = new ErrandClient({ url: hub.url, token })
  const view = { name: 'broken', filter: { status: 'failed' } }
  const { id, may_change } = await client.views.save(view)
  assert.ok(may_change)
  assert.equal((await client.views.save(view)).id, id)
  await assert.rejects(client.views.save({ ...view, filter: {} }), { code: 'conflict' })
  assert.equal((await client.views.change(id, { name: 'red' })).name, 'red')
  const { views } = await client.views.list({ shared: false })
  assert.deepEqual(
    views.map((one) => [one.name, one.filter]),
    [['red', { status: 'failed' }]],
  )
  await client.views.remove(id)
  assert.deepEqual(await client.views.list(), { views: [] })
  const { run_id } = await client.runs.create({ yaml: oneStep('fail') })
  await hub.engine.done(run_id)
  const failed = await client.views.failures({ limit: 1 })
  assert.deepEqual([failed.runs.map((run) => run.run_id), failed.more], [[run_id], false])
  await client.views.markSeen({ run_ids: [run_id] })
  assert.deepEqual((await client.views.failures()).runs, [])
})
