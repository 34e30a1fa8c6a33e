import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'

const specOf = (number: number, more: Partial<AttemptSpec> = {}) =>
  ({
    ...{ attempt_id: `run_1.${number}`, run_id: 'run_1', workflow_name: 'train', step: 'fit' },
    ...{ host: 'local', owner: 'ann', requires: { group: 'gpu' } },
    ...more,
  }) as AttemptSpec

async function hubThatWaits(t: Parameters<typeof testingHub>[0]) {
  const busy = 'runner "gpu-1" of group "gpu" is busy (4 of 4 slots)'
  const waiting = [
    { spec: specOf(1), why: busy },
    { spec: specOf(2), why: busy },
    { spec: specOf(3, { run_id: 'run_2', owner: 'bob', step: 'secret-step' }), why: busy },
    {
      spec: specOf(4, { run_id: 'run_3', requires: { runner: 'box' } }),
      why: 'runner "box" is not connected',
    },
  ]
  const attempts = () => [specOf(5), specOf(6), specOf(7, { owner: 'bob', step: 'secret-step' })]
  const hub = await testingHub(t, {
    machines: { waiting: (tenant) => (tenant === 'default' ? waiting : []), attempts },
  })
  const [ann, boss, far] = [
    await hub.user('ann'),
    await hub.user('boss', 'admin'),
    await hub.user('far', 'admin', 'elsewhere'),
  ]
  return { hub, ann, boss, far, busy }
}

test("reports what waits and what runners do by group and step; for other users' runs only the numbers", async (t) => {
  const { hub, ann, boss, far, busy } = await hubThatWaits(t)
  const waits = async (token: string, query = '') =>
    (await hub.call('GET', `/api/runner-waits${query}`, token)).json.waits
  const own = { run_id: 'run_1', workflow_name: 'train', step: 'fit', attempts: 2, why: busy }
  const [named, gpu] = await waits(ann.token)
  assert.deepEqual([named.group, named.runs, named.steps[0].run_id], [undefined, 1, 'run_3'])
  assert.deepEqual(gpu, { group: 'gpu', runs: 2, attempts: 3, steps: [own] })
  assert.equal((await waits(boss.token, '?group=gpu'))[0].steps.length, 2)
  assert.deepEqual(await waits(far.token), [])
  const doing = async (token: string) => (await hub.call('GET', '/api/runners', token)).json[0]?.doing
  const fit = { run_id: 'run_1', workflow_name: 'train', step: 'fit', attempts: 2 }
  assert.deepEqual(await doing(ann.token), [fit])
  assert.deepEqual(await doing(boss.token), [fit, { ...fit, step: 'secret-step', attempts: 1 }])
  assert.equal(await doing(far.token), undefined)

  const events = await fetch(`${hub.url}/api/events?topics=runners&access_token=${ann.token}`)
  const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader()
  let body = ''
  while (!body.includes('event: waits')) body += (await reader.read()).value
  await reader.cancel()
  assert.ok(body.includes('event: runners') && !body.includes('secret-step'))
})

test('an admin creates, renames and deletes groups; deleting a group in use is refused, with its users', async (t) => {
  const { hub, ann, boss, far } = await hubThatWaits(t)
  const call = (method: string, path: string, token = boss.token, body?: unknown) =>
    hub.call(method, `/api/runner-groups${path}`, token, body)
  const names = async (token: string) =>
    (await call('GET', '', token)).json.groups.map((group: { name: string }) => group.name)
  assert.deepEqual(await names(boss.token), ['default', 'gpu'])
  assert.deepEqual(await names(far.token), ['default'])
  assert.equal((await call('POST', '', ann.token, { name: 'arm' })).status, 403)
  const made = await call('POST', '', boss.token, { name: 'arm' })
  assert.deepEqual([made.status, made.json.made, made.json.created_by], [201, true, 'boss'])
  for (const name of ['arm', 'default'])
    assert.equal((await call('POST', '', boss.token, { name })).status, 409, name)
  assert.equal((await call('POST', '', boss.token, { name: 'a\nb' })).status, 400)
  assert.deepEqual(await names(far.token), ['default'])
  for (const method of ['PATCH', 'DELETE']) {
    const body = method === 'PATCH' ? { name: 'mine' } : undefined
    assert.equal((await call(method, '/arm', far.token, body)).status, 404, method)
    assert.equal((await call(method, '/arm', ann.token, body)).status, 403, method)
  }
  assert.equal((await call('PATCH', '/arm', boss.token, { name: 'gpu' })).status, 409)
  assert.equal((await call('PATCH', '/arm', boss.token, { name: 'arm64' })).json.name, 'arm64')
  const enrol = await hub.call('POST', '/api/runners/enrollments', boss.token, { group: 'arm64' })
  const refused = await call('DELETE', '/arm64')
  assert.equal(refused.status, 409)
  assert.match(refused.json.error.message, /in use: 1 token\./)
  assert.equal((await call('GET', '?made=true', ann.token)).json.groups[0].tokens.length, 0)
  assert.equal((await hub.call('DELETE', `/api/tokens/${enrol.json.id}`, boss.token)).status, 204)
  assert.equal((await call('DELETE', '/arm64')).status, 204)
  assert.deepEqual(await names(boss.token), ['default', 'gpu'])
  for (const [name, status] of [
    ['gpu', 409],
    ['default', 409],
    ['arm64', 404],
  ] as const)
    assert.equal((await call('DELETE', `/${name}`)).status, status, name)
  // Two concurrent changes are both stored.
  await Promise.all(['one', 'two', 'three'].map((name) => call('POST', '', boss.token, { name })))
  assert.deepEqual(await names(boss.token), ['default', 'gpu', 'one', 'three', 'two'])
})
