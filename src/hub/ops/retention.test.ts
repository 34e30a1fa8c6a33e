import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { RunPatch, RunSpec } from '../../contract/run.ts'
import { storeConfiguredTokens, tokenSha256 } from '../auth/tokens.ts'
import { Retention, sweep } from './retention.ts'

const DAY_MS = 86_400_000
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString()

/** Opens a hub with runs that were created the given number of days ago. */
async function hubWithRuns(t: TestContext) {
  const hub = await testingHub(t)
  const run = async (run_id: string, ended: number | undefined, over: Partial<RunSpec> = {}) => {
    const time = daysAgo(ended ?? 40)
    const spec = { run_id, blueprint: 'workflow', workflow_name: 'w', workflow: {}, vars: {}, owner: 'ann' }
    const end: RunPatch =
      ended === undefined ? { status: 'running' } : { status: 'failed', finished_at: time }
    const events: RunEvent[] = [{ seq: 1, time, type: 'run.started' }]
    await hub.store.create({ ...spec, tenant: 'default', created_at: time, ...over }, events, end)
    await hub.outputs.append(`${run_id}.1`, 'stdout', 0, Buffer.from('text'))
  }
  const left = async () => {
    const { runs } = await hub.store.list({ limit: 500 })
    return runs
      .map(({ run_id }) => run_id.slice(4))
      .sort()
      .join(' ')
  }
  return { ...hub, run, left }
}

const child = (run_id: string) => ({
  parent: { run_id, step: 's', phase: 'main' as const, instance: 0, depth: 1 },
})

test('a run is deleted when its time is over, with its output, and no other run is', async (t) => {
  const hub = await hubWithRuns(t)
  await hub.run('run_old', 31)
  await hub.run('run_young', 29)
  await hub.run('run_open', undefined)
  assert.equal(await sweep({ ...hub, retainMs: 30 * DAY_MS }, Date.now()), 1)
  assert.equal(await hub.left(), 'open young')
  assert.equal(await hub.outputs.length('run_old.1', 'stdout'), 0)
  assert.equal(await hub.outputs.length('run_young.1', 'stdout'), 4)
  assert.equal(existsSync(hub.outputFolder('run_old')), false)
  assert.deepEqual(await hub.store.events('run_old', 0, 10), [])
})

test('a run is deleted together with the runs that it has started and those that continue it', async (t) => {
  const hub = await hubWithRuns(t)
  await hub.run('run_a', 31)
  await hub.run('run_a1', 32, child('run_a'))
  await hub.run('run_b', 40)
  await hub.run('run_b1', 39, { continues: 'run_b' })
  await hub.run('run_b2', 10, { continues: 'run_b1' })
  await hub.run('run_c', 40)
  await hub.run('run_c1', undefined, child('run_c'))
  await hub.run('run_orphan', 40, child('run_gone'))
  const all = { ...hub, retainMs: 30 * DAY_MS }
  assert.equal(await sweep(all, Date.now()), 3)
  assert.equal(await hub.left(), 'b b1 b2 c c1')
  assert.equal(await sweep(all, Date.now() + 25 * DAY_MS), 3)
  assert.equal(await hub.left(), 'c c1')
})

test('an ended task is deleted like a run, and the data of its tries not before it', async (t) => {
  const hub = await hubWithRuns(t)
  const ann = await hub.user('ann')
  const metadata = { task: { task_id: 'T1', title: 'x', repo_url: 'https://git.example/o/r' } }
  const { json } = await hub.call('POST', '/api/tasks', ann.token, metadata)
  const { id } = json.tasks[0]
  for await (const _ of hub.tasks.watch(id, 0));
  const tries = async () => (await hub.call('GET', `/api/tasks/${id}`, ann.token)).status
  const ofTask = (task: string) => ({
    blueprint: 'task',
    workflow: { steps: [{ name: 'check', action: 'git.check', args: { task } }] },
  })
  await hub.run('run_try', 40, ofTask(id))
  await hub.run('run_other', 40, ofTask('task_00000000000000000000'))
  const all = { ...hub, retainMs: 30 * DAY_MS }
  assert.equal(await sweep(all, Date.now()), 1)
  assert.equal(await tries(), 200)
  assert.match(await hub.left(), /\btry$/)
  await sweep(all, Date.now() + 31 * DAY_MS)
  assert.deepEqual([await tries(), await hub.left()], [404, ''])
})

test('a run stays as long as the run that undoes it, and remains known as undone', async (t) => {
  const hub = await hubWithRuns(t)
  const { token } = await hub.user('ann')
  await hub.run('run_a', 40)
  await hub.run('run_a1', 10, { rolls_back: 'run_a' })
  await hub.run('run_b', 40)
  await hub.run('run_b1', 10, { rolls_back: 'run_b', retry_of: 'run_b' })
  await hub.store.update('run_b1', { events: [], patch: { status: 'success' } })
  const all = { ...hub, retainMs: 30 * DAY_MS }
  assert.equal(await sweep(all, Date.now()), 0)
  const undone = await hub.call('DELETE', '/api/runs/run_b1', token)
  assert.equal(undone.json.error.code, 'conflict')
  assert.match(undone.json.error.hint, /runs delete run_b$/)
  assert.equal((await hub.call('DELETE', '/api/runs/run_a1', token)).status, 200)
  assert.equal((await hub.call('DELETE', '/api/runs/run_b', token)).status, 200)
  assert.equal((await hub.call('DELETE', '/api/runs/run_b1', token)).status, 200)
  assert.equal(await sweep(all, Date.now()), 1)
  assert.equal(await hub.left(), '')
})

