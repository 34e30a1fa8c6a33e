import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { RunSummary, RunView } from '../../contract/run.ts'
import { RetryPlan } from '../../contract/runs/retry.ts'

const yaml = `version: v0.1
name: flow
env: {A: one}
steps:
  - {name: a, action: noop}
  - {name: b, action: noop}
  - {name: c, action: noop, when: '\${A} == "two"'}
`

test('a retry is planned, starts at a step, and is shown as part of a chain', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml })).json
  await hub.engine.done(run_id)
  const request = { from: 'b', run_anyway: ['c'] }
  const planned = await hub.call('POST', `/api/runs/${run_id}/retry-plan`, token, request)
  const plan = RetryPlan.parse(planned.json)
  assert.deepEqual([planned.status, plan.try, plan.taken_over, plan.again], [200, 2, 1, 2])
  assert.equal((await hub.call('GET', '/api/runs', token)).json.runs.length, 1)

  const begun = await hub.call('POST', `/api/runs/${run_id}/retry`, token, request)
  assert.equal(begun.status, 201, begun.text)
  const second = RunSummary.parse(begun.json)
  assert.deepEqual([second.first_run, second.try, second.tries], [run_id, 2, 2])
  await hub.engine.done(second.run_id)
  const view = RunView.parse((await hub.call('GET', `/api/runs/${second.run_id}`, token)).json)
  assert.deepEqual(
    view.steps.map(({ step, status, instances }) => [step, status, instances[0]?.attempts.length]),
    [
      ['a', 'success', 0],
      ['b', 'success', 1],
      ['c', 'success', 1],
    ],
  )
  const first = RunView.parse((await hub.call('GET', `/api/runs/${run_id}`, token)).json)
  assert.deepEqual([first.try, first.tries, first.retried_as], [1, 2, second.run_id])
  assert.deepEqual(
    first.chain?.map((link) => [link.run_id, link.try, link.status]),
    [
      [run_id, 1, 'success'],
      [second.run_id, 2, 'success'],
    ],
  )
  const latest = (await hub.call('GET', '/api/runs?latest=true', token)).json
  assert.deepEqual(
    latest.runs.map((run: RunSummary) => [run.run_id, run.try]),
    [[second.run_id, 2]],
  )
})

test("refuses a retry that makes no sense or is for another user's run, before anything begins", async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const other = await hub.user('bob')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml })).json
  await hub.engine.done(run_id)
  for (const path of ['retry', 'retry-plan']) {
    const address = `/api/runs/${run_id}/${path}`
    const refused = await hub.call('POST', address, token, { from: 'nowhere' })
    assert.deepEqual([refused.status, refused.json.error.code], [400, 'invalid_argument'])
    assert.match(refused.json.error.hint, /"a", "b", "c"/)
    assert.equal((await hub.call('POST', address, token, { hosts: [] })).status, 400)
    assert.equal((await hub.call('POST', address, other.token, {})).status, 404)
  }
  assert.equal((await hub.call('GET', '/api/runs', token)).json.runs.length, 1)
})

test('a try by another user appears in the chain only for an admin, and hides no run of the owner', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const admin = await hub.user('root', 'admin')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml })).json
  await hub.engine.done(run_id)
  const again = (await hub.call('POST', `/api/runs/${run_id}/retry`, admin.token, {})).json
  await hub.engine.done(again.run_id)
  const chainFor = async (of: string) => {
    const { chain, retried_as } = (await hub.call('GET', `/api/runs/${run_id}`, of)).json
    return [chain.map((link: { run_id: string }) => link.run_id), retried_as]
  }
  assert.deepEqual(await chainFor(admin.token), [[run_id, again.run_id], again.run_id])
  assert.deepEqual(await chainFor(token), [[run_id], undefined])
  const latest = async (of: string) =>
    (await hub.call('GET', '/api/runs?latest=true', of)).json.runs.map((run: RunSummary) => run.run_id)
  assert.deepEqual(await latest(token), [run_id])
  assert.deepEqual(await latest(admin.token), [again.run_id])
})

test('two retry requests with the same key start one retry', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml })).json
  await hub.engine.done(run_id)
  const retry = (key: string, body: object) =>
    hub.call('POST', `/api/runs/${run_id}/retry`, token, body, { 'idempotency-key': key })
  const both = await Promise.all([retry('k', { from: 'b' }), retry('k', { from: 'b' })])
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 201])
  assert.equal(both[0]!.json.run_id, both[1]!.json.run_id)
  assert.equal((await retry('k', { from: 'c' })).json.error.code, 'idempotency_mismatch')
  assert.equal((await retry('other', { from: 'nowhere' })).status, 400)
  assert.equal((await retry('other', { from: 'b' })).status, 201)
  assert.equal((await hub.call('GET', '/api/runs', token)).json.runs.length, 3)
})
