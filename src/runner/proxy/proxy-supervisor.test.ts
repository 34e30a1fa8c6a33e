import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { request as requestTo } from 'node:http'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import {
  connectTo,
  PUBLIC,
  proxyFixture,
  proxyHealth,
  webServer,
} from '../../../test/support/runner/proxy-fixture.ts'
import { processStat } from '../../platform/proc.ts'
import { socketPath } from '../../platform/socket-path.ts'
import type { ProxySupervisor } from './proxy-supervisor.ts'
import { FOLDER_TAKEN, type LogEntry } from './rules.ts'

async function get(socket: string, url: string): Promise<{ status: number; text: string }> {
  const { path, close } = socketPath(socket)
  const request = requestTo({
    socketPath: path,
    path: url,
    headers: { host: new URL(url).host },
    agent: false,
  }).end()
  const [response] = await once(request, 'response')
  close()
  return { status: response.statusCode, text: await text(response) }
}

test('an endpoint opens for the hosts of its rules, reports refusals and usage, and closes for good', async (t) => {
  const proxy = proxyFixture(t)
  const port = await webServer(t, ({ method, url }, response) => response.end(`${method} ${url}`))
  proxy.world({ names: { 'files.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:80`]: port } })
  const socket = await proxy.open('one', { allow: ['files.test'] })
  assert.deepEqual(await get(socket, 'http://files.test/a?b'), { status: 200, text: 'GET /a?b' })
  assert.equal((await get(socket, 'http://other.test/')).status, 403)
  assert.deepEqual(proxy.log('one'), [
    { type: 'refused', host: 'other.test', port: 80, why: 'host_not_allowed', count: 1 },
  ])
  const folder = dirname(dirname(socket))
  assert.equal(statSync(join(folder, 'rules.json')).mode & 0o777, 0o600)
  await proxy.supervisor.close('one')
  await proxy.supervisor.close('one')
  const used = proxy.log('one').filter(({ type }) => type === 'used')
  assert.equal(used.length, 1)
  assert.equal(used[0]?.type === 'used' && used[0].host, 'files.test')
  assert.ok(!existsSync(join(folder, 'rules.json')) && !existsSync(socket))
  await proxy.supervisor.remove('one')
  assert.ok(!existsSync(folder))
})

const page = (socket: string) => get(socket, 'http://files.test/')

/** Makes a proxy with an endpoint to `files.test`, a web server. */
async function withWeb(t: TestContext, options: Parameters<typeof proxyFixture>[1] = {}) {
  const proxy = proxyFixture(t, options)
  const port = await webServer(t, (_request, response) => response.end('reached'))
  proxy.world({ names: { 'files.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:80`]: port } })
  return { ...proxy, socket: await proxy.open('one', { allow: ['files.test'] }) }
}

test('a proxy that is killed in the middle of an answer returns at the same endpoint without losing a count', async (t) => {
  const proxy = proxyFixture(t)
  const size = 300_000
  const port = await webServer(t, (_request, response) => {
    response.writeHead(200)
    response.write(Buffer.alloc(size))
  })
  proxy.world({ names: { 'files.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:80`]: port } })
  const socket = await proxy.open('one', { allow: ['files.test'] })
  const used = join(proxy.folder, 'doors/one/used.json')
  for (let round = 1; round <= 3; round++) {
    const stream = await connectTo(t, socket)
    let got = 0
    stream.on('data', (more: Buffer) => {
      got += more.length
    })
    stream.write('GET http://files.test/ HTTP/1.1\r\nHost: files.test\r\n\r\n')
    await until(() => got > size)
    // Counts are stored at intervals.
    await until(() => counted(used) >= round * size)
    const before = proxy.pid()
    process.kill(before, 'SIGKILL')
    await once(stream, 'end')
    await until(async () => (await answers(socket)) === 403)
    assert.notEqual(proxy.pid(), before)
  }
  await proxy.supervisor.close('one')
  const [line] = proxy.log('one').filter(({ type }) => type === 'used')
  assert.ok(line?.type === 'used' && line.received_bytes >= 3 * size, JSON.stringify(line))
})

const counted = (file: string): number => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))['files.test']?.received ?? 0
  } catch {
    return 0
  }
}

/** Returns the status of a refused request; undefined if nobody answers. */
const answers = (socket: string) =>
  get(socket, 'http://refused.test/').then(
    ({ status }) => status,
    () => undefined,
  )

test('a proxy outlives its runner, and a later runner uses the same one', async (t) => {
  const { supervisor, more, pid, socket, log } = await withWeb(t)
  const before = pid()
  supervisor.stop()
  assert.equal((await page(socket)).status, 200)
  const later = more()
  await later.resume()
  assert.equal((await page(socket)).status, 200)
  const again = await later.open('one', { network: 'none', models: [], budget: {} }, dirname(socket))
  assert.equal(join(again.folder, 'proxy'), socket)
  assert.equal((await page(socket)).status, 403)
  assert.equal(pid(), before)
  await later.close('one')
  assert.deepEqual(
    log('one').map(({ type }) => type),
    ['refused', 'used'],
  )
})

test('the next runner restarts a proxy that ended in the meantime, with the same endpoints', async (t) => {
  const { supervisor, more, pid, socket } = await withWeb(t)
  const before = pid()
  supervisor.stop()
  process.kill(before, 'SIGKILL')
  await until(async () => (await answers(socket)) === undefined)
  await more().resume()
  assert.equal((await page(socket)).text, 'reached')
})

test('the next runner removes an endpoint whose attempt is gone', async (t) => {
  const { supervisor, more, folder } = await withWeb(t)
  await supervisor.open('stray', { network: 'all', models: [], budget: {} }, join(folder, 'not-there'))
  await more().resume()
  assert.deepEqual(readdirSync(join(folder, 'doors')), ['one'])
})

test('an unwatched proxy closes the endpoints of ended processes, and ends', async (t) => {
  const { supervisor, more, folder, pid, socket } = await withWeb(t)
  const attempt = join(folder, 'attempt-of-another')
  mkdirSync(attempt)
  const owner = spawn('sleep', ['1000'])
  t.after(() => owner.kill('SIGKILL'))
  writeFileSync(join(attempt, 'owner'), JSON.stringify({ pid: owner.pid, started: '' }))
  const { folder: inside } = await supervisor.open('owned', ALL, attempt)
  const proxy = pid()
  await connectTo(t, join(inside, 'proxy'))
  const other = more()
  await other.resume()
  assert.ok(existsSync(join(inside, 'proxy')), 'its process is alive')
  await supervisor.remove('one')
  other.stop()
  supervisor.stop()
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  // Even if something in the box still holds a connection.
  await until(() => processStat(proxy) === undefined)
  assert.deepEqual(readdirSync(join(folder, 'doors')), [])
  assert.ok(!existsSync(socket))
})

test('when two proxies start at once in one folder, one stays and the other exits with its own code', async (t) => {
  const { folder, more, pid } = await withWeb(t)
  const program = join(import.meta.dirname, 'program.ts')
  const second = spawn(process.execPath, [program, folder], { stdio: 'ignore' })
  assert.deepEqual((await once(second, 'exit'))[0], FOLDER_TAKEN)
  const before = pid()
  process.kill(before, 'SIGKILL')
  // Runners that all find it gone.
  const opened = await Promise.all([1, 2, 3].map((n) => more().open(`at-once-${n}`, ALL, folder)))
  for (const endpoint of opened) assert.equal(await answers(join(endpoint.folder, 'proxy')), 502)
})

const ALL: Parameters<ProxySupervisor['open']>[1] = { network: 'all', models: [], budget: {} }

test('an endpoint works with a path of any length', async (t) => {
  const { socket, supervisor, log } = await withWeb(t, { below: 'a'.repeat(200) })
  assert.ok(Buffer.byteLength(socket) > 200, socket)
  assert.equal((await page(socket)).text, 'reached')
  await supervisor.close('one')
  assert.equal(log('one').at(-1)?.type, 'used')
  assert.ok(!existsSync(socket))
})

/** Makes a proxy of another version than the current one, and an endpoint of it. */
async function withOldProxy(t: TestContext) {
  const web = await withWeb(t, {})
  const { folder, pid, supervisor, socket } = web
  writeFileSync(join(folder, 'version'), 'another')
  process.kill(pid(), 'SIGKILL')
  await until(async () => (await answers(socket)) === 403)
  const old = pid()
  supervisor.stop()
  rmSync(join(folder, 'version'))
  return { ...web, old }
}

test('a proxy of another version is replaced once it has no traffic', async (t) => {
  const { folder, more, pid, socket, old } = await withOldProxy(t)
  const hanging = await connectTo(t, socket)
  hanging.write('POST http://files.test/ HTTP/1.1\r\nHost: files.test\r\nContent-Length: 10\r\n\r\n')
  await until(async () => (await proxyHealth(folder)).open === 1)
  await more().resume()
  // It continues, and opens new endpoints, as long as it has traffic.
  assert.equal((await page(socket)).text, 'reached')
  assert.equal(pid(), old)
  hanging.destroy()
  await until(async () => (await answers(socket)) === 403 && pid() !== old)
})

test('a proxy of another version without traffic is replaced before the next endpoint opens', async (t) => {
  const { folder, more, pid, socket, old } = await withOldProxy(t)
  const next = more()
  await next.open('two', { network: { allow: ['files.test'] }, models: [], budget: {} }, folder)
  assert.equal((await page(socket)).text, 'reached')
  await until(() => pid() !== old)
})

test('wrong rules keep only their own endpoint closed', async (t) => {
  const { supervisor, folder, pid, socket } = await withWeb(t)
  const wrong = { network: { allow: ['no host!'] }, models: [], budget: {} }
  await assert.rejects(supervisor.open('two', wrong, folder), { code: 'unavailable' })
  writeFileSync(join(folder, 'doors/two/rules.json'), '{"version":99')
  process.kill(pid(), 'SIGKILL')
  await until(async () => (await answers(socket)) === 403)
  assert.equal((await page(socket)).text, 'reached')
  assert.match(readFileSync(join(folder, 'log'), 'utf8'), /door two: /)
})

test('a proxy that cannot start is reported with its last words', async (t) => {
  const { more, folder } = proxyFixture(t)
  const program = join(folder, 'program.mjs')
  writeFileSync(program, 'console.error("no luck today"); process.exit(9)')
  await assert.rejects(more({ program }).open('one', ALL, folder), {
    code: 'unavailable',
    message: /it ended with 9: no luck today/,
  })
})

test('reports are read once, in complete lines, even after a torn one', async (t) => {
  const { supervisor, folder, pid, socket } = await withWeb(t)
  const file = join(folder, 'doors/one/told.jsonl')
  await page(socket)
  await answers(socket)
  const first = supervisor.logSince('one', 0)
  assert.equal(first.lines.length, 1)
  appendFileSync(file, '{"type":"refused","host":"torn')
  assert.deepEqual(supervisor.logSince('one', first.offset), { lines: [], offset: first.offset })
  process.kill(pid(), 'SIGKILL')
  await until(async () => (await answers(socket)) === 403)
  const second = supervisor.logSince('one', first.offset)
  assert.deepEqual(
    second.lines.map((line) => line.type === 'refused' && line.host),
    ['refused.test'],
  )
  assert.deepEqual(supervisor.logSince('one', second.offset).lines, [])
})

test('refusals are merged to one line per second and host, up to 200 per endpoint', async (t) => {
  const { supervisor, socket, log } = await withWeb(t)
  await Promise.all(Array.from({ length: 30 }, () => answers(socket)))
  await until(() => sum(log('one')) === 30)
  assert.ok(log('one').length <= 3, JSON.stringify(log('one')))
  for (let n = 0; n < 300; n++) await get(socket, `http://h${n}.test/`)
  await supervisor.close('one')
  const lines = log('one').filter(({ type }) => type === 'refused')
  assert.equal(lines.length, 200)
  assert.equal(sum(lines), 330)
  const last = lines.at(-1)
  assert.equal(last?.type === 'refused' && last.host, '(others)')
})

const sum = (lines: readonly LogEntry[]): number =>
  lines.reduce((all, line) => all + (line.type === 'refused' ? line.count : 0), 0)

test('a proxy without endpoints ends by itself, and the next endpoint gets a new one', async (t) => {
  const proxy = proxyFixture(t)
  proxy.world({ names: {}, servers: {}, aloneMs: 500 })
  const socket = await proxy.open('one', 'all')
  const before = proxy.pid()
  assert.equal(await answers(socket), 502)
  await proxy.supervisor.remove('one')
  await until(() => processStat(before) === undefined)
  assert.equal(await answers(await proxy.open('two', 'all')), 502)
})

test('leaving the proxy waits for its end, unless an endpoint or another process needs it', async (t) => {
  const { supervisor, more, pid, folder, socket } = await withWeb(t)
  const before = pid()
  await supervisor.leave()
  assert.equal((await page(socket)).status, 200)
  const other = more()
  await other.resume()
  await supervisor.remove('one')
  const again = await supervisor.open('two', ALL, folder)
  await supervisor.remove('two')
  await supervisor.leave()
  assert.ok(processStat(before) !== undefined, 'another process watches the proxy')
  await other.leave()
  assert.equal(processStat(before), undefined)
  await Promise.all([supervisor.leave(), other.leave()])
  const third = await supervisor.open('three', ALL, folder)
  assert.equal(await answers(join(third.folder, 'proxy')), 502)
  assert.ok(!existsSync(again.folder))
})

test('a proxy whose folder is removed ends', async (t) => {
  const proxy = proxyFixture(t)
  await proxy.open('one', 'all')
  const pid = proxy.pid()
  proxy.supervisor.stop()
  rmSync(proxy.folder, { recursive: true })
  await until(() => processStat(pid) === undefined)
})

test('no endpoint leads to the hub, regardless of the rules', async (t) => {
  const proxy = proxyFixture(t, { never: ['hub.test:80'] })
  const port = await webServer(t, (_request, response) => response.end('reached'))
  const names = { 'hub.test': [['10.0.0.7']], 'alias.test': [['10.0.0.7']], 'other.test': [['10.0.0.8']] }
  proxy.world({ names, servers: { '10.0.0.7:80': port, '10.0.0.8:80': port } })
  const socket = await proxy.open('one', { allow: Object.keys(names).map((name) => `${name}@private`) })
  const status = async (host: string) => (await get(socket, `http://${host}/`)).status
  assert.deepEqual(await Promise.all(Object.keys(names).map(status)), [403, 403, 200])
  assert.ok(proxy.log('one').every((line) => line.type === 'refused' && line.why === 'own_address'))
})

test('no argument, environment variable or readable file of the proxy contains a secret', async (t) => {
  const proxy = proxyFixture(t, { env: { ...process.env, SECRET_TOKEN: 'errand-test-secret', TZ: 'UTC' } })
  const key = 'sk-real-key-of-a-test'
  const model = {
    name: 'anthropic',
    shape: 'messages',
    upstream: 'http://127.0.0.1:9/',
    sentinel: 'x'.repeat(20),
  } as const
  const models = [{ ...model, header: 'bearer', key, headers: {} } as const]
  await proxy.supervisor.open('one', { network: 'models', models, budget: {} }, proxy.folder)
  const of = (file: string) => readFileSync(`/proc/${proxy.pid()}/${file}`, 'utf8')
  for (const file of ['cmdline', 'environ']) assert.doesNotMatch(of(file), /sk-real|errand-test-secret/, file)
  assert.match(of('environ'), /TZ=UTC/)
  const modes = (path: string) => (statSync(join(proxy.folder, path)).mode & 0o777).toString(8)
  assert.deepEqual(['control', 'doors', 'doors/one/rules.json', 'doors/one/told.jsonl', 'log'].map(modes), [
    ...['600', '700', '600', '600', '600'],
  ])
  await proxy.supervisor.close('one')
  assert.ok(!existsSync(join(proxy.folder, 'doors/one/rules.json')))
})
