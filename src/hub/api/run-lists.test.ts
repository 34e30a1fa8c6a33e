import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'

const withInputs = `${oneStep('say hi')}inputs:\n  region: {}\n`

async function hubWithRuns(t: test.TestContext) {
  const hub = await testingHub(t)
  const [ann, bob] = [await hub.user('ann'), await hub.user('bob')]
  const [boss, eve] = [await hub.user('boss', 'admin'), await hub.user('eve', 'admin', 'elsewhere')]
  const create = async (yaml: string, owner: string, vars: Record<string, string> = {}) =>
    (await hub.engine.submit({ yaml, vars, owner, tenant: owner === 'eve' ? 'elsewhere' : 'default' })).run_id
  const counts = async (token: string, query = '') =>
    (await hub.call('GET', `/api/run-counts${query}`, token)).json
  const bulk = (token: string, body: object, key?: string) =>
    hub.call('POST', '/api/runs/bulk', token, body, key === undefined ? {} : { 'idempotency-key': key })
  return { ...hub, ann, bob, boss, eve, create, counts, bulk }
}

test('a filter by inputs and its counts show each user only their own runs, and rows show the inputs', async (t) => {
  const hub = await hubWithRuns(t)
  const more = { A: '1', B: '2', C: '3', region: 'eu' }
  const first = await hub.create(withInputs, 'ann', more)
  const ids = [first, await hub.create(withInputs, 'bob', { region: 'eu' })]
  ids.push(
    await hub.create(withInputs, 'bob', { region: 'us' }),
    await hub.create(withInputs, 'eve', { region: 'eu' }),
  )
  await Promise.all(ids.map((id) => hub.engine.done(id)))
  const total = async (token: string, query = '') => (await hub.counts(token, query)).total
  assert.deepEqual(await hub.counts(hub.boss.token), { total: 3, by_status: { success: 3 }, more: [] })
  assert.equal(await total(hub.boss.token, '?input=region=eu'), 2)
  assert.equal(await total(hub.boss.token, '?input=region=eu&input=A=1'), 1)
  assert.equal(await total(hub.boss.token, '?owner=bob&status=success,failed'), 2)
  assert.equal(await total(hub.ann.token, '?input=region=eu'), 1)
  assert.equal(await total(hub.ann.token, '?owner=bob'), 0)
  assert.equal(await total(hub.eve.token), 1)
  assert.equal(await total(hub.boss.token, '?needs=me'), 0)
  const { runs } = (await hub.call('GET', '/api/runs?input=region=eu', hub.ann.token)).json
  assert.deepEqual(
    [runs.length, runs[0].inputs, runs[0].inputs_left_out],
    [1, { region: 'eu', A: '1', B: '2' }, 1],
  )
  assert.equal(runs[0].last_seq, (await hub.engine.get(first))!.last_seq)
  const wrong = await hub.call('GET', '/api/runs?input=region', hub.ann.token)
  assert.deepEqual([wrong.status, wrong.json.error.code], [400, 'bad_request'])
})

test('cancels, retries and deletes many runs, reports each one, and touches none of another user', async (t) => {
  const hub = await hubWithRuns(t)
  const [one, two] = [await hub.create(oneStep('hold'), 'ann'), await hub.create(oneStep('hold'), 'ann')]
  const [bobs, eves] = [await hub.create(oneStep('hold'), 'bob'), await hub.create(oneStep('hold'), 'eve')]
  const wrong = await hub.bulk(hub.ann.token, { action: 'cancel' })
  assert.equal(wrong.status, 400)
  const some = await hub.bulk(hub.ann.token, { action: 'cancel', ids: [one, bobs, eves, 'nobody'] })
  assert.deepEqual(
    some.json.results.map((each: { result: string; error?: { code: string } }) => [
      each.result,
      each.error?.code,
    ]),
    [['done', undefined], ...Array(3).fill(['refused', 'run_not_found'])],
  )
  assert.equal((await hub.engine.done(one)).status, 'canceled')

  const late = await hub.bulk(hub.boss.token, { action: 'cancel', filter: {}, expect: { running: 1 } })
  assert.deepEqual(
    [late.status, late.json.error.code, late.json.error.details],
    [409, 'conflict', { by_status: { running: 2 } }],
  )
  assert.equal((await hub.engine.get(two))!.status, 'running')
  const all = await hub.bulk(hub.boss.token, { action: 'cancel', filter: {}, expect: { running: 2 } })
  assert.deepEqual([all.json.done, all.json.refused], [2, 0])
  await Promise.all([two, bobs].map((id) => hub.engine.done(id)))
  assert.equal((await hub.engine.get(eves))!.status, 'running')

  const again = { action: 'retry', filter: { status: 'canceled' }, only: 'all' }
  const retried = await hub.bulk(hub.ann.token, again, 'a key')
  assert.deepEqual([retried.json.done, retried.json.results[0].new_run_id.startsWith('run_')], [2, true])
  assert.equal((await hub.bulk(hub.ann.token, again, 'a key')).text, retried.text)
  assert.equal((await hub.counts(hub.ann.token)).total, 4)
  const other = await hub.bulk(hub.ann.token, { action: 'retry', ids: [one] }, 'a key')
  assert.equal(other.json.error.code, 'idempotency_mismatch')
  const deleted = await hub.bulk(hub.ann.token, { action: 'delete', filter: { status: 'canceled' } })
  assert.deepEqual([deleted.json.done, (await hub.counts(hub.ann.token)).by_status], [2, { running: 2 }])
})

