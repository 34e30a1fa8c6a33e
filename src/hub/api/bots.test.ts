import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import type { BotLive } from '../../contract/bots/bot.ts'
import type { BotView } from '../../contract/bots/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import { DEFAULT_HOST, type Workflow } from '../../contract/workflow.ts'
import { type BotQuota, DEFAULT_BOT_QUOTA } from '../bots/bot-admission.ts'

type Hub = Awaited<ReturnType<typeof testingHub>>

const TOKEN = '123456:a-token-of-a-bot'
const echo = { bot_id: 'echo', code: 'print(1)', env_vars: { BOT_TOKEN: TOKEN } }

async function setUp(t: TestContext, options?: Parameters<typeof testingHub>[1]) {
  const hub = await testingHub(t, options)
  const { token } = await hub.user('ann')
  const call = (method: string, path: string, body?: unknown) =>
    hub.call(method, `/api/bots${path}`, token, body)
  return { hub, token, call }
}

/** Repeats until the result is truthy; the deadline only matters if the test fails. */
async function until<T>(look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  for (const deadline = Date.now() + 120_000; ; ) {
    const found = await look()
    if (found) return found
    assert.ok(Date.now() < deadline, 'the condition did not hold in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const botOn = (hub: Hub, id = 'echo', runId?: string) =>
  until(() => {
    const bot = hub.host.bots.get(id)
    return bot !== undefined && (runId === undefined || bot.spec.run_id === runId) && bot
  })

test('a bot goes from start through building to running; stop ends it, and a second stop changes nothing', async (t) => {
  const { hub, call } = await setUp(t)
  const started = await call('POST', '', echo)
  assert.equal(started.status, 201, started.text)
  assert.deepEqual(
    [started.json.bot_id, started.json.owner, started.json.env_vars],
    ['echo', 'ann', ['BOT_TOKEN']],
  )
  const bot = await botOn(hub)
  const state = async (): Promise<BotView> => (await call('GET', '/echo')).json
  await until(async () => (await state()).state === 'building')
  await bot.phase('running', 'image abc')
  const up = await until(async () => {
    const now = await state()
    return now.state === 'running' && now
  })
  assert.deepEqual([up.message, up.deployment_mode, up.restarts], ['image abc', 'simple', 0])
  assert.ok(up.uptime_seconds! >= 0)
  await bot.phase('restarting', 'exit code 1')
  assert.deepEqual([(await state()).state, (await state()).restarts], ['start', 1])
  assert.deepEqual(bot.spec.requires.containers, true)
  assert.equal((await call('POST', '/echo/stop')).status, 202)
  await until(async () => (await state()).state === 'stopped')
  assert.equal((await call('POST', '/echo/stop')).json.state, 'stopped')
  assert.deepEqual((await call('GET', '')).json.bots, [])
  assert.equal((await call('GET', '?all=true')).json.bots[0].state, 'stopped')
  assert.equal((await call('GET', '?state=stopped')).json.bots.length, 1)
})

test('shows how a bot ended: its state, reason and exit code', async (t) => {
  const { hub, call } = await setUp(t)
  const ends = [
    [{ outcome: 'success', exit_code: 0, message: 'ended by itself' }, 'stopped', undefined],
    [{ outcome: 'failed', reason: 'exit_code', exit_code: 3, message: 'last words' }, 'crashed', 'exit_code'],
    [{ outcome: 'failed', reason: 'oom', exit_code: 137, message: 'out of memory' }, 'crashed', 'oom'],
    [{ outcome: 'failed', reason: 'timeout' }, 'timeout', 'timeout'],
    [{ outcome: 'interrupted', reason: 'lost', message: 'removed' }, 'crashed', 'lost'],
  ] as const
  for (const [index, [end, state, reason]] of ends.entries()) {
    const id = `bot-${index}`
    await call('POST', '', { bot_id: id, code: 'x' })
    ;(await botOn(hub, id)).end(end)
    const view = await until(async () => {
      const { json } = await call('GET', `/${id}`)
      return json.state === state && json
    })
    assert.equal(view.reason, reason)
    if ('message' in end) assert.equal(view.message, end.message)
    if ('exit_code' in end) assert.equal(view.exit_code, end.exit_code)
    const listed = (await call('GET', '?all=true')).json.bots.find((bot: BotView) => bot.bot_id === id)
    assert.equal(listed.state, state)
    assert.deepEqual(
      [view.restarts, listed.restarts],
      [0, undefined],
      'a list omits the count instead of showing zero',
    )
  }
})

test('of 20 simultaneous starts exactly three begin, and the refusals say what to do', async (t) => {
  const { hub, token, call } = await setUp(t)
  const starts = Array.from({ length: 20 }, (_, index) =>
    call('POST', '', { bot_id: `bot-${index}`, code: 'x' }),
  )
  const answers = await Promise.all(starts)
  assert.equal(answers.filter(({ status }) => status === 201).length, 3)
  const refused = answers.filter(({ status }) => status === 409)
  assert.equal(refused.length, 17)
  for (const { json } of refused) {
    assert.deepEqual([json.error.code, json.error.message], ['quota_exceeded', 'Maximum 3 bots'])
    assert.match(json.error.hint, /errand bot stop bot-\d+/)
  }
  assert.equal((await hub.call('GET', '/api/runs?blueprint=bot', token)).json.runs.length, 3)
  const { token: bobs } = await hub.user('bob')
  assert.equal((await hub.call('POST', '/api/bots', bobs, { bot_id: 'one', code: 'x' })).status, 201)
})

test('refuses a bot that no runner could hold before anything begins, and such a restart ends nothing', async (t) => {
  let most = 999
  const checkRoom = ({ limits }: { limits: { cpus: number } }) => {
    if (limits.cpus <= most) return
    throw new ErrandError('invalid_argument', `limits.cpus is ${limits.cpus}; the most is ${most}.`)
  }
  const { hub, token, call } = await setUp(t, { machines: { checkBot: checkRoom } })
  const large = { ...echo, limits: { cpus: 1000 } }
  const refused = await call('POST', '', large)
  assert.deepEqual([refused.status, refused.json.error.code], [400, 'invalid_argument'])
  assert.match(refused.json.error.message, /1000; the most is 999/)
  const data = { ...large, action: 'start' }
  const job = await hub.call('POST', '/jobs', token, { blueprint: 'bot_runner', data })
  assert.deepEqual([job.status, job.json.status, job.json.error.code], [200, 'failure', 'INVALID_ARGUMENT'])
  assert.deepEqual((await call('GET', '?all=true')).json.bots, [])
  assert.equal((await call('POST', '', { ...echo, limits: { cpus: 900 } })).status, 201)
  await botOn(hub)
  most = 1
  assert.equal((await call('POST', '/echo/restart')).status, 400)
  assert.equal((await call('POST', '/echo/update', { limits: { cpus: 800 } })).status, 400)
  assert.equal((await call('GET', '/echo')).json.state, 'building')
  assert.equal((await call('POST', '/echo/update', { limits: { cpus: 1 } })).status, 202)
})

test('20 simultaneous starts of one bot start it once', async (t) => {
  const { call } = await setUp(t)
  const answers = await Promise.all(Array.from({ length: 20 }, () => call('POST', '', echo)))
  assert.equal(answers.filter(({ status }) => status === 201).length, 1)
  const refused = answers.find(({ status }) => status !== 201)!
  assert.deepEqual([refused.status, refused.json.error.code], [409, 'bot_exists'])
  assert.match(refused.json.error.hint, /bot update echo/)
})

test('other users do not see a bot; an admin does', async (t) => {
  const { hub, call } = await setUp(t)
  await call('POST', '', echo)
  const { token: bob } = await hub.user('bob')
  const { token: boss } = await hub.user('boss', 'admin')
  const { token: far } = await hub.user('far', 'admin', 'elsewhere')
  const of = (token: string, method: string, path: string) => hub.call(method, `/api/bots${path}`, token)
  for (const token of [bob, far])
    for (const [method, path] of [
      ['GET', '/echo'],
      ['GET', '/echo?owner=ann'],
      ['GET', '/echo/logs?owner=ann'],
      ['POST', '/echo/stop?owner=ann'],
      ['POST', '/echo/restart?owner=ann'],
      ['POST', '/echo/update?owner=ann'],
    ] as const)
      assert.equal((await of(token, method, path)).status, 404, `${method} ${path}`)
  assert.deepEqual((await of(bob, 'GET', '?owner=ann')).json.bots, [])
  assert.deepEqual((await of(far, 'GET', '')).json.bots, [])
  assert.equal((await of(boss, 'GET', '')).json.bots[0].owner, 'ann')
  assert.equal((await of(boss, 'GET', '/echo')).status, 404)
  assert.equal((await of(boss, 'GET', '/echo?owner=ann')).json.bot_id, 'echo')
})

test('secret variables reach only the machine, and are deleted when the bot ends', async (t) => {
  const { hub, token, call } = await setUp(t)
  const image = {
    bot_id: 'echo',
    docker_image: 'registry.example/echo',
    registry_auth: { username: 'ann', password: 'hunter2-of-ann' },
    env_vars: { BOT_TOKEN: TOKEN, PORT: 80 },
    env: { LANG: 'C.UTF-8 ${HOME}' },
  }
  const started = await call('POST', '', image)
  assert.match(started.json.warnings[0], /^PORT: .*cannot be masked/)
  const { run_id } = started.json
  const { spec } = await botOn(hub)
  assert.equal(spec.env.LANG, 'C.UTF-8 ${HOME}')
  assert.deepEqual(await hub.secrets.reveal(spec), {
    BOT_TOKEN: TOKEN,
    PORT: '80',
    BOT_REGISTRY_PASSWORD: 'hunter2-of-ann',
  })
  assert.deepEqual(started.json.env_vars, ['BOT_TOKEN', 'PORT'])
  const texts = await Promise.all(
    [
      `/api/runs/${run_id}`,
      `/api/runs/${run_id}/workflow`,
      `/api/runs`,
      `/api/bots/echo`,
      '/api/secrets',
      `/api/runs/${run_id}/events?limit=100`,
    ].map(
      async (path) => (await hub.call('GET', path, token, undefined, { accept: 'application/json' })).text,
    ),
  )
  const stored = JSON.stringify([await hub.store.get(run_id), await hub.store.events(run_id, 0, 500)])
  for (const text of [...texts, stored, JSON.stringify(spec), started.text])
    for (const value of [TOKEN, 'hunter2-of-ann']) assert.ok(!text.includes(value), text)
  assert.ok(!(await hub.call('GET', '/api/secrets', token)).text.includes('BOT_TOKEN'))
  await call('POST', '/echo/stop')
  await until(async () => Object.keys(await hub.secrets.ofRun({ tenant: 'default', run_id })).length === 0)
})

test('a restart waits for the end of the previous run, and keeps secrets and settings', async (t) => {
  const { hub, call } = await setUp(t)
  const { run_id } = (await call('POST', '', { ...echo, limits: { memory: '300MB' } })).json
  await botOn(hub)
  const restarted = await call('POST', '/echo/restart')
  assert.equal(restarted.status, 202, restarted.text)
  assert.notEqual(restarted.json.run_id, run_id)
  assert.equal(restarted.json.limits.memory, '300MB')
  const again = await botOn(hub, 'echo', restarted.json.run_id)
  assert.equal((await hub.engine.get(run_id))!.status, 'canceled')
  assert.deepEqual(await hub.secrets.reveal(again.spec), { BOT_TOKEN: TOKEN })
  assert.equal((await call('GET', '/echo')).json.state, 'building')
  await call('POST', '/echo/stop')
  await hub.engine.done(restarted.json.run_id)
  const gone = await call('POST', '/echo/restart')
  assert.deepEqual([gone.status, gone.json.error.code], [409, 'conflict'])
  assert.match(gone.json.error.hint, /errand bot start echo --simple bot\.py -e BOT_TOKEN$/)
})

test('stores a registry password until the bot runs; a restart uses the image that exists', async (t) => {
  const { hub, call } = await setUp(t)
  const auth = { username: 'ann', password: 'hunter2-of-ann' }
  const image = { docker_image: 'registry.example/echo', group: 'own' }
  const { run_id } = (await call('POST', '', { ...echo, code: undefined, ...image, registry_auth: auth }))
    .json
  await botOn(hub)
  const secretsOf = (run_id: string) => hub.secrets.ofRun({ tenant: 'default', run_id })
  const settings = async (runId: string) => {
    const { inventory } = (await hub.engine.get(runId))!.workflow as Workflow
    const { spec } = await botOn(hub, 'echo', runId)
    return [inventory?.hosts[DEFAULT_HOST], spec.args.source, Object.keys(await hub.secrets.reveal(spec))]
  }
  assert.equal((await secretsOf(run_id)).BOT_REGISTRY_PASSWORD, auth.password)

  const second = (await call('POST', '/echo/restart')).json.run_id
  const waited = await botOn(hub, 'echo', second)
  assert.equal((await secretsOf(second)).BOT_REGISTRY_PASSWORD, auth.password)
  await waited.phase('running')
  await until(async () => Object.keys(await secretsOf(second)).join() === 'BOT_TOKEN')

  const third = (await call('POST', '/echo/restart')).json.run_id
  const pulled = { username: 'ann', attempt_id: waited.spec.attempt_id, runner: 'stand-in' }
  const source = { mode: 'image', image: image.docker_image, pulled }
  assert.deepEqual(await settings(third), [{ group: 'own', runner: 'stand-in' }, source, ['BOT_TOKEN']])
  await (await botOn(hub, 'echo', third)).phase('running')
  await call('POST', '/echo/stop')
  await hub.engine.done(third)
  const gone = await call('POST', '/echo/restart')
  assert.match(
    gone.json.error.hint,
    /start echo --image registry\.example\/echo --username ann -e BOT_TOKEN$/,
  )
})

test('stores a Git server token until the bot runs; a restart uses the image that was built', async (t) => {
  const { hub, call } = await setUp(t)
  const git = { git_url: 'https://git.example/a.git', git_ref: 'v1' }
  const git_auth = { username: 'ann', password: 'a token of ann' }
  const { run_id } = (await call('POST', '', { bot_id: 'echo', ...git, git_auth })).json
  const first = await botOn(hub)
  const secretsOf = (run_id: string) => hub.secrets.ofRun({ tenant: 'default', run_id })
  const auth = { username: 'ann', password_secret: 'BOT_REGISTRY_PASSWORD' }
  const source = { mode: 'git', url: git.git_url, ref: 'v1', dockerfile: 'Dockerfile' }
  assert.deepEqual(first.spec.args.source, { ...source, git_auth: auth })
  assert.deepEqual(await hub.secrets.reveal(first.spec), { BOT_REGISTRY_PASSWORD: git_auth.password })
  for (const path of ['/echo', '/echo?owner=ann'])
    assert.ok(!(await call('GET', path)).text.includes(git_auth.password))
  await first.phase('running')
  await until(async () => Object.keys(await secretsOf(run_id)).length === 0)

  const second = (await call('POST', '/echo/restart')).json.run_id
  const again = await botOn(hub, 'echo', second)
  const built = { username: 'ann', attempt_id: first.spec.attempt_id, runner: 'stand-in' }
  assert.deepEqual(again.spec.args.source, { ...source, built })
  assert.deepEqual(((await hub.engine.get(second))!.workflow as Workflow).steps[0]!.secrets, {})
  await again.phase('running')
  const { update } = (await call('POST', '/echo/update', { env: { A: '1' } })).json
  assert.deepEqual((await botOn(hub, 'echo', update.run_id)).spec.args.source, { ...source, built })
})

test('a token stored on the hub serves each start of its bot, and only its name is shown', async (t) => {
  const { hub, call } = await setUp(t)
  const git = { bot_id: 'echo', git_url: 'https://git.example/a.git' }
  const missing = await call('POST', '', { ...git, git_auth: { secret: 'GIT_TOKEN' } })
  assert.deepEqual([missing.status, missing.json.error.code], [400, 'invalid_argument'])
  assert.match(missing.json.error.hint, /errand secrets set GIT_TOKEN/)
  const place = { tenant: 'default', scope: 'tenant', scope_name: '', name: 'GIT_TOKEN' } as const
  await hub.secrets.set(place, 'the kept token', 'admin', ['git.example'])
  const { run_id } = (await call('POST', '', { ...git, git_auth: { secret: 'GIT_TOKEN' } })).json
  const first = await botOn(hub)
  const secrets = { BOT_REGISTRY_PASSWORD: 'the kept token' }
  const source = {
    mode: 'git',
    url: git.git_url,
    dockerfile: 'Dockerfile',
    git_auth: { password_secret: 'BOT_REGISTRY_PASSWORD' },
  }
  assert.deepEqual([first.spec.args.source, await hub.secrets.reveal(first.spec)], [source, secrets])
  await first.phase('running')
  assert.deepEqual((await call('GET', '/echo')).json.env_vars, [])
  const { update } = (await call('POST', '/echo/update', { env: { A: '1' } })).json
  const updated = await botOn(hub, 'echo', update.run_id)
  assert.deepEqual([updated.spec.args.source, await hub.secrets.reveal(updated.spec)], [source, secrets])
  await hub.engine.cancel(update.run_id)
  await hub.engine.done(update.run_id)
  await call('POST', '/echo/stop')
  await hub.engine.done(run_id)
  const again = (await call('POST', '/echo/restart')).json.run_id
  const { spec } = await botOn(hub, 'echo', again)
  assert.deepEqual([spec.args.source, await hub.secrets.reveal(spec)], [source, secrets])

  for (const git_auth of [{}, { password: 'a', secret: 'A' }, { username: 'a:b', password: 'c' }])
    assert.equal((await call('POST', '', { ...git, bot_id: 'x', git_auth })).status, 400)
  const stray = await call('POST', '', { bot_id: 'x', code: 'x', git_auth: { password: 'of nobody' } })
  assert.match(stray.json.error.message, /"git_auth" is for the mode custom/)
  assert.ok(!stray.text.includes('of nobody'))
})

test('a refresh applies to one start, not to a restart, and rebuilds only images that Errand builds', async (t) => {
  const { hub, call } = await setUp(t)
  await call('POST', '', { bot_id: 'echo', code: 'x', refresh: true })
  const first = await botOn(hub)
  assert.equal(first.spec.args.refresh, true)
  await first.phase('running')
  const refreshOf = async (run_id: string) => (await botOn(hub, 'echo', run_id)).spec.args.refresh
  const update = async (change: object) => (await call('POST', '/echo/update', change)).json.update.run_id
  const updated = await update({ refresh: true })
  assert.equal(await refreshOf(updated), true)
  await hub.engine.cancel(updated)
  await hub.engine.done(updated)
  const plain = await update({ env: { A: '1' } })
  assert.equal(await refreshOf(plain), undefined)
  await hub.engine.cancel(plain)
  await hub.engine.done(plain)
  assert.equal(await refreshOf((await call('POST', '/echo/restart')).json.run_id), undefined)
  const ready = await call('POST', '', { bot_id: 'b', docker_image: 'busybox', refresh: true })
  assert.deepEqual([ready.status, ready.json.error.code], [400, 'invalid_argument'])
  assert.match(ready.json.error.message, /"refresh" cannot rebuild "b": it uses an existing image/)
})

test('an update of a private image uses the existing image or its own credentials, on any runner', async (t) => {
  const { hub, call } = await setUp(t)
  const auth = { username: 'ann', password: 'hunter2-of-ann' }
  const image = { docker_image: 'registry.example/echo', registry_auth: auth }
  await call('POST', '', { bot_id: 'echo', ...image })
  const first = await botOn(hub)
  await first.phase('running')
  const update = async (change: object) => {
    const { run_id } = (await call('POST', '/echo/update', change)).json.update
    const { spec } = await botOn(hub, 'echo', run_id)
    const { inventory } = (await hub.engine.get(run_id))!.workflow as Workflow
    await hub.engine.cancel(run_id)
    await hub.engine.done(run_id)
    return [inventory?.hosts[DEFAULT_HOST]?.runner, spec.args.source]
  }
  const pulled = { username: 'ann', attempt_id: first.spec.attempt_id, runner: 'stand-in' }
  const there = ['stand-in', { mode: 'image', image: image.docker_image, pulled }]
  assert.deepEqual(await update({ env: { A: '1' } }), there)
  assert.deepEqual(await update({ docker_image: image.docker_image }), there)
  const registry_auth = { username: 'ann', password_secret: 'BOT_REGISTRY_PASSWORD' }
  const restart = { mode: 'image', image: image.docker_image, registry_auth }
  assert.deepEqual(await update(image), [undefined, restart])
  assert.deepEqual(await update({ docker_image: 'busybox' }), [
    undefined,
    { mode: 'image', image: 'busybox' },
  ])
})

test('an ended bot without secrets can be restarted, within the quota', async (t) => {
  const { hub, call } = await setUp(t, {
    botQuota: { maxBots: 1, maxSeconds: 3600, maxDataBytes: 5 * 1024 ** 3 },
  })
  const { run_id } = (await call('POST', '', { bot_id: 'one', code: 'x' })).json
  ;(await botOn(hub, 'one')).end({ outcome: 'failed', reason: 'exit_code', exit_code: 1 })
  await hub.engine.done(run_id)
  assert.equal((await call('POST', '/one/restart')).status, 202)
  await call('POST', '/one/stop')
  await until(async () => (await call('GET', '/one')).json.state === 'stopped')
  await call('POST', '', { bot_id: 'two', code: 'x' })
  assert.equal((await call('POST', '/one/restart')).json.error.code, 'quota_exceeded')
})

test('a crashed bot restarts with its secrets, which are deleted once it is stopped or replaced', async (t) => {
  const { hub, call } = await setUp(t)
  const crash = async (
    run_id: string,
    end: object = { outcome: 'failed', reason: 'exit_code', exit_code: 1 },
  ) => {
    ;(await botOn(hub, 'echo', run_id)).end(end as never)
    await hub.engine.done(run_id)
    await until(async () => (await call('GET', '/echo')).json.state === 'crashed')
  }
  const stored = async (run_id: string) => await hub.secrets.ofRun({ tenant: 'default', run_id })
  const gone = (run_id: string) => until(async () => Object.keys(await stored(run_id)).length === 0)
  const first = (await call('POST', '', echo)).json.run_id
  await crash(first)
  const restarted = await call('POST', '/echo/restart')
  assert.equal(restarted.status, 202, restarted.text)
  const second = restarted.json.run_id
  assert.deepEqual(await hub.secrets.reveal((await botOn(hub, 'echo', second)).spec), { BOT_TOKEN: TOKEN })
  await gone(first)
  // A hub that starts in the meantime leaves them alone.
  await crash(second, { outcome: 'interrupted', reason: 'lost' })
  await hub.bots.resume()
  assert.deepEqual(await stored(second), { BOT_TOKEN: TOKEN })
  const third = (await call('POST', '', { ...echo, env_vars: { BOT_TOKEN: 'another-token' } })).json.run_id
  await gone(second)
  await crash(third)
  assert.deepEqual(await stored(third), { BOT_TOKEN: 'another-token' })
  assert.equal((await call('POST', '/echo/stop')).json.state, 'crashed')
  assert.deepEqual(await stored(third), {})
  const refused = await call('POST', '/echo/restart')
  assert.match(refused.json.error.hint, /-e BOT_TOKEN$/)
})

test('an update of the code keeps the dependencies, unless they are given or the language changes', async (t) => {
  const { hub, call } = await setUp(t)
  const needs = { requirements: ['aiogram>=3.0'], base_image: 'python:3.12-slim' }
  await call('POST', '', { bot_id: 'echo', code: 'old', ...needs })
  await (await botOn(hub)).phase('running')
  const updated = async (change: object) => {
    const { update, run_id } = (await call('POST', '/echo/update', change)).json
    const bot = await botOn(hub, 'echo', update?.run_id ?? run_id)
    const { source } = bot.spec.args as { source: Record<string, unknown> }
    await bot.phase('running')
    await until(async () => (await call('GET', '/echo')).json.update === undefined)
    return source
  }
  const code = await updated({ code: 'new' })
  assert.deepEqual([code.files, code.requirements], [{ 'bot.py': 'new' }, needs.requirements])
  assert.equal(code.base_image, needs.base_image)
  const files = await updated({ files: { 'main.py': 'x' }, entrypoint: 'main.py' })
  assert.deepEqual([files.requirements, files.base_image], [needs.requirements, needs.base_image])
  assert.deepEqual((await updated({ code: 'x', requirements: ['httpx'] })).requirements, ['httpx'])
  assert.deepEqual((await updated({ code: 'x', requirements: [] })).requirements, [])
  await updated({ code: 'x', requirements: ['httpx'] })
  const node = await updated({ files: { 'bot.js': 'x' }, entrypoint: 'bot.js' })
  assert.deepEqual([node.requirements, node.base_image], [[], undefined])
})

test('a restarted bot lives no longer than the current limit allows', async (t) => {
  const quota = { maxBots: 3, maxSeconds: 86_400, maxDataBytes: 5 * 1024 ** 3 }
  const { call } = await setUp(t, { botQuota: quota })
  assert.equal((await call('POST', '', { bot_id: 'one', code: 'x' })).json.timeout_seconds, 86_400)
  quota.maxSeconds = 3600
  assert.equal((await call('POST', '/one/restart')).json.timeout_seconds, 3600)
})

test('an update ends the old bot once the new one is up', async (t) => {
  const { hub, call } = await setUp(t)
  const { run_id: old } = (await call('POST', '', { ...echo, env: { A: '1' } })).json
  await (await botOn(hub)).phase('running')
  const updated = await call('POST', '/echo/update', {
    code: 'print(2)',
    env_vars: { MORE: 'a second secret' },
    limits: { memory: '400MB' },
  })
  assert.equal(updated.status, 202, updated.text)
  assert.deepEqual([updated.json.run_id, updated.json.state], [old, 'running'])
  const { run_id } = updated.json.update
  const fresh = await botOn(hub, 'echo', run_id)
  assert.deepEqual(await hub.secrets.reveal(fresh.spec), { BOT_TOKEN: TOKEN, MORE: 'a second secret' })
  assert.deepEqual([fresh.spec.env.A, (fresh.spec.args.limits as { memory: string }).memory], ['1', '400MB'])
  assert.equal((await call('POST', '/echo/update', {})).json.error.code, 'conflict')
  assert.equal((await hub.engine.get(old))!.status, 'running')
  await fresh.phase('running')
  const record = await hub.engine.done(old)
  assert.deepEqual([record.status, record.message], ['canceled', `Updated to ${run_id}.`])
  const now = (await call('GET', '/echo')).json
  assert.deepEqual([now.run_id, now.state, now.update], [run_id, 'running', undefined])
})

test('an update of a bot with a health check takes over once healthy; an unhealthy one is ended', async (t) => {
  const live = new Map<string, BotLive>()
  const { hub, call } = await setUp(t, { machines: { liveBot: (id) => live.get(id) } })
  const health = { cmd: 'true', interval_seconds: 5 }
  const { run_id: old } = (await call('POST', '', { ...echo, health })).json
  await (await botOn(hub)).phase('running')
  const update = async (state: 'starting' | 'unhealthy') => {
    const { run_id } = (await call('POST', '/echo/update', { code: 'y' })).json.update
    const bot = await botOn(hub, 'echo', run_id)
    const { attempt_id } = bot.spec
    assert.deepEqual((bot.spec.args.health as { cmd: string }).cmd, 'true')
    live.set(attempt_id, { attempt_id, health: { state, output: 'not yet' } })
    await bot.phase('running')
    return { run_id, attempt_id }
  }
  const bad = await update('unhealthy')
  const ended = await hub.engine.done(bad.run_id)
  assert.deepEqual(
    [ended.status, ended.message],
    ['canceled', 'It was unhealthy, so the previous run continues: not yet'],
  )
  const { run_id, attempt_id } = await update('starting')
  const view = await until(async () => {
    const { json } = await call('GET', '/echo')
    return json.update?.health?.state === 'starting' && json
  })
  assert.deepEqual([view.run_id, view.state, view.update.state], [old, 'running', 'running'])
  assert.equal((await hub.engine.get(old))!.status, 'running')
  live.set(attempt_id, { attempt_id, health: { state: 'healthy' } })
  assert.equal((await hub.engine.done(old)).message, `Updated to ${run_id}.`)
  const now = (await call('GET', '/echo')).json
  assert.deepEqual([now.run_id, now.state, now.health], [run_id, 'running', { state: 'healthy' }])
})

test('an update takes over only after its container engine has reported whether it is healthy', async (t) => {
  const away = new Map<string, BotLive>()
  let checks = 0
  const live = (id: string) => {
    const now = away.get(id)
    if (now) checks++
    return now
  }
  const { hub, call } = await setUp(t, { machines: { liveBot: live } })
  const { run_id: old } = (await call('POST', '', echo)).json
  await (await botOn(hub)).phase('running')
  const { run_id } = (await call('POST', '/echo/update', { code: 'y' })).json.update
  const bot = await botOn(hub, 'echo', run_id)
  const { attempt_id } = bot.spec
  away.set(attempt_id, { attempt_id, engine_away_since: '2026-01-02T03:04:05.000Z' })
  await bot.phase('running')
  const statusOf = async () => (await hub.engine.get(old))!.status
  await until(async () => checks > 2 || (await statusOf()) !== 'running')
  assert.equal(await statusOf(), 'running')
  away.delete(attempt_id)
  assert.equal((await hub.engine.done(old)).message, `Updated to ${run_id}.`)
})

test('shows what the runner reports about a live bot; an unreachable engine takes precedence over its phase', async (t) => {
  const live = new Map<string, BotLive>()
  const { hub, call } = await setUp(t, { machines: { liveBot: (id) => live.get(id) } })
  await call('POST', '', { ...echo, restart: { policy: 'always' } })
  const bot = await botOn(hub)
  const { attempt_id } = bot.spec
  await bot.phase('running', 'up')
  const since = '2026-01-02T03:04:05.000Z'
  const usage = { cpus: 0.25, memory_bytes: 1e6, peak_memory_bytes: 2e6 }
  live.set(attempt_id, { attempt_id, usage, engine_away_since: since })
  const view = async (): Promise<BotView> => (await call('GET', '/echo')).json
  const away = await until(async () => {
    const seen = await view()
    return seen.state === 'running' && seen
  })
  assert.deepEqual([away.usage, away.engine_away_since], [usage, since])
  assert.equal(away.message, `Its container engine has not answered since ${since}.`)
  assert.deepEqual(away.restart.policy, 'always')
  live.set(attempt_id, { attempt_id, usage, cannot_reach: 'no address' })
  const { message, engine_away_since, cannot_reach } = await view()
  assert.deepEqual([message, engine_away_since, cannot_reach], ['up', undefined, 'no address'])
  // What its engine does counts as no failure and is reported with its reason.
  await bot.phase('restarting', 'Its container engine was stopped.', 'engine_restarted')
  const again = await view()
  assert.deepEqual([again.state, again.reason, again.restarts], ['start', 'engine_restarted', 0])
  await bot.phase('running', 'up')
  bot.end({
    outcome: 'failed',
    reason: 'exit_code',
    exit_code: 1,
    usage: { held_by: 'cgroup_v2', peak_memory_bytes: 3e6, cpu_ms: 7 },
  })
  const ended = await until(async () => {
    const seen = await view()
    return seen.state === 'crashed' && seen
  })
  assert.deepEqual(ended.usage, { peak_memory_bytes: 3e6, cpu_ms: 7 })
})

test('a bot lives without limit only if the operator allows it and the request asks for it', async (t) => {
  const quota: BotQuota = { ...DEFAULT_BOT_QUOTA, maxBots: 9 }
  const { hub, call } = await setUp(t, { botQuota: quota })
  for (const timeout_seconds of [null, 'unlimited']) {
    const { status, json } = await call('POST', '', { bot_id: 'one', code: 'x', timeout_seconds })
    assert.deepEqual([status, json.error.code], [400, 'invalid_argument'])
    assert.match(json.error.message, /the maximum here is 86400 seconds \(24 hours\)/)
    assert.match(json.error.hint, /ERRAND_BOT_HOURS/)
  }
  quota.maxSeconds = Number.POSITIVE_INFINITY
  const lives = async (bot_id: string, more: object) =>
    (await call('POST', '', { bot_id, code: 'x', ...more })).json.timeout_seconds
  assert.equal(await lives('asks-none', {}), 86_400)
  assert.equal(await lives('long', { timeout_seconds: 2_592_000 }), 2_592_000)
  assert.equal(await lives('null', { timeout_seconds: null }), null)
  assert.equal(await lives('endless', { timeout_seconds: 'unlimited' }), null)
  const bot = await botOn(hub, 'endless')
  assert.equal(bot.spec.timeout_ms, undefined)
  const { run_id } = (await call('POST', '/endless/restart')).json
  await botOn(hub, 'endless', run_id)
  assert.equal((await call('GET', '/endless')).json.timeout_seconds, null)
  quota.defaultSeconds = Number.POSITIVE_INFINITY
  assert.equal(await lives('endless-too', {}), null)
  // A bot without a deadline gets one at the next start if the operator has set one since.
  Object.assign(quota, { maxSeconds: 7200, defaultSeconds: undefined })
  assert.equal((await call('POST', '/endless/restart')).json.timeout_seconds, 7200)
})

test('an update that fails leaves the old bot running, and says so', async (t) => {
  const { hub, call } = await setUp(t)
  const { run_id: old } = (await call('POST', '', echo)).json
  await (await botOn(hub)).phase('running')
  const { run_id } = (await call('POST', '/echo/update', { requirements: ['nothing'], code: 'y' })).json
    .update
  ;(await botOn(hub, 'echo', run_id)).end({
    outcome: 'failed',
    reason: 'build_failed',
    message: 'no such package',
  })
  await hub.engine.done(run_id)
  const now = (await call('GET', '/echo')).json
  assert.deepEqual([now.run_id, now.state], [old, 'running'])
  assert.deepEqual([now.update.state, now.update.reason], ['crashed', 'build_failed'])
  assert.match(now.update.message, /no such package/)
  // And a later stop ends the old one.
  await call('POST', '/echo/stop')
  await hub.engine.done(old)
  assert.equal((await call('GET', '/echo')).json.state, 'stopped')
})

test('a hub that restarts during an update finishes it', async (t) => {
  const { hub, call } = await setUp(t, { botSettleMs: 3_600_000 })
  const { run_id: old } = (await call('POST', '', echo)).json
  await botOn(hub)
  const { run_id } = (await call('POST', '/echo/update', { code: 'y' })).json.update
  await (await botOn(hub, 'echo', run_id)).phase('running')
  const { Bots } = await import('../bots/bots.ts')
  const { engine, secrets, uploads } = hub
  const quota = { maxBots: 3, maxSeconds: 86_400, maxDataBytes: 5 * 1024 ** 3 }
  const next = new Bots({ engine, secrets, uploads, data: hub.botData, quota, settleMs: 0, log: () => {} })
  t.after(() => next.close())
  await next.resume()
  assert.equal((await engine.done(old)).status, 'canceled')
  assert.equal((await engine.get(run_id))!.status, 'running')
})

test('a hub that was killed during a restart of a bot finishes it, and deletes orphaned secrets', async (t) => {
  const { hub, call } = await setUp(t)
  const { run_id: old } = (await call('POST', '', { bot_id: 'echo', code: 'x' })).json
  await botOn(hub)
  const { workflow } = (await hub.engine.get(old))!
  const { engine, secrets, uploads, bots } = hub
  const admit = t.mock.method(bots, 'admit', () => {})
  const half = { run_id: 'run_half', blueprint: 'bot', replaces: old, owner: 'ann', tenant: 'default' }
  await engine.submit({ ...half, workflow: workflow as Record<string, unknown> })
  admit.mock.restore()
  await secrets.setOfRun({ run_id: 'run_never', tenant: 'default', owner: 'ann' }, { A: 'never submitted' })
  assert.equal((await engine.get('run_half'))!.status, 'queued')
  const { Bots } = await import('../bots/bots.ts')
  const quota = { maxBots: 3, maxSeconds: 86_400, maxDataBytes: 5 * 1024 ** 3 }
  const next = new Bots({ engine, secrets, uploads, data: hub.botData, quota, settleMs: 0, log: () => {} })
  t.after(() => next.close())
  await next.resume()
  assert.equal((await engine.done(old)).status, 'canceled')
  await until(async () => (await engine.get('run_half'))!.status === 'running')
  assert.deepEqual(await secrets.runs(), [])
})

test('a hub that was killed before it deleted a used password deletes it', async (t) => {
  const { hub, call } = await setUp(t)
  const { engine, secrets, uploads, bots } = hub
  let isUp = false
  t.mock.method(bots, 'seen', (_: string, events: readonly RunEvent[]) => {
    isUp ||= events.some((event) => event.type === 'attempt.phase' && event.phase === 'running')
  })
  const registry_auth = { username: 'ann', password: 'hunter2-of-ann' }
  const image = { docker_image: 'registry.example/echo', registry_auth, env_vars: { BOT_TOKEN: TOKEN } }
  const { run_id } = (await call('POST', '', { bot_id: 'echo', ...image })).json
  const { run_id: waits } = (await call('POST', '', { bot_id: 'waits', ...image })).json
  await (await botOn(hub)).phase('running')
  await until(() => isUp)
  const { Bots } = await import('../bots/bots.ts')
  const quota = { maxBots: 3, maxSeconds: 86_400, maxDataBytes: 5 * 1024 ** 3 }
  const next = new Bots({ engine, secrets, uploads, data: hub.botData, quota, log: () => {} })
  t.after(() => next.close())
  await next.resume()
  const namesOf = async (run_id: string) => Object.keys(await secrets.ofRun({ tenant: 'default', run_id }))
  assert.deepEqual(await namesOf(run_id), ['BOT_TOKEN'])
  assert.deepEqual((await namesOf(waits)).sort(), ['BOT_REGISTRY_PASSWORD', 'BOT_TOKEN'])
})

test('a bot can only be started through its own commands', async (t) => {
  const { hub, token, call } = await setUp(t)
  const args = { bot_id: 'x', source: { mode: 'image', image: 'busybox' } }
  const workflow = { version: 'v0.1', name: 'x', steps: [{ name: 'a', action: 'bot.serve', args }] }
  const inner = { ...workflow, steps: [{ name: 'b', action: 'workflow.run', args: { workflow } }] }
  for (const each of [workflow, inner]) {
    const answer = await hub.call('POST', '/api/runs', token, { workflow: each })
    assert.deepEqual([answer.status, answer.json.error.code], [400, 'invalid_argument'])
    assert.match(answer.json.error.hint, /errand bot start/)
    const yaml = JSON.stringify(each)
    const file = await hub.call('POST', '/api/runs', token, { yaml })
    assert.deepEqual([file.status, file.json.error.code], [400, 'invalid_workflow'])
    const { valid, problems } = (await hub.call('POST', '/api/validate', token, { yaml })).json
    assert.deepEqual([valid, problems[0].message], [false, file.json.error.details.problems[0].message])
    assert.match(problems[0].hint, /errand bot start/)
  }
  const { run_id } = (await call('POST', '', { bot_id: 'one', code: 'x' })).json
  ;(await botOn(hub, 'one')).end({})
  await hub.engine.done(run_id)
  const retried = await hub.call('POST', `/api/runs/${run_id}/retry`, token)
  assert.deepEqual(
    [retried.status, retried.json.error.hint],
    [409, 'Restart the bot with: errand bot restart one'],
  )
})

test('refuses an invalid request with a code, what is wrong and a hint', async (t) => {
  const { call } = await setUp(t)
  const wrong: [object, RegExp, number?][] = [
    [{ bot_id: '../x', code: 'x' }, /but a bot id is at most 63 letters/],
    [{ code: 'x' }, /bot_id is missing/],
    [{ bot_id: 'a' }, /has no source/],
    [{ bot_id: 'a', deployment_mode: 'magic', code: 'x' }, /"magic" is not a deployment mode/],
    [{ bot_id: 'a', deployment_mode: 'simple' }, /simple needs "code"/],
    [{ bot_id: 'a', deployment_mode: 'custom' }, /custom needs an "archive"/],
    [{ bot_id: 'a', deployment_mode: 'image' }, /image needs "docker_image"/],
    [{ bot_id: 'a', code: 'x', files: { 'a.py': 'x' } }, /both "code" and "files"/],
    [{ bot_id: 'a', code: 'x', docker_image: 'x' }, /sources for 2 modes/],
    [
      { bot_id: 'a', deployment_mode: 'simple', code: 'x', docker_image: 'x' },
      /"docker_image" is for the mode image/,
    ],
    [{ bot_id: 'a', files: { 'a.py': '', 'b.py': '' } }, /2 files and no entrypoint/],
    [{ bot_id: 'a', files: { 'a.py': '' }, entrypoint: 'c.py' }, /"c.py" is not among the files/],
    [{ bot_id: 'a', files: { '../a.py': '' } }, /"..\/a.py" is not inside/],
    [
      { bot_id: 'a', git_url: 'https://ann:secret-value@x.org/a' },
      /"git_url" contains a user name or a password/,
    ],
    [{ bot_id: 'a', archive: '%%%' }, /"archive" is not base64/],
    [{ bot_id: 'a', upload: '0'.repeat(64) }, /Upload "0000.* not found/, 404],
    [{ bot_id: 'a', code: 'x', timeout_seconds: 1e6 }, /the maximum here is 86400 seconds \(24 hours\)/],
    [{ bot_id: 'a', code: 'x', limits: { memory: 'lots' } }, /a size is written/],
    [{ bot_id: 'a', code: 'x', env_vars: { '1A': 'secret-value' } }, /not a valid variable name/],
    [{ bot_id: 'a', code: 'x', env_vars: { A: 'secret-value' }, env: { A: 'x' } }, /both contain "A"/],
    [{ bot_id: 'a', code: 'x', env_vars: { ERRAND_X: 'secret-value' } }, /Errand reserves this name/],
    [{ bot_id: 'a', code: 'x'.repeat(1024 * 1024) }, /maximum for a simple bot is .* \(1 MiB\)/, 413],
  ]
  for (const [body, message, status = 400] of wrong) {
    const { status: answered, json, text } = await call('POST', '', body)
    assert.equal(answered, status, text.slice(0, 500))
    assert.match(json.error.message, message)
    assert.ok(json.error.hint, text.slice(0, 500))
    assert.ok(!text.includes('secret-value'))
  }
  assert.deepEqual((await call('GET', '?all=true')).json.bots, [])
})
