import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../test/support/hub/hub-fixture.ts'
import { ErrandClient } from './client.ts'

test("a run is shared and unshared, and the hub's refusals become errors", async (t) => {
  const hub = await testingHub(t)
  const client = async (name: string) =>
    new ErrandClient({ url: hub.url, token: (await hub.user(name)).token })
  const [ann, bob] = [await client('ann'), await client('bob')]
  const { run_id } = await ann.runs.create({ yaml: oneStep('hold') })
  await assert.rejects(bob.sessions.shares(run_id), { code: 'run_not_found' })
  const { shares } = await ann.sessions.share(run_id, { user: 'bob' })
  assert.deepEqual([shares[0]?.user, shares[0]?.can, shares[0]?.by], ['bob', 'watch', 'ann'])
  assert.deepEqual(await bob.sessions.shares(run_id), await ann.sessions.shares(run_id))
  assert.equal((await bob.runs.list({ shared: 'true' })).runs[0]?.run_id, run_id)
  await assert.rejects(bob.runs.cancel(run_id), { code: 'forbidden' })
  assert.deepEqual((await ann.sessions.unshare(run_id, { user: 'bob' })).shares, [])
  await assert.rejects(ann.sessions.unshare(run_id, { user: 'bob' }), { code: 'not_found' })
})
