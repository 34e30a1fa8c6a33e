import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import { Auth } from '../../auth/auth.ts'
import { storeConfiguredTokens } from '../../auth/tokens.ts'
import { Jobs } from '../../bots/jobs.ts'

async function setUp(t: test.TestContext, options?: Parameters<typeof testingHub>[1]) {
  const hub = await testingHub(t, options)
  const { token } = await hub.user('ann')
  const job = (data: object, blueprint = 'bot_runner') =>
    hub.call('POST', '/jobs', token, { blueprint, data })
  const look = async (id: string) => (await hub.call('GET', `/jobs/${id}`, token)).json
  return { hub, token, job, look }
}
const pick = ({ status, state }: { status: string; state: string }) => [status, state]
const start = { action: 'start', deployment_mode: 'simple', code: 'print(1)', requirements: ['aiogram>=3.0'] }

test('a job starts a bot, and goes from start_bot to completed', async (t) => {
  const { hub, job, look } = await setUp(t)
  const { status, json } = await job({ ...start, bot_id: 'my-bot', env_vars: { BOT_TOKEN: '123456:secret' } })
  assert.deepEqual(
    [status, json.status, json.state, json.data.bot_id],
    [200, 'running', 'start_bot', 'my-bot'],
  )
  while (hub.host.bots.get('my-bot') === undefined) await sleep(5)
  assert.deepEqual(pick(await look(json.job_id)), ['running', 'start_bot'])
  await hub.host.bots.get('my-bot')!.phase('running')
  assert.deepEqual(pick(await look(json.job_id)), ['success', 'completed'])
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
  while (hub.host.bots.get('my-bot') === undefined) await sleep(5)
  hub.host.deaf = true
  const stopping = (await job({ action: 'stop', bot_id: 'my-bot' })).json
  assert.deepEqual([stopping.status, stopping.state], ['running', 'stop_bot'])
  assert.deepEqual(await look(stopping.job_id), stopping)
  hub.host.bots.get('my-bot')!.end({ outcome: 'canceled', reason: 'canceled' })
  await hub.engine.done(job_id)
  const stopped = await look(stopping.job_id)
  assert.deepEqual([stopped.status, stopped.state, stopped.data.state], ['success', 'completed', 'stopped'])
  assert.equal((await job({ ...start, bot_id: 'my-bot' })).json.status, 'running')
  assert.deepEqual(await look(stopping.job_id), stopped, 'the answer is still the old one')
  const later = new Jobs({ bots: hub.bots, engine: hub.engine, logMs: 0 })
  const ann = { owner: 'ann', tenant: 'default' }
  assert.deepEqual(
    pick(await later.get(ann, stopping.job_id)),
    ['success', 'completed'],
    'after a restart of the hub',
  )
  await assert.rejects(later.get({ ...ann, owner: 'bob' }, stopping.job_id), { code: 'not_found' })
  hub.host.deaf = false
  const second = (await job({ action: 'stop', bot_id: 'my-bot' })).json
  while ((await look(second.job_id)).state !== 'completed') await sleep(5)
  const again = (await job({ action: 'stop', bot_id: 'my-bot' })).json
  assert.deepEqual([again.status, again.state], ['success', 'completed'], 'for a bot that has already ended')
})

test('a job that stops a bot during an update is completed once both runs have ended', async (t) => {
  const { hub, token, job, look } = await setUp(t)
  const { job_id } = (await job({ ...start, bot_id: 'my-bot' })).json
  while (hub.host.bots.get('my-bot') === undefined) await sleep(5)
  const old = hub.host.bots.get('my-bot')!
  await old.phase('running')
  const { json: updating } = await hub.call('POST', '/api/bots/my-bot/update', token, { code: 'print(2)' })
  while (hub.host.bots.get('my-bot') === old) await sleep(5)
  hub.host.deaf = true
  const stopping = (await job({ action: 'stop', bot_id: 'my-bot' })).json
  old.end({ outcome: 'canceled', reason: 'canceled' })
  await hub.engine.done(job_id)
  assert.deepEqual(pick(await look(stopping.job_id)), ['running', 'stop_bot'])
  hub.host.bots.get('my-bot')!.end({ outcome: 'canceled', reason: 'canceled' })
  await hub.engine.done(updating.update.run_id)
  assert.deepEqual(pick(await look(stopping.job_id)), ['success', 'completed'])
})

