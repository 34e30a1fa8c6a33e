import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../../test/support/hub/hub-fixture.ts'

const repo_url = 'https://git.example/shop/web'

async function pooling(t: TestContext, options: Parameters<typeof testingHub>[1] = {}) {
  const hub = await testingHub(t, options)
  const [ann, bob] = [await hub.user('ann'), await hub.user('bob')]
  const [far, boss] = [await hub.user('far', 'admin', 'twins'), await hub.user('boss', 'admin')]
  const allocate = (more: object = {}, token = ann.token) =>
    hub.call('POST', '/api/pool/slots/allocate', token, { repo_url, required_by: '7', ...more })
  const slot = (id: string, what = '', { token = ann.token, fence = '', body = {} } = {}) =>
    what === ''
      ? hub.call('GET', `/api/pool/slots/${id}`, token)
      : hub.call(
          'POST',
          `/api/pool/slots/${id}/${what}`,
          token,
          body,
          fence === '' ? {} : { 'if-match': fence },
        )
  return { ...hub, asks: hub.host.queries, ann, bob, far, boss, allocate, slot }
}

test('a slot is handed out in the format of older systems, to one holder, until it is released', async (t) => {
  const { asks, allocate, slot, call } = await pooling(t)
  assert.deepEqual((await call('GET', '/api/pool/health')).json, { status: 'ok' })
  // Two requests at once from the same holder get one slot.
  const [first, again] = await Promise.all([allocate(), allocate()])
  assert.deepEqual([first.status, again.json], [200, first.json])
  const { slot_id, slot_path, runner, fence } = first.json
  assert.deepEqual([slot_path, runner, asks.slots.size], [`/slots/${slot_id}`, 'runner-001', 1])
  const view = (await slot(slot_id)).json
  assert.deepEqual([view.state, view.held_by, view.repo_url], ['leased', '7', repo_url])

  const full = await allocate({ required_by: '8', timeout_seconds: 0 })
  assert.deepEqual([full.status, full.json.error.code], [503, 'no_slot'])
  assert.ok(Number(full.headers.get('retry-after')) > 0)
  const nobody = await allocate({ required_by: '8', timeout_seconds: 0, runner: 'gone' })
  assert.match(nobody.json.error.message, /"gone" is not connected/)

  assert.equal((await slot(slot_id, 'release', { fence: 'another' })).status, 409)
  assert.equal((await slot(slot_id)).json.state, 'leased')
  for (const etag of ['', `"${fence}"`])
    assert.equal((await slot(slot_id, 'release', { fence: etag })).status, 200)
  assert.deepEqual([(await slot(slot_id)).json.state, asks.slots.size], ['free', 0])
  assert.equal((await slot('slot_never', 'release')).status, 404)

  // A request that waits gets the slot once it is free.
  const next = await allocate({ required_by: '8' })
  const waiting = allocate({ required_by: '9', timeout_seconds: 60 })
  await slot(next.json.slot_id, 'release')
  // The first release names an old lease, and the slot has a new one now: nothing is freed.
  assert.equal((await slot(slot_id, 'release')).status, 200)
  const last = (await waiting).json.slot_id
  assert.deepEqual([...asks.slots.keys()], [last])
  assert.equal(new Set([slot_id, next.json.slot_id, last]).size, 3)
})

test('a lease belongs to its tenant and user, and ends when its runner says so', async (t) => {
  const { asks, allocate, slot, bob, far, boss } = await pooling(t)
  asks.mostSlots = 10
  const [anns, bobs, fars] = [await allocate(), await allocate({}, bob.token), await allocate({}, far.token)]
  assert.equal(new Set([anns, bobs, fars].map(({ json }) => json.slot_id)).size, 3)
  const { slot_id, lease_expires_at } = anns.json
  for (const { token } of [bob, far])
    for (const what of ['', 'release', 'renew'])
      assert.equal((await slot(slot_id, what, { token })).status, 404)
  assert.equal((await slot(slot_id, '', { token: boss.token })).status, 200)

  const renewed = await slot(slot_id, 'renew', { body: { lease_seconds: 7200 } })
  assert.ok(renewed.json.lease_expires_at > lease_expires_at)
  // The runner is away, so nobody knows whether it holds the slot.
  asks.away.add('runner-001')
  assert.equal((await slot(slot_id)).json.state, 'leased')
  assert.equal((await slot(slot_id, 'renew')).status, 503)
  asks.away.clear()
  asks.slots.delete(slot_id)
  assert.equal((await slot(slot_id)).json.state, 'free')
  assert.equal((await slot(slot_id, 'renew')).status, 409)
  assert.notEqual((await allocate()).json.slot_id, slot_id)
})

test('a restarted hub still knows the leases', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'errand-pool-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const stored = { data, database: join(data, 'errand.db') }
  const before = await pooling(t, stored)
  const { slot_id, fence } = (await before.allocate()).json
  const { token } = before.ann
  await before.close()
  const after = await testingHub(t, stored)
  for (const [id, runner] of before.asks.slots) after.host.queries.slots.set(id, runner)
  const body = { repo_url, required_by: '7' }
  const again = await after.call('POST', '/api/pool/slots/allocate', token, body)
  assert.deepEqual([again.json.slot_id, again.json.fence], [slot_id, fence])
})

test('limits how many slots a user can hold', async (t) => {
  const { asks, allocate, slot, bob } = await pooling(t)
  asks.mostSlots = 100
  const held = await Promise.all(Array.from({ length: 32 }, (_, n) => allocate({ required_by: `${n}` })))
  const more = await allocate({ required_by: 'more' })
  assert.deepEqual([more.status, more.json.error.code], [409, 'quota_exceeded'])
  assert.equal((await allocate({ required_by: '5' })).json.slot_id, held[5]!.json.slot_id)
  assert.equal((await allocate({}, bob.token)).status, 200)
  await slot(held[0]!.json.slot_id, 'release')
  assert.equal((await allocate({ required_by: 'more' })).status, 200)
})

test('reports what a runner says about a repository, and asks no other runner', async (t) => {
  const { asks, allocate } = await pooling(t)
  for (const body of [{ repo_url: '' }, { required_by: undefined }, { lease_seconds: 0 }])
    assert.equal((await allocate(body)).json.error.code, 'bad_request')
  asks.repositories = ['https://git.example/other']
  const refused = await allocate()
  assert.deepEqual([refused.status, refused.json.error.code], [404, 'repo_not_found'])
})
