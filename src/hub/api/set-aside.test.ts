import assert from 'node:assert/strict'
import test from 'node:test'
import { eventually } from '../../../test/support/errand-command.ts'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'

const workflow = {
  version: 'v0.1',
  name: 'flow',
  steps: [
    { name: 'first', action: 'cmd.run', args: { cmd: 'hold' } },
    { name: 'second', action: 'cmd.run', args: { cmd: 'say hello' } },
  ],
}

test('a run that is set aside is reported, an admin can resume it, and its owner can cancel it', async (t) => {
  const hub = await testingHub(t)
  const boss = await hub.user('boss', 'admin')
  const ann = await hub.user('ann')
  const ids: string[] = []
  for (const _ of [1, 2]) ids.push((await hub.call('POST', '/api/runs', ann.token, { workflow })).json.run_id)
  const [goesOn, ends] = ids as [string, string]
  await eventually('both runs to reach their first step', () => hub.host.holding === 2)
  const { place } = hub.host
  hub.host.place = () => {
    throw new TypeError('place is broken')
  }
  hub.host.release()
  const get = async (runId: string) => (await hub.call('GET', `/api/runs/${runId}`, ann.token)).json
  for (const runId of ids)
    await eventually('the run to be set aside', async () => {
      const { status, set_aside } = await get(runId)
      return status === 'running' && set_aside?.why === 'place is broken'
    })
  hub.host.place = place

  const { runs } = (await hub.call('GET', '/api/runs', ann.token)).json
  assert.deepEqual(
    runs.map((run: { set_aside?: { why: string } }) => run.set_aside?.why),
    ['place is broken', 'place is broken'],
  )
  const facts = (await hub.call('GET', '/api/hub', boss.token)).json
  assert.equal(facts.runs_set_aside, 2)
  assert.deepEqual(facts.set_aside.map(({ run_id }: { run_id: string }) => run_id).toSorted(), ids.toSorted())
  assert.match((await hub.call('GET', '/metrics', boss.token)).text, /^errand_runs_set_aside 2$/m)
  assert.ok(hub.log.some((line) => line.includes(`Run ${goesOn} is set aside: place is broken`)))
  const input = await hub.call('POST', `/api/runs/${goesOn}/approve`, ann.token, { step: 'first' })
  assert.deepEqual([input.status, input.json.error.code], [409, 'run_set_aside'])

  const resume = (token: string) => hub.call('POST', `/api/runs/${goesOn}/resume`, token, {})
  assert.equal((await resume(ann.token)).status, 403)
  const resumed = await resume(boss.token)
  assert.deepEqual([resumed.status, resumed.json.set_aside], [200, undefined])
  await eventually('the first step of the resumed run', () => hub.host.holding === 1)
  hub.host.release()
  assert.equal((await hub.engine.done(goesOn)).status, 'success')
  assert.equal((await resume(boss.token)).json.error.code, 'run_ended')

  assert.equal((await hub.call('POST', `/api/runs/${ends}/cancel`, ann.token, {})).status, 202)
  const canceled = await get(ends)
  assert.deepEqual([canceled.status, canceled.set_aside, canceled.cancel.by], ['canceled', undefined, 'ann'])
  assert.match((await hub.call('GET', '/metrics', boss.token)).text, /^errand_runs_set_aside 0$/m)
})
