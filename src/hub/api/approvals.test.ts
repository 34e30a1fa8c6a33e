import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { ErrandClient } from '../../client/client.ts'

const asking = (args: Record<string, unknown>) => ({
  workflow: {
    version: 'v0.1',
    name: 'release',
    steps: [{ name: 'ask', action: 'approval.wait', args: { message: 'Ship?', ...args } }],
  },
})

async function world(t: TestContext, approvers?: object, more: object = {}) {
  const hub = await testingHub(t)
  const people = {
    ann: await hub.user('ann'),
    bob: await hub.user('bob'),
    cid: await hub.user('cid'),
    root: await hub.user('root', 'admin'),
    far: await hub.user('bob-of-there', 'admin', 'other'),
  }
  const made = await hub.call('POST', '/api/runs', people.ann.token, asking({ approvers, ...more }))
  assert.equal(made.status, 201, made.text)
  const run: string = made.json.run_id
  const waits = async () => (await hub.engine.view(run)).steps[0]!.status === 'waiting'
  while (!(await waits())) await new Promise(setImmediate)
  const answer = (who: keyof typeof people, which = 'approve', comment?: string) =>
    hub.call('POST', `/api/runs/${run}/${which}`, people[who].token, { step: 'ask', comment })
  const read = (who: keyof typeof people) => hub.call('GET', `/api/runs/${run}`, people[who].token)
  const questions = async (who: keyof typeof people) =>
    (await hub.call('GET', '/api/approvals', people[who].token)).json.runs.map(
      ({ run_id }: { run_id: string }) => run_id,
    )
  return { hub, people, run, answer, read, asked: questions }
}

test('only the approvers that a step names can answer its approval, and they see its run', async (t) => {
  const { hub, run, answer, read, asked, people } = await world(t, { users: ['bob'] })
  assert.deepEqual([await asked('bob'), await asked('cid'), await asked('far')], [[run], [], []])
  for (const who of ['ann', 'root'] as const) {
    const refused = await answer(who)
    assert.deepEqual([refused.status, refused.json.error.code], [403, 'forbidden'])
    assert.match(refused.json.error.hint, /Allowed: bob\./)
    assert.deepEqual(refused.json.error.details.approvers, { users: ['bob'] })
  }
  for (const who of ['cid', 'far'] as const)
    assert.deepEqual([(await answer(who)).status, (await read(who)).status], [404, 404])
  const seen = await read('bob')
  assert.deepEqual(seen.json.steps[0].approval.approvers, { users: ['bob'] })
  const cancel = await hub.call('POST', `/api/runs/${run}/cancel`, people.bob.token, {})
  assert.equal(cancel.status, 404)
  assert.equal((await answer('bob', 'approve', 'looked at it')).status, 200)
  assert.equal((await hub.engine.done(run)).status, 'success')
  assert.deepEqual(await asked('bob'), [])
  const { answered } = (await read('bob')).json.steps[0]
  assert.deepEqual([answered.decision, answered.by, answered.comment], ['approve', 'bob', 'looked at it'])
})

test('with `requester: false`, any other permitted person may answer, but not the requester', async (t) => {
  const { answer } = await world(t, { requester: false })
  const refused = await answer('ann')
  assert.equal(refused.status, 403)
  assert.match(refused.json.error.hint, /any admin, not ann \(the owner of the run\)/)
  assert.equal((await answer('root', 'reject')).status, 200)
})

test('a role admits everyone who has it', async (t) => {
  const { answer, asked, run } = await world(t, { roles: ['user'], requester: false })
  assert.deepEqual([await asked('cid'), await asked('ann'), await asked('root')], [[run], [], []])
  assert.equal((await answer('root')).status, 403)
  assert.equal((await answer('ann')).status, 403)
  assert.equal((await answer('cid')).status, 200)
})

test('a second answer learns who answered, what and when, even after the run has ended', async (t) => {
  const { hub, answer, run } = await world(t, undefined)
  assert.equal((await answer('root', 'reject', 'not today')).status, 200)
  await hub.engine.done(run)
  const second = await answer('ann')
  assert.deepEqual([second.status, second.json.error.code], [409, 'approval_not_pending'])
  const { answered_by, answer: what, answered_at, comment } = second.json.error.details
  assert.deepEqual([answered_by, what, comment], ['root', 'reject', 'not today'])
  assert.ok(Date.parse(answered_at) <= Date.now())
})

test('an approval that expires shows when, and what counts as the answer if nobody answers', async (t) => {
  const { read } = await world(t, undefined, { timeout_seconds: 3600, on_timeout: 'approve' })
  const { approval } = (await read('ann')).json.steps[0]
  assert.equal(approval.on_timeout, 'approve')
  assert.ok(Date.parse(approval.expires_at) > Date.now())
})

test('the stream sends changed runs that ask a person to that person, separate from their own runs', async (t) => {
  const { hub, people, run, answer } = await world(t, { users: ['bob'] })
  const response = await fetch(`${hub.url}/api/events?topics=runs`, {
    headers: { authorization: `Bearer ${people.bob.token}` },
  })
  const reader = response.body!.getReader()
  t.after(() => reader.cancel())
  let text = ''
  const until = async (pattern: RegExp) => {
    while (!pattern.test(text)) text += Buffer.from((await reader.read()).value!).toString()
  }
  await until(/event: start/)
  assert.equal((await answer('bob')).status, 200)
  await until(new RegExp(`event: asks\\ndata: .*"run_id":"${run}"[^\\n]*"status":"success"`))
  assert.ok(!text.includes('event: run'))
})

test('refuses approvers with invalid names, unknown roles or unknown keys, and says where', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  for (const approvers of [{ users: [] }, { users: ['${WHO}'] }, { roles: ['boss'] }, { people: ['bob'] }]) {
    const { status, json } = await hub.call('POST', '/api/runs', token, asking({ approvers }))
    assert.deepEqual([status, json.error.code], [400, 'invalid_workflow'], JSON.stringify(approvers))
    assert.match(JSON.stringify(json.error.details), /approvers/)
  }
  const client = new ErrandClient({ url: hub.url, token })
  assert.deepEqual(await client.runs.toApprove(), [])
})