test('data stored by other systems is deleted when its time is over', async (t) => {
  const hub = await hubWithRuns(t)
  const { token } = await hub.user('ann')
  const octets = { 'content-type': 'application/octet-stream' }
  const stored = await hub.call('POST', '/api/store/artifacts?type=log', token, 'a log', octets)
  const there = async () => {
    const path = stored.json.uri.replace('errand://artifact', '/api/store/artifacts')
    return (await hub.call('GET', path, token)).status
  }
  const all = { ...hub, retainMs: 30 * DAY_MS }
  await sweep(all, Date.now() + 29 * DAY_MS)
  assert.equal(await there(), 200)
  await sweep(all, Date.now() + 31 * DAY_MS)
  assert.equal(await there(), 404)
})

test('deletes many runs in small batches, and the hub answers in the meantime', async (t) => {
  const hub = await hubWithRuns(t)
  for (let n = 0; n < 230; n++) await hub.run(`run_${n}`, 50)
  let answered = 0
  const removing = sweep({ ...hub, retainMs: DAY_MS }, Date.now())
  const over = removing.then(() => true)
  while (!(await Promise.race([over, hub.call('GET', '/health').then(() => false)]))) answered++
  assert.equal(await removing, 230)
  assert.ok(answered > 3, `${answered} answers`)
  assert.equal(await hub.left(), '')
})

test('it sweeps automatically, and can be closed twice', async (t) => {
  const hub = await hubWithRuns(t)
  await hub.run('run_old', 31)
  const { id } = await hub.user('ann')
  for (const [name, days] of [
    ['long', 31],
    ['lately', 29],
  ] as const)
    await hub.accounts.createToken({
      ...{ id: name, name, user_id: id, scope: 'api', token_sha256: name },
      ...{ created_at: daysAgo(40), expires_at: daysAgo(days) },
    })
  // If it were deleted, the operator's revoked token would be a new one at the hub's next start.
  const tokens = { client: 'client-token-of-old' }
  await storeConfiguredTokens(hub.accounts, tokens)
  const { token } = (await hub.accounts.tokenByHash(tokenSha256(tokens.client)))!
  await hub.accounts.revokeToken(token.id, daysAgo(40))
  const { promise, resolve } = Promise.withResolvers<string>()
  const retention = new Retention({ ...hub, retainMs: DAY_MS, log: (message) => resolve(message) })
  assert.match(await promise, /: 1\.$/)
  await retention.close()
  await retention.close()
  assert.equal(await hub.left(), '')
  const names = async () => (await hub.accounts.tokens()).map(({ name }) => name)
  assert.ok(!(await names()).includes('long') && (await names()).includes('lately'))
  await storeConfiguredTokens(hub.accounts, tokens)
  assert.notEqual((await hub.accounts.tokenByHash(token.token_sha256))!.token.revoked_at, undefined)
})

test('runs kept forever stay, and tokens are still deleted', async (t) => {
  const hub = await hubWithRuns(t)
  await hub.run('run_old', 4000)
  const { promise, resolve } = Promise.withResolvers<void>()
  const forgetTokens: typeof hub.accounts.forgetTokens = async (...which) => {
    resolve()
    return await hub.accounts.forgetTokens(...which)
  }
  const accounts = { forgetKeys: hub.accounts.forgetKeys, forgetTokens }
  const retention = new Retention({ engine: hub.engine, accounts, log: () => {} })
  await promise
  await retention.close()
  assert.equal(await hub.left(), 'old')
})

test('an ended run can be deleted with the runs that it started; repeating its request creates a new one', async (t) => {
  const hub = await hubWithRuns(t)
  const { token } = await hub.user('ann')
  const { token: other } = await hub.user('bob')
  await hub.run('run_a', 1)
  await hub.run('run_a1', 1, child('run_a'))
  await hub.run('run_next', 1, { continues: 'run_a' })
  assert.equal((await hub.call('DELETE', '/api/runs/run_a', other)).status, 404)
  const part = await hub.call('DELETE', '/api/runs/run_a1', token)
  assert.equal(part.json.error.code, 'conflict')
  assert.match(part.json.error.hint, /errand runs delete run_a$/)
  const answer = await hub.call('DELETE', '/api/runs/run_a', token)
  assert.deepEqual(answer.json, { deleted: ['run_a', 'run_a1'] })
  assert.equal((await hub.call('DELETE', '/api/runs/run_a', token)).status, 404)
  assert.equal(await hub.left(), 'next')

  const create = () =>
    hub.call('POST', '/api/runs', token, { yaml: oneStep('say hi') }, { 'idempotency-key': 'k' })
  const { run_id } = (await create()).json
  await hub.engine.done(run_id)
  await hub.call('DELETE', `/api/runs/${run_id}`, token)
  const again = await create()
  assert.equal(again.status, 201)
  assert.notEqual(again.json.run_id, run_id)

  const open = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('hold') })).json.run_id
  assert.equal((await hub.call('DELETE', `/api/runs/${open}`, token)).json.error.code, 'run_not_ended')
})
