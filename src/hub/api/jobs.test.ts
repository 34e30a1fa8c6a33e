import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Auth } from '../auth/auth.ts'
import { keepGivenTokens } from '../auth/given-tokens.ts'
import { testingHub } from './testing-hub.ts'

async function setUp(t: test.TestContext) {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const job = (data: object, blueprint = 'bot_runner') =>
    hub.call('POST', '/jobs', token, { blueprint, data })
  const look = async (id: string) => (await hub.call('GET', `/jobs/${id}`, token)).json
  return { hub, token, job, look }
}
const start = { action: 'start', deployment_mode: 'simple', code: 'print(1)', requirements: ['aiogram>=3.0'] }

test('a job starts a bot, and goes from start_bot to completed', async (t) => {
  const { hub, job, look } = await setUp(t)
  const { status, json } = await job({ ...start, bot_id: 'my-bot', env_vars: { BOT_TOKEN: '123456:secret' } })
  assert.deepEqual(
    [status, json.status, json.state, json.data.bot_id],
    [200, 'success', 'start_bot', 'my-bot'],
  )
  while ((await look(json.job_id)).state !== 'start_bot') await sleep(5)
  await hub.host.bots.get('my-bot')!.phase('running')
  assert.equal((await look(json.job_id)).state, 'completed')
  await hub.host.bots.get('my-bot')!.say('hello\n')
  const logs = async () => (await job({ action: 'logs', bot_id: 'my-bot' })).json.data.logs
  while ((await logs()) === '') await sleep(5)
  assert.equal(await logs(), 'hello\n')
  assert.equal((await job({ action: 'status', bot_id: 'my-bot' })).json.data.state, 'running')
  assert.equal((await job({ action: 'list' })).json.data.bots.length, 1)
})

test('a job stops a bot, and is completed once that has ended', async (t) => {
  const { hub, job, look } = await setUp(t)
  const { job_id } = (await job({ ...start, bot_id: 'my-bot' })).json
  while ((await look(job_id)).state !== 'start_bot') await sleep(5)
  hub.host.deaf = true
  const stopping = (await job({ action: 'stop', bot_id: 'my-bot' })).json
  assert.deepEqual([stopping.status, stopping.state], ['success', 'stop_bot'])
  assert.deepEqual(await look(stopping.job_id), stopping)
  hub.host.bots.get('my-bot')!.end({ outcome: 'canceled', reason: 'canceled' })
  await hub.engine.done(job_id)
  const stopped = await look(stopping.job_id)
  assert.deepEqual([stopped.status, stopped.state, stopped.data.state], ['success', 'completed', 'stopped'])
  assert.equal((await job({ ...start, bot_id: 'my-bot' })).json.status, 'success')
  assert.deepEqual(await look(stopping.job_id), stopped, 'as it was then')
  hub.host.deaf = false
  const second = (await job({ action: 'stop', bot_id: 'my-bot' })).json
  while ((await look(second.job_id)).state !== 'completed') await sleep(5)
  const again = (await job({ action: 'stop', bot_id: 'my-bot' })).json
  assert.deepEqual([again.status, again.state], ['success', 'completed'], 'of one that has ended at once')
})

test('a refusal is a failure with its code in capitals', async (t) => {
  const { hub, token, job, look } = await setUp(t)
  for (const bot_id of ['a', 'b', 'c']) await job({ ...start, bot_id })
  const { status, json } = await job({ ...start, bot_id: 'd' })
  assert.deepEqual(
    [status, json.status, json.state, json.error.code, json.error.message],
    [200, 'failure', 'failed', 'QUOTA_EXCEEDED', 'Maximum 3 bots'],
  )
  assert.deepEqual(await look(json.job_id), json)
  assert.equal((await job({ action: 'stop', bot_id: 'nobody' })).json.error.code, 'NOT_FOUND')
  for (const [data, message] of [
    [{ action: 'dance' }, /data.action is "dance"/],
    [{}, /data.action is missing/],
    [{ action: 'start', code: 'x' }, /data.bot_id/],
  ] as const) {
    const wrong = await job(data)
    assert.deepEqual([wrong.status, wrong.json.status], [400, 'failure'])
    assert.match(wrong.json.error.message, message)
    assert.ok(wrong.json.error.hint)
  }
  assert.match((await job({}, 'other')).json.error.message, /no blueprint "other"/)
  for (const body of ['[]', '"start"', 'no JSON', '']) {
    const answer = await fetch(`${hub.url}/jobs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body,
    })
    const { status, error } = (await answer.json()) as { status: string; error: { code: string } }
    assert.deepEqual([answer.status, status, error.code], [400, 'failure', 'BAD_REQUEST'], body)
  }
  const failed = hub.host.bots.get('a')!
  failed.end({ outcome: 'failed', reason: 'build_failed', message: 'no such package' })
  await hub.engine.done(failed.spec.run_id)
  const told = await look(failed.spec.run_id)
  assert.deepEqual(
    [told.status, told.state, told.error],
    ['failure', 'failed', { code: 'BUILD_FAILED', message: 'no such package' }],
  )
})

test('jobs of others are not there', async (t) => {
  const { hub, job } = await setUp(t)
  const { json: mine } = await job({ action: 'list' })
  const { token: bob } = await hub.user('bob')
  assert.equal((await hub.call('GET', `/jobs/${mine.job_id}`, bob)).status, 404)
})

test("the operator's own tokens are taken, the client's in its header too, and no more once they change", async (t) => {
  const hub = await testingHub(t, { auth: { given: ['client-token-of-old', 'worker-token-of-old'] } })
  await hub.user('boss', 'admin')
  const given = { client: 'client-token-of-old', runner: 'worker-token-of-old' }
  await keepGivenTokens(hub.accounts, given)
  await keepGivenTokens(hub.accounts, given)
  const body = { blueprint: 'bot_runner', data: { action: 'list' } }
  const ask = (headers: Record<string, string>) => hub.call('POST', '/jobs', undefined, body, headers)
  assert.equal((await ask({ 'x-client-token': 'client-token-of-old' })).status, 200)
  assert.equal((await ask({ authorization: 'Bearer client-token-of-old' })).status, 200)
  assert.equal((await ask({ 'x-client-token': 'worker-token-of-old' })).status, 403)
  assert.equal((await ask({ 'x-client-token': 'wrong' })).status, 401)
  const other = { 'x-client-token': 'client-token-of-old' }
  assert.equal((await hub.call('GET', '/api/bots', undefined, undefined, other)).status, 401)
  assert.equal(
    ((await hub.auth.authenticateRunner('worker-token-of-old')) as { tenant: string }).tenant,
    'default',
  )
  await keepGivenTokens(hub.accounts, { client: 'another-client-token' })
  const auth = new Auth({ accounts: hub.accounts, secret: 'x', given: ['client-token-of-old'] })
  await assert.rejects(auth.authenticate('client-token-of-old'), { code: 'token_revoked' })
  assert.ok('refused' in (await auth.authenticateRunner('worker-token-of-old')))
})
