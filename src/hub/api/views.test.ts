import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { MOST_VIEWS } from '../../contract/runs/saved-views.ts'

test('a view belongs to its user or to the whole tenant; its creator and admins can change it', async (t) => {
  const hub = await testingHub(t)
  const [ann, bob, boss] = [await hub.user('ann'), await hub.user('bob'), await hub.user('boss', 'admin')]
  const eve = await hub.user('eve', 'admin', 'elsewhere')
  const save = (token: string, body: object) => hub.call('POST', '/api/views', token, body)
  const names = async (token: string, query = '') =>
    (await hub.call('GET', `/api/views${query}`, token)).json.views.map((one: { name: string }) => one.name)
  const filter = { status: 'failed', 'input.region': 'eu', since: '24h' }
  const own = await save(ann.token, { name: 'mine', filter })
  const shared = await save(ann.token, { name: 'red', filter, shared: true })
  assert.deepEqual([own.status, shared.status], [201, 201])
  assert.equal((await save(ann.token, { name: 'red', filter, shared: true })).json.id, shared.json.id)
  assert.deepEqual(await names(ann.token), ['mine', 'red'])
  assert.deepEqual(await names(ann.token, '?shared=false'), ['mine'])
  assert.deepEqual(await names(bob.token), ['red'])
  assert.deepEqual(await names(eve.token), [])
  const taken = await save(bob.token, { name: 'RED', filter: {}, shared: true })
  assert.deepEqual([taken.status, taken.json.error.code], [409, 'conflict'])
  assert.equal((await save(bob.token, { name: 'red', filter: {} })).status, 201)
  assert.equal((await save(eve.token, { name: 'red', filter: {}, shared: true })).status, 201)

  const at = (id: string) => `/api/views/${id}`
  const patch = (token: string, id: string, body: object) => hub.call('PATCH', at(id), token, body)
  const refused = await patch(bob.token, shared.json.id, { name: 'x' })
  assert.deepEqual([refused.status, refused.json.error.code], [403, 'forbidden'])
  assert.match(refused.json.error.hint, /ann or an admin/)
  assert.equal((await patch(bob.token, own.json.id, { name: 'x' })).status, 404)
  assert.equal((await patch(eve.token, shared.json.id, { name: 'x' })).status, 404)
  assert.equal((await hub.call('DELETE', at(shared.json.id), eve.token)).status, 404)
  const renamed = await patch(boss.token, shared.json.id, { name: 'broken' })
  assert.deepEqual([renamed.json.name, renamed.json.owner, renamed.json.filter], ['broken', 'ann', filter])
  assert.equal((await patch(ann.token, shared.json.id, { shared: false })).status, 200)
  assert.deepEqual(await names(bob.token), ['red'])
  assert.equal((await hub.call('DELETE', at(shared.json.id), ann.token)).status, 204)
  assert.deepEqual(await names(ann.token), ['mine'])

  for (const body of [
    { name: 'x', filter: { colour: 'red' } },
    { name: 'x', filter: { status: '' } },
    { name: '\u202e', filter: {} },
    { name: 'x' },
  ])
    assert.equal((await save(ann.token, body)).json.error.code, 'bad_request')
  for (let index = 1; index < MOST_VIEWS; index++) await save(ann.token, { name: `v${index}`, filter: {} })
  assert.equal((await save(ann.token, { name: 'one more', filter: {} })).json.error.code, 'quota_exceeded')
})

test("failures since the last look are the user's own latest tries, until each one or all were seen", async (t) => {
  const hub = await testingHub(t)
  const [ann, boss] = [await hub.user('ann'), await hub.user('boss', 'admin')]
  const run = async (cmd: string, token = ann.token) => {
    const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep(cmd) })).json
    await hub.engine.done(run_id)
    return run_id as string
  }
  const failures = async (token = ann.token, query = '') =>
    (await hub.call('GET', `/api/me/failures${query}`, token)).json
  const ids = async (token = ann.token) =>
    (await failures(token)).runs.map((one: { run_id: string }) => one.run_id)
  const seen = (body: object, token = ann.token) => hub.call('POST', '/api/me/seen', token, body)
  const first = await run('fail')
  await run('say hi')
  const second = await run('fail')
  assert.deepEqual(await ids(), [second, first])
  assert.deepEqual(await ids(boss.token), [])
  assert.deepEqual((await failures(ann.token, '?limit=1')).more, true)
  await seen({ run_ids: [first] }, boss.token)
  await seen({ run_ids: [first, 'of-nobody'] })
  assert.deepEqual(await ids(), [second])
  const again = (await hub.call('POST', `/api/runs/${second}/retry`, ann.token, {})).json.run_id
  await hub.engine.done(again)
  assert.deepEqual(await ids(), [again])
  await seen({ run_ids: [again] })
  assert.deepEqual(await ids(), [])
  // One time now replaces all earlier marks, and none of them comes back.
  const third = await run('fail')
  assert.deepEqual(await ids(), [third])
  const { json } = await seen({ until: '2999-01-01T00:00:00Z' })
  assert.ok(Math.abs(Date.parse(json.since) - Date.now()) < 60_000)
  assert.deepEqual(await ids(), [])
  const refusals = [{}, { until: 'soon' }, { until: '2026-01-01', run_ids: [first] }]
  for (const body of refusals) assert.equal((await seen(body)).json.error.code, 'bad_request')
})
