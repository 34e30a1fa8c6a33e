import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import type { BotLive } from '../../contract/bots/bot.ts'
import { DEFAULT_HOST, type Workflow } from '../../contract/workflow.ts'

const GB = 1024 ** 3

async function setUp(t: TestContext, options?: Parameters<typeof testingHub>[1]) {
  const hub = await testingHub(t, options)
  const { token } = await hub.user('ann')
  const call = (method: string, path: string, body?: unknown) => hub.call(method, `/api${path}`, token, body)
  const start = (bot_id: string, more: object = {}) =>
    call('POST', '/bots', { bot_id, code: 'print(1)', data: true, ...more })
  const botOn = async (id: string, not?: string, runId?: string) => {
    for (const deadline = Date.now() + 120_000; ; ) {
      const found = hub.host.bots.get(id)
      if (
        found !== undefined &&
        found.spec.run_id !== not &&
        (runId ?? found.spec.run_id) === found.spec.run_id
      )
        return found
      assert.ok(Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  /** Waits until the bot is up and that is known. */
  const up = async (id: string, not?: string) => {
    const bot = await botOn(id, not)
    await bot.phase('running')
    while ((await call('GET', `/bots/${id}/data`)).status !== 200)
      await new Promise((resolve) => setTimeout(resolve, 5))
    return bot
  }
  const runnerOf = async (runId: string) =>
    ((await hub.engine.get(runId))!.workflow as Workflow).inventory?.hosts[DEFAULT_HOST]?.runner
  const stop = async (id: string) => {
    const { run_id } = (await call('POST', `/bots/${id}/stop`)).json
    await hub.engine.done(run_id)
  }
  return { hub, call, start, botOn, up, runnerOf, stop }
}

test('the location of bot data is known once the bot was up, and its next run goes to that runner', async (t) => {
  const { hub, call, start, up, runnerOf, stop } = await setUp(t)
  const first = (await start('echo', { data: { path: '/state', size: '2GB' } })).json
  assert.deepEqual([first.data.path, first.data.limit_bytes], ['/state', 2 * GB])
  assert.equal(await runnerOf(first.run_id), undefined)
  assert.equal((await call('GET', '/bots/echo/data')).status, 404)
  const { spec } = await up('echo')
  assert.deepEqual(spec.args.data, { path: '/state', size: '2GB' })
  hub.botData.asks.tars.set('ann/echo', Buffer.from('a tar'))
  const { created_at, ...view } = (await call('GET', '/bots/echo/data')).json
  assert.ok(Date.parse(created_at) > 0)
  const there = { bot_id: 'echo', owner: 'ann', runner: 'stand-in', path: '/state', limit_bytes: 2 * GB }
  assert.deepEqual(view, { ...there, bytes: 5, in_use: true })
  assert.equal((await call('GET', '/bots/echo')).json.data.bytes, 5)

  // Every way to start again finds the files. Settings that are not given stay unchanged.
  const updated = (await call('POST', '/bots/echo/update', { data: { size: '3GB' } })).json.update.run_id
  const second = await up('echo', first.run_id)
  assert.equal(second.spec.run_id, updated)
  assert.deepEqual(second.spec.args.data, { path: '/state', size: '3GB', runner: 'stand-in' })
  await hub.engine.done(first.run_id)
  const restarted = (await call('POST', '/bots/echo/restart')).json
  await hub.engine.done(updated)
  assert.equal(await runnerOf(restarted.run_id), 'stand-in')
  await up('echo', updated)
  await stop('echo')
  const again = (await start('echo')).json
  assert.deepEqual(again.data, { path: '/state', limit_bytes: 3 * GB, runner: 'stand-in' })
  assert.equal(await runnerOf(again.run_id), 'stand-in')
  await stop('echo')
  const elsewhere = await start('echo', { runner: 'other' })
  assert.deepEqual([elsewhere.status, elsewhere.json.error.code], [409, 'conflict'])
  assert.match(elsewhere.json.error.message, /on the runner "stand-in", not on "other"/)
  const without = (await start('echo', { data: false, runner: 'other' })).json
  assert.equal(without.data, undefined)
  assert.equal((await call('GET', '/bots/echo/data')).json.in_use, false)
})

test('a hub that was killed before it stored the location of bot data learns it at its next start', async (t) => {
  const { hub, call, start, up } = await setUp(t)
  await start('echo')
  await up('echo')
  const { engine, secrets, uploads, botData } = hub
  await botData.store.remove({ tenant: 'default', owner: 'ann', bot_id: 'echo' })
  assert.equal((await call('GET', '/bots/echo/data')).status, 404)
  const { Bots } = await import('../bots/bots.ts')
  const quota = { maxBots: 3, maxSeconds: 86_400, maxDataBytes: 5 * GB }
  const next = new Bots({ engine, secrets, uploads, data: botData, quota, log: () => {} })
  t.after(() => next.close())
  await next.resume()
  assert.equal((await call('GET', '/bots/echo/data')).json.runner, 'stand-in')
})

test('knows the data of a run that went up and ended in one commit', async (t) => {
  const { hub, call, start, botOn } = await setUp(t)
  const { run_id } = (await start('echo')).json
  const bot = await botOn('echo')
  bot.end({ outcome: 'success' })
  await hub.engine.done(run_id)
  assert.equal((await call('GET', '/bots/echo/data')).status, 404)
  const last = (await hub.store.events(run_id, 0, 1000)).at(-1)!
  assert.equal(last.type, 'run.finished')
  const { attempt_id } = bot.spec
  const up = { ...last, type: 'attempt.phase', attempt_id, phase: 'running' } as never
  hub.bots.seen(run_id, [up, last])
  while ((await call('GET', '/bots/echo/data')).status !== 200)
    await new Promise((resolve) => setTimeout(resolve, 5))
})

test('refuses to remove a user who has bot data, since the next user of that name would get it', async (t) => {
  const { hub, call, start, up, stop } = await setUp(t)
  const { token: boss } = await hub.user('boss', 'admin')
  await start('echo')
  await up('echo')
  await stop('echo')
  const remove = () => hub.call('DELETE', '/api/users/user_ann', boss)
  const refused = await remove()
  assert.deepEqual([refused.status, refused.json.error.code], [409, 'conflict'])
  assert.match(refused.json.error.hint, /errand bot data remove echo --owner ann$/)
  assert.equal((await call('GET', '/auth/me')).status, 200)
  assert.equal((await hub.call('DELETE', '/api/bots/echo/data?owner=ann', boss)).status, 204)
  assert.equal((await remove()).status, 204)
})

test('an update has separate data while it is in progress; a failed update leaves the old data', async (t) => {
  const live = new Map<string, BotLive>()
  const { hub, call, start, botOn, up } = await setUp(t, { machines: { liveBot: (id) => live.get(id) } })
  const place = async () => {
    const { path, limit_bytes } = (await call('GET', '/bots/echo/data')).json
    return `${path} ${limit_bytes / GB}`
  }
  const becomes = async (expected: string) => {
    for (const deadline = Date.now() + 60_000; (await place()) !== expected; ) {
      assert.ok(Date.now() < deadline, await place())
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const old = (await start('echo')).json.run_id
  await up('echo')
  await becomes('/data 1')
  const update = async () => {
    const data = { path: '/other', size: '2GB' }
    const { run_id } = (await call('POST', '/bots/echo/update', { data })).json.update
    const bot = await botOn('echo', undefined, run_id)
    const { attempt_id } = bot.spec
    live.set(attempt_id, { attempt_id, health: { state: 'starting' } })
    await bot.phase('running')
    await becomes('/other 2')
    return bot
  }
  const bad = await update()
  const { engine, secrets, uploads, botData } = hub
  const { Bots } = await import('../bots/bots.ts')
  const quota = { maxBots: 3, maxSeconds: 86_400, maxDataBytes: 5 * GB }
  const options = { engine, secrets, uploads, data: botData, quota, log: () => {} }
  const next = new Bots({ ...options, live: (id) => live.get(id) })
  await next.resume()
  assert.equal(await place(), '/other 2')
  await next.close()
  const { attempt_id } = bad.spec
  live.set(attempt_id, { attempt_id, health: { state: 'unhealthy' } })
  assert.equal((await hub.engine.done(bad.spec.run_id)).status, 'canceled')
  await becomes('/data 1')
  const ends = await update()
  ends.end({ outcome: 'failed', reason: 'exit_code' })
  await hub.engine.done(ends.spec.run_id)
  await becomes('/data 1')
  assert.equal((await hub.engine.get(old))!.status, 'running')
})

test('refuses to update a run that has no runner yet, since its data would be in two places', async (t) => {
  const { hub, call, start } = await setUp(t)
  hub.host.place = () => ({ waiting: 'for a runner' }) as never
  await start('echo')
  const update = await call('POST', '/bots/echo/update', { env: { A: '1' } })
  assert.deepEqual([update.status, update.json.error.code], [409, 'conflict'])
})

test('bot data count toward the quota of their owner, and the refusal names both numbers', async (t) => {
  const { call, start, up, stop } = await setUp(t, {
    botQuota: { maxBots: 9, maxSeconds: 3600, maxDataBytes: 3 * GB },
  })
  await start('one')
  await up('one')
  await stop('one')
  await start('two')
  const third = await start('three', { data: { size: '2GB' } })
  assert.deepEqual([third.status, third.json.error.code], [409, 'quota_exceeded'])
  assert.equal(third.json.error.message, 'The data of your bots would have 4 GB; the limit is 3 GB.')
  assert.deepEqual(third.json.error.details.bots, ['one', 'two'])
  const more = await call('POST', '/bots/two/update', { data: { size: '2.5GB' } })
  assert.equal(more.json.error.code, 'quota_exceeded')
  assert.equal((await start('three', { data: { size: '1GB' } })).status, 201)
  assert.equal((await call('GET', '/bot-data')).json.limit_bytes, 3 * GB)
})

test('the data limit can shrink only if the data fit it', async (t) => {
  const { hub, call, start, up, stop } = await setUp(t, {
    botQuota: { maxBots: 9, maxSeconds: 3600, maxDataBytes: 3 * GB },
  })
  const limit = async () => (await call('GET', '/bots/one/data')).json.limit_bytes
  const shrunk = () => start('one', { data: { size: '1MB' } })
  const first = (await start('one', { data: { size: '2GB' } })).json.run_id
  await up('one')
  const beside = await call('POST', '/bots/one/update', { data: { size: '1MB' } })
  assert.deepEqual([beside.status, beside.json.error.code], [409, 'conflict'])
  assert.match(beside.json.error.message, /may write 2 GB of data, so their limit cannot be 1 MB/)
  await stop('one')
  hub.botData.asks.tars.set('ann/one', Buffer.alloc(2 * 1024 ** 2))
  const full = await shrunk()
  assert.deepEqual([full.status, full.json.error.code], [409, 'conflict'])
  assert.match(full.json.error.message, /limit for the data of the bot "one" cannot be 1 MB: they have 2 MB/)
  assert.match(full.json.error.hint, /--data-size 2GB/)
  hub.botData.asks.away.add('stand-in')
  const unknown = await shrunk()
  assert.deepEqual([unknown.status, unknown.json.error.code], [409, 'conflict'])
  assert.match(unknown.json.error.message, /it was 2 GB, and their current size is not known/)
  hub.botData.asks.away.clear()
  assert.equal((await start('two', { data: { size: '2GB' } })).json.error.code, 'quota_exceeded')
  assert.equal(await limit(), 2 * GB)
  // Files that were added since then count in full.
  hub.botData.asks.tars.set('ann/one', Buffer.alloc(10))
  const second = (await shrunk()).json.run_id
  hub.botData.asks.tars.set('ann/one', Buffer.alloc(2 * 1024 ** 2))
  await up('one', first)
  await stop('one')
  assert.equal(await limit(), 2 * GB)
  hub.botData.asks.tars.set('ann/one', Buffer.alloc(10))
  assert.equal((await shrunk()).status, 201)
  await up('one', second)
  while ((await limit()) !== 1024 ** 2) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal((await start('two', { data: { size: '2GB' } })).status, 201)
})

test('accepts only a plain path outside the system folders as the place for data', async (t) => {
  const { start } = await setUp(t)
  for (const path of [
    'data',
    '/',
    '/etc',
    '/etc/bot',
    '/usr/bin',
    '/proc/1',
    '/tmp/x',
    '/a/../b',
    '/a//b',
    '/a b',
  ])
    assert.equal((await start('echo', { data: { path } })).status, 400, path)
})

test('exports data unchanged, and removes them once their bot has ended', async (t) => {
  const { hub, call, start, up, stop } = await setUp(t)
  const { token: bob } = await hub.user('bob')
  const { token: boss } = await hub.user('boss', 'admin')
  await start('echo')
  await up('echo')
  const tar = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  hub.botData.asks.tars.set('ann/echo', tar)
  const exported = async (token: string, query = '') => {
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`${hub.url}/api/bots/echo/data/export${query}`, { headers })
    return [response.status, Buffer.from(await response.arrayBuffer())] as const
  }
  assert.deepEqual(await exported(boss, '?owner=ann'), [200, tar])
  assert.equal((await exported(bob))[0], 404)
  assert.equal((await exported(bob, '?owner=ann'))[0], 404)
  assert.deepEqual((await hub.call('GET', '/api/bot-data?owner=ann', bob)).json.data, [])
  assert.equal((await hub.call('GET', '/api/bot-data', boss)).json.data.length, 1)
  const refused = await call('DELETE', '/bots/echo/data')
  assert.deepEqual([refused.status, refused.json.error.code], [409, 'conflict'])
  await stop('echo')
  hub.botData.asks.away.add('stand-in')
  const away = await call('DELETE', '/bots/echo/data')
  assert.equal(away.json.error.code, 'unavailable')
  assert.match(away.json.error.hint, /--force/)
  assert.equal((await call('GET', '/bots/echo/data')).json.bytes, undefined)
  hub.botData.asks.away.clear()
  assert.equal((await call('DELETE', '/bots/echo/data')).status, 204)
  assert.equal(hub.botData.asks.tars.size, 0)
  assert.equal((await call('DELETE', '/bots/echo/data')).status, 404)
  assert.deepEqual((await call('GET', '/bot-data')).json.data, [])
})

test('force ends the bot first, and forgets data whose runner is away', async (t) => {
  const { hub, call, start, up } = await setUp(t)
  const { run_id } = (await start('echo')).json
  await up('echo')
  assert.equal((await call('DELETE', '/bots/echo/data?force=true')).status, 204)
  assert.equal((await hub.engine.done(run_id)).status, 'canceled')
  await start('echo')
  await up('echo', run_id)
  hub.botData.asks.away.add('stand-in')
  assert.equal((await call('DELETE', '/bots/echo/data?force=true')).status, 204)
  assert.equal((await call('GET', '/bots/echo/data')).status, 404)
})

test('a body from a runner has no time limit while it arrives; any other body has one', async (t) => {
  const requestMs = 2000
  const { hub } = await setUp(t, { apiLimits: { requestMs } })
  const runner = await hub.user('runner', 'admin')
  const token = await hub.tokenOf(runner.id, 'runner')
  let taken = Promise.resolve('')
  hub.botData.asks.take = async (_tenant?: string, _id?: string, body?: Readable) => {
    taken = text(body!)
    await taken
  }
  const answers = '/api/runner-answers/7ac1c8c4-5d5f-4d3c-8a43-9ad6a8b0ef0d'
  /** Sends a request whose body has no end yet, and collects everything that is answered. */
  const sending = async (method: string, path: string, type: string, bearer: string) => {
    const socket = connect(Number(new URL(hub.url).port), '127.0.0.1')
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    await once(socket, 'connect')
    const head = [`${method} ${path} HTTP/1.1`, 'host: 127.0.0.1', `content-type: ${type}`]
    head.push(`authorization: Bearer ${bearer}`, 'transfer-encoding: chunked', 'connection: close')
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    return { socket, answer: text(socket).catch(() => '') }
  }
  const { socket, answer } = await sending('PUT', answers, 'application/x-tar', token)
  // For at least as long as a request of another route may take.
  const others = await Promise.all([
    sending('POST', '/api/runs', 'application/json', runner.token),
    sending('POST', '/api/runs?bad=%', 'application/json', runner.token),
    sending('PUT', '/%', 'application/json', 'nobody'),
  ])
  let chunks = 0
  const drip = setInterval(() => {
    chunks++
    for (const each of [socket, ...others.map((other) => other.socket)])
      if (each.writable) each.write('1\r\nx\r\n')
  }, 20)
  t.after(() => clearInterval(drip))
  const [late] = await Promise.all(others.map((other) => other.answer))
  assert.match(late!, /^HTTP\/1.1 408 .*did not arrive in time/s)
  const again = await sending('POST', '/api/runs', 'application/json', runner.token)
  assert.match(await again.answer, /^HTTP\/1.1 408 /)
  clearInterval(drip)
  socket.write('0\r\n\r\n')
  assert.match(await answer, /^HTTP\/1.1 204 /)
  assert.equal((await taken).length, chunks)
  // A request that stops sending is ended.
  const silent = await sending('PUT', answers, 'application/x-tar', token)
  assert.doesNotMatch(await silent.answer, /204/)
  await assert.rejects(taken)
})
