import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import type { RunEvent } from '../../contract/events.ts'

type Who = 'ann' | 'bob' | 'cid' | 'root' | 'far'

async function world(t: TestContext) {
  const hub = await testingHub(t, { apiLimits: { keepAliveMs: 20 } })
  const people = {
    ann: await hub.user('ann'),
    bob: await hub.user('bob'),
    cid: await hub.user('cid'),
    root: await hub.user('root', 'admin'),
    far: await hub.user('far', 'admin', 'other'),
  }
  const call = (who: Who, method: string, path: string, body?: unknown) =>
    hub.call(method, path, people[who].token, body)
  const made = await call('ann', 'POST', '/api/runs', {
    agent: { prompt: 'say hi', interactive: true, agent: 'codex' },
  })
  assert.equal(made.status, 201, made.text)
  const run: string = made.json.run_id
  const share = (who: Who, body: object) => call(who, 'PUT', `/api/runs/${run}/shares`, body)
  const unshare = (who: Who, query: string) => call(who, 'DELETE', `/api/runs/${run}/shares?${query}`)
  const prompt = (who: Who, id = run) =>
    call(who, 'POST', `/api/runs/${id}/input`, { prompt: `say from ${who}` })
  const log = async (id = run): Promise<RunEvent[]> => {
    const headers = { accept: 'application/json' }
    const { json } = await hub.call('GET', `/api/runs/${id}/events`, people.root.token, undefined, headers)
    return json
  }
  return { hub, people, run, call, share, unshare, prompt, log }
}

/** Every way to read a run. */
const reads = (id: string) => [
  `/api/runs/${id}`,
  `/api/runs/${id}/shares`,
  `/api/runs/${id}/workflow`,
  `/api/runs/${id}/last-good`,
  `/api/runs/${id}/artifacts`,
  `/api/runs/${id}/attempts/1/lines`,
  `/api/runs/${id}/attempts/1/output/stdout`,
  `/api/runs/${id}/steps/agent/instances`,
  `/run-status?run_id=${id}`,
]

test('only the owner sees a run until it is shared: to watch, then to take part, then no longer', async (t) => {
  const { run, call, share, unshare, prompt, log } = await world(t)
  const readBy = async (who: Who) => {
    const statuses = new Set<number>()
    for (const path of reads(run)) statuses.add((await call(who, 'GET', path)).status)
    return [...statuses]
  }
  assert.deepEqual([await readBy('bob'), (await prompt('bob')).status], [[404], 404])
  assert.equal((await share('bob', { user: 'bob' })).status, 404)

  const shared = await share('ann', { user: 'BOB', can: 'watch' })
  assert.equal(shared.status, 200, shared.text)
  assert.deepEqual(
    shared.json.shares.map(({ at, ...one }: { at: string }) => one),
    [{ user: 'bob', can: 'watch', by: 'ann' }],
  )
  assert.deepEqual([await readBy('bob'), await readBy('cid'), await readBy('far')], [[200], [404], [404]])
  const refused = await prompt('bob')
  assert.deepEqual([refused.status, refused.json.error.code], [403, 'forbidden'])
  assert.match(refused.json.error.message, /belongs to ann; you may only watch it/)
  assert.match(refused.json.error.hint, /sessions share .* --with bob --can take-part/)
  for (const act of ['cancel', 'retry', 'rollback', 'retry-plan'])
    assert.equal((await call('bob', 'POST', `/api/runs/${run}/${act}`, {})).status, 403, act)
  assert.equal((await share('bob', { user: 'cid' })).status, 403)
  assert.equal((await call('bob', 'DELETE', `/api/runs/${run}`)).status, 403)

  assert.equal((await share('root', { user: 'bob', can: 'take-part' })).json.shares.length, 1)
  const taken = await prompt('bob')
  assert.equal(taken.status, 202, taken.text)
  assert.equal((await call('bob', 'POST', `/api/runs/${run}/cancel`, {})).status, 403)
  const entry = (await log()).find(({ type }) => type === 'input.given')
  assert.equal(entry?.type === 'input.given' && entry.by, 'bob')

  assert.equal((await unshare('bob', 'user=bob')).status, 403)
  assert.deepEqual((await unshare('ann', 'user=bob')).json.shares, [])
  assert.deepEqual([await readBy('bob'), (await prompt('bob')).status], [[404], 404])
  assert.equal((await unshare('ann', 'user=bob')).status, 404)
  const entries = (await log()).flatMap((event) =>
    event.type === 'run.shared' || event.type === 'run.unshared' ? [[event.type, event.by]] : [],
  )
  assert.deepEqual(entries, [
    ['run.shared', 'ann'],
    ['run.shared', 'root'],
    ['run.unshared', 'ann'],
  ])
})