test('a job that starts a bot is in init while it waits for a runner, and succeeds only once the bot is up', async (t) => {
  const { hub, job, look } = await setUp(t)
  hub.host.full = true
  const { json } = await job({ ...start, bot_id: 'my-bot' })
  assert.deepEqual([pick(json), json.data.state], [['running', 'init'], 'start'])
  assert.deepEqual(pick(await look(json.job_id)), ['running', 'init'])
  hub.host.full = false
  hub.host.release()
  while ((await look(json.job_id)).state !== 'start_bot') await sleep(5)
  assert.equal((await look(json.job_id)).status, 'running')
  while (hub.host.bots.get('my-bot') === undefined) await sleep(5)
  await hub.host.bots.get('my-bot')!.phase('running')
  assert.deepEqual(pick(await look(json.job_id)), ['success', 'completed'])
  hub.host.deaf = true
  const again = (await job({ action: 'restart', bot_id: 'my-bot' })).json
  assert.deepEqual(pick(again), ['running', 'init'], 'it waits for the end of the previous run')
})

test('a slow log read shows get_logs, then the log or the error', async (t) => {
  const { hub, token, job, look } = await setUp(t, { apiLimits: { jobSeconds: 0 } })
  await job({ ...start, bot_id: 'my-bot' })
  while (hub.host.bots.get('my-bot') === undefined) await sleep(5)
  await hub.host.bots.get('my-bot')!.say('hello\n')
  const log = () => hub.call('GET', '/api/bots/my-bot/logs', token)
  while ((await log()).json.lines.length === 0) await sleep(5)
  const { watch } = hub.engine
  const reading = Promise.withResolvers<void>()
  hub.engine.watch = async function* (...of) {
    await reading.promise
    yield* watch(...of)
  }
  const logs = (await job({ action: 'logs', bot_id: 'my-bot' })).json
  assert.deepEqual([pick(logs), logs.data], [['running', 'get_logs'], { bot_id: 'my-bot' }])
  assert.deepEqual(await look(logs.job_id), logs)
  reading.resolve()
  while ((await look(logs.job_id)).status === 'running') await sleep(5)
  const read = await look(logs.job_id)
  assert.deepEqual([pick(read), read.data.logs], [['success', 'completed'], 'hello\n'])

  const failing = Promise.withResolvers<void>()
  // biome-ignore lint/correctness/useYield: it fails before.
  hub.engine.watch = async function* () {
    await failing.promise
    throw new Error('the disk is gone')
  }
  const { job_id } = (await job({ action: 'logs', bot_id: 'my-bot' })).json
  failing.resolve()
  while ((await look(job_id)).status === 'running') await sleep(5)
  const failed = await look(job_id)
  assert.deepEqual(
    [pick(failed), failed.error],
    [['failure', 'failed'], { code: 'INTERNAL', message: 'the disk is gone' }],
  )
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
  assert.match((await job({}, 'other')).json.error.message, /Unknown blueprint "other"/)
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
  const look_ = await look(failed.spec.run_id)
  assert.deepEqual(
    [look_.status, look_.state, look_.error],
    ['failure', 'failed', { code: 'BUILD_FAILED', message: 'no such package' }],
  )
})

test('other users do not see a job', async (t) => {
  const { hub, job } = await setUp(t)
  const { json: mine } = await job({ action: 'list' })
  const { token: bob } = await hub.user('bob')
  assert.equal((await hub.call('GET', `/jobs/${mine.job_id}`, bob)).status, 404)
})

test("accepts the operator's own tokens, the client token also in its own header, until they change", async (t) => {
  const configuredTokens = { client: 'client-token-of-old', runner: 'worker-token-of-old' }
  const hub = await testingHub(t, { configuredTokens })
  await hub.user('boss', 'admin')
  await storeConfiguredTokens(hub.accounts, configuredTokens)
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
  await storeConfiguredTokens(hub.accounts, { client: 'another-client-token' })
  const auth = new Auth({ accounts: hub.accounts, secret: 'x', given: ['client-token-of-old'] })
  await assert.rejects(auth.authenticate('client-token-of-old'), { code: 'token_revoked' })
  assert.ok('refused' in (await auth.authenticateRunner('worker-token-of-old')))
})