test('runs have the labels of their workflow and of their start; lists filter and sort by them', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const yaml = `${oneStep('fail')}labels: {team: db, env: test}\n`
  const made = await hub.call('POST', '/api/runs', token, { yaml, labels: { env: 'prod', 'a/b': '' } })
  const { run_id, labels } = made.json
  assert.deepEqual(labels, { team: 'db', env: 'prod', 'a/b': '' })
  await hub.engine.done(run_id)
  const plain = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('say hi') })).json
  assert.equal(plain.labels, undefined)
  await hub.engine.done(plain.run_id)
  const again = (await hub.call('POST', `/api/runs/${run_id}/retry`, token, {})).json
  assert.deepEqual(again.labels, labels)
  await hub.engine.done(again.run_id)
  const ids = async (query: string) =>
    (await hub.call('GET', `/api/runs?${query}`, token)).json.runs.map(
      (run: { run_id: string }) => run.run_id,
    )
  assert.deepEqual(await ids('label=team=db'), [again.run_id, run_id])
  assert.deepEqual(await ids('label=a/b&label=env=prod&latest=true'), [again.run_id])
  assert.deepEqual(await ids('label=env=test'), [])
  assert.deepEqual(await ids('sort=-started'), [run_id, plain.run_id, again.run_id])
  assert.equal((await hub.call('GET', '/api/run-counts?label=team', token)).json.total, 2)
  const headers = { 'content-type': 'application/yaml' }
  const sent = await hub.call('POST', '/api/runs?label=team=web', token, oneStep('hold'), headers)
  assert.deepEqual(sent.json.labels, { team: 'web' })
  for (const path of ['/api/runs?label=x', '/api/runs?label=x=a,b'])
    assert.equal(
      (await hub.call('POST', path, token, oneStep('hold'), headers)).json.error.code,
      'bad_request',
    )
  const much = Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`l${index}`, 'x']))
  for (const bad of [much, { '': 'x' }, { x: 'y'.repeat(61) }, { x: '\u202e' }]) {
    const refused = await hub.call('POST', '/api/runs', token, { yaml: oneStep('hold'), labels: bad })
    assert.equal(refused.status, 400, JSON.stringify(bad))
    const inFile = await hub.call('POST', '/api/validate', token, {
      yaml: `${oneStep('hold')}labels: ${JSON.stringify(bad)}\n`,
    })
    assert.equal(inFile.json.valid, false)
  }
  for (const query of ['sort=colour', 'sort=name&cursor=eA']) {
    assert.equal((await hub.call('GET', `/api/runs?${query}`, token)).json.error.code, 'bad_request')
  }
})

test('repeating a half-finished bulk request does the rest, and answers like a single request', async (t) => {
  const hub = await hubWithRuns(t)
  const ids = await Promise.all(Array.from({ length: 4 }, () => hub.create(oneStep('fail'), 'ann')))
  await Promise.all(ids.map((id) => hub.engine.done(id)))
  const retry = hub.engine.retry.bind(hub.engine)
  let left = 2
  hub.engine.retry = async (...of) => {
    const made = left-- > 0 ? await retry(...of) : undefined
    if (left === 0) throw new Error('the hub ends here, with this one begun')
    return made ?? (await retry(...of))
  }
  const body = { action: 'retry', filter: { status: 'failed' }, expect: { failed: 4 } }
  assert.equal((await hub.bulk(hub.ann.token, body, 'a key')).status, 500)
  const begun = (await hub.call('GET', '/api/runs?limit=100', hub.ann.token)).json.runs.length
  assert.equal(begun, 6)
  for (const { run_id } of (await hub.call('GET', '/api/runs?limit=100', hub.ann.token)).json.runs)
    await hub.engine.done(run_id)
  // By now six match, but only the four that were agreed to are meant.
  const { status, json } = await hub.bulk(hub.ann.token, body, 'a key')
  assert.deepEqual([status, json.done, json.refused], [200, 4, 0])
  const made = json.results.map((one: { new_run_id: string }) => one.new_run_id)
  assert.equal(new Set(made).size, 4)
  assert.deepEqual(json.results.map((one: { run_id: string }) => one.run_id).sort(), [...ids].sort())
  for (const [index, run_id] of made.entries())
    assert.equal((await hub.engine.get(run_id))?.retry_of, json.results[index].run_id)
  assert.equal((await hub.counts(hub.ann.token)).total, 8)
  assert.deepEqual((await hub.bulk(hub.ann.token, body, 'a key')).json, json)
})