test('a run can be shared with a role; refuses a share with nobody, with two, or with the owner', async (t) => {
  const { run, call, share } = await world(t)
  assert.equal((await share('ann', { role: 'user' })).status, 200)
  assert.equal((await call('cid', 'GET', `/api/runs/${run}`)).status, 200)
  assert.equal((await call('far', 'GET', `/api/runs/${run}`)).status, 404)
  assert.deepEqual((await call('cid', 'GET', `/api/runs/${run}`)).json.shares[0].role, 'user')
  assert.equal((await share('ann', {})).status, 400)
  assert.equal((await share('ann', { user: 'bob', role: 'user' })).status, 400)
  assert.equal((await share('ann', { user: 'ann' })).status, 400)
  for (const user of ['nobody', 'far']) {
    const { status, json } = await share('ann', { user })
    assert.deepEqual([status, json.error.code], [404, 'not_found'])
  }
})

test('lists shared runs for the users that they are shared with, with the usual filters and pages', async (t) => {
  const { hub, people, run, call, share } = await world(t)
  const other = await hub.engine.submit({ yaml: oneStep('say hi'), owner: 'ann', tenant: 'default' })
  await hub.engine.done(other.run_id)
  // The log is over, so the share is stored in the record.
  await hub.call('PUT', `/api/runs/${other.run_id}/shares`, people.ann.token, { user: 'bob' })
  await share('ann', { role: 'user' })
  const ids = async (who: Who, query = '') =>
    (await call(who, 'GET', `/api/runs?shared=true${query}`)).json.runs.map(
      ({ run_id }: { run_id: string }) => run_id,
    )
  assert.deepEqual(await ids('bob'), [other.run_id, run])
  assert.deepEqual(await ids('cid'), [run])
  assert.deepEqual([await ids('ann'), await ids('far'), await ids('root')], [[], [], []])
  assert.deepEqual(await ids('bob', '&status=success&owner=ann'), [other.run_id])
  assert.deepEqual(await ids('bob', '&blueprint=agent'), [run])
  assert.deepEqual((await call('bob', 'GET', '/api/runs')).json.runs, [])
  const page = (await call('bob', 'GET', '/api/runs?shared=true&limit=1')).json
  assert.deepEqual(await ids('bob', `&cursor=${page.next_cursor}`), [run])
  const counts = (await call('bob', 'GET', '/api/run-counts?shared=true')).json
  assert.deepEqual(counts.by_status, { running: 1, success: 1 })
})

test('a session that another user continues stays visible to those who could see it', async (t) => {
  const { hub, run, call, share, prompt } = await world(t)
  await share('ann', { user: 'bob', can: 'take-part' })
  await share('ann', { user: 'cid' })
  await call('ann', 'POST', `/api/runs/${run}/input`, { close: true })
  await hub.engine.done(run)
  const next = await prompt('bob')
  assert.equal(next.status, 202, next.text)
  const { run_id } = next.json
  assert.notEqual(run_id, run)
  const view = (await call('cid', 'GET', `/api/runs/${run_id}`)).json
  assert.equal(view.owner, 'bob')
  assert.deepEqual(
    view.shares.map(({ user, can }: { user: string; can: string }) => [user, can]),
    [
      ['cid', 'watch'],
      ['ann', 'take-part'],
    ],
  )
})

test('a stream ends for a user once the run is no longer shared with them', async (t) => {
  const { hub, people, run, share, unshare } = await world(t)
  await share('ann', { user: 'bob' })
  const authorization = `Bearer ${people.bob.token}`
  const stop = AbortSignal.timeout(30_000)
  const response = await fetch(`${hub.url}/api/events?topics=run:${run}`, {
    headers: { authorization },
    signal: stop,
  })
  const direct = await fetch(`${hub.url}/api/runs/${run}/events`, {
    headers: { authorization, accept: 'text/event-stream' },
    signal: stop,
  })
  await unshare('ann', 'user=bob')
  let received = ''
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    received += text
    if (received.includes('"state":"refused"')) break
  }
  assert.match(received, /"topic":"run:run_\w+","state":"refused"/)
  let all = ''
  for await (const text of direct.body!.pipeThrough(new TextDecoderStream())) all += text
  assert.match(all, /event: error\ndata: .*run_not_found/)
})
