import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { build } from 'esbuild'
import { oneStep, testingHub } from '../../test/support/hub/hub-fixture.ts'
import type { RunEvent } from '../contract/events.ts'
import { ErrandClient } from './client.ts'
import { HubHttp } from './http.ts'

type Fault = { after: number; how: 'cut' | 'silence' }

/** Forwards bytes between client and hub, and on request drops a connection after some of them. */
async function breakingProxy(t: TestContext, target: string, nextFault: () => Fault | undefined) {
  const open = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect({ port: Number(new URL(target).port), host: '127.0.0.1' })
    const fault = nextFault()
    let passed = 0
    for (const socket of [near, far]) {
      open.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => {
          open.delete(socket)
          near.destroy()
          far.destroy()
        })
    }
    near.pipe(far)
    far.on('data', (bytes) => {
      const left = fault === undefined ? bytes.length : Math.max(0, fault.after - passed)
      passed += bytes.length
      if (bytes.length <= left) near.write(bytes)
      else if (fault?.how === 'cut') near.end(bytes.subarray(0, left), () => far.destroy())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = () => {
    server.close()
    for (const socket of open) socket.destroy()
  }
  t.after(stop)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
}

async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function all(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const list: RunEvent[] = []
  for await (const event of events) list.push(event)
  return list
}

test('a run is created, followed, read and repeated through the client', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann', 'admin')
  const client = new ErrandClient({ url: `${hub.url}/`, token })
  assert.equal((await client.health()).status, 'ok')
  assert.equal((await client.auth.me()).name, 'ann')
  const run = await client.runs.create({ yaml: oneStep('say 0123456789') }, { idempotencyKey: 'k' })
  assert.equal(
    (await client.runs.create({ yaml: oneStep('say 0123456789') }, { idempotencyKey: 'k' })).run_id,
    run.run_id,
  )
  const events = await all(client.events(run.run_id))
  assert.deepEqual(
    events.map(({ seq }) => seq),
    events.map((_, index) => index + 1),
  )
  assert.equal(events.at(-1)?.type, 'run.finished')
  assert.deepEqual(await all(client.events(run.run_id, { after: 3 })), events.slice(3))
  assert.deepEqual(await all(client.events(run.run_id, { after: 1000 })), [])

  const output = async (range?: { start?: number; end?: number }) =>
    await text(await client.output(run.run_id, 1, 'stdout', range))
  assert.equal(await output(), '0123456789')
  assert.equal(await output({ start: 2, end: 4 }), '23')
  assert.equal(await output({ start: 10 }), '')
  assert.equal(await output({ start: 4, end: 4 }), '')

  assert.equal((await client.runs.get(run.run_id)).status, 'success')
  assert.equal((await client.runs.status(run.run_id)).status, 'success')
  assert.equal((await client.runs.workflow(run.run_id)).workflow_name, 'demo')
  assert.equal((await client.runs.list({ status: 'success' })).runs.length, 1)
  assert.equal((await client.runs.retry(run.run_id)).retry_of, run.run_id)
  assert.equal((await client.runs.validate(oneStep('x'))).valid, true)
  const held = await client.runs.create({ yaml: oneStep('hold') })
  assert.equal((await client.runs.cancel(held.run_id, { message: 'enough' })).run_id, held.run_id)
  assert.equal((await client.runners.list()).length, 1)
  assert.equal((await client.runners.list({ status: 'draining', label: ['gpu', 'os=linux'] })).length, 0)
  assert.equal((await client.runners.list({ label: ['gpu', 'gpu=1'] })).length, 1)
  await client.runners.drain('runner-001')
  assert.equal((await client.runners.get('runner-001')).status, 'draining')
  await client.runners.resume('runner-001')
  await assert.rejects(client.runners.remove('runner-001'), { code: 'conflict' })
  await client.runners.remove('runner-001', { force: true })
  const { token: once } = await client.runners.createEnrollment({ group: 'gpu' })
  const enrolled = await client.runners.enroll({ token: once, runner_id: 'runner-002' })
  assert.deepEqual([enrolled.runner_id, enrolled.group], ['runner-002', 'gpu'])
  const address = { repository: 'shop' }
  assert.equal((await client.secrets.set('KEY', { value: 'long enough', ...address })).scope, 'repository')
  assert.equal((await client.secrets.list(address)).secrets.length, 1)
  await client.secrets.remove('KEY', address)
  assert.equal((await client.secrets.list({ name: 'KEY' })).secrets.length, 0)
  const made = await client.tokens.create({ name: 'more' })
  await client.tokens.revoke(made.id)
  assert.ok((await client.tokens.list()).tokens.find(({ id }) => id === made.id)?.revoked_at)
  const bob = await client.users.create({ name: 'bob', password: 'long enough' })
  assert.equal((await client.users.update(bob.id, { role: 'admin' })).role, 'admin')
  const session = await client.auth.login('bob', 'long enough')
  assert.equal((await new ErrandClient({ url: hub.url, token: session.token }).users.list()).users.length, 2)
  await client.users.remove(bob.id)
})

test('the client loads no schemas, and the table of routes says what it may send', async () => {
  const { metafile } = await build({
    entryPoints: [join(import.meta.dirname, 'client.ts')],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  })
  const loaded = Object.keys(metafile.inputs)
  assert.ok(loaded.some((path) => path.endsWith('client/http.ts')))
  assert.deepEqual(
    loaded.filter((path) => /node_modules|contract\/routes/.test(path)),
    [],
  )
  const http = new HubHttp({ url: 'http://127.0.0.1:9', fetch: async () => new Response('{}') })
  // @ts-expect-error No such route.
  await http.json('GET /api/run')
  // @ts-expect-error It has no such field.
  await http.json('POST /api/runs/:id/cancel', { params: { id: 'a' }, body: { forse: true } })
  // @ts-expect-error It is not of this type.
  const name: number = (await http.json('GET /api/auth/me')).name
  assert.equal(name, undefined)
})

test("a refusal is the server's error, with its code and hint", async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const client = new ErrandClient({ url: hub.url, token })
  await assert.rejects(client.runs.get('nope'), {
    code: 'run_not_found',
    message: /nope/,
    hint: /errand runs list/,
  })
  await assert.rejects(client.runs.create({ yaml: 'steps: 3' }), { code: 'invalid_workflow' })
  await assert.rejects(all(client.events('nope')), { code: 'run_not_found' })
  await assert.rejects(client.output('nope', 1, 'stdout'), { code: 'run_not_found' })
  await assert.rejects(new ErrandClient({ url: hub.url, token: 'x' }).runs.list(), { code: 'unauthorized' })
})

test('an unreachable hub is named, with what to do', async (t) => {
  const url = `http://127.0.0.1:${await unusedPort()}`
  const client = new ErrandClient({ url, token: 'x' })
  const dead = {
    code: 'unavailable',
    message: new RegExp(`${url} does not answer: nothing listens there`),
    hint: /errand up/,
  }
  await assert.rejects(client.health(), dead)
  await assert.rejects(all(client.events('run')), dead)
  assert.throws(() => new ErrandClient({ url: 'ftp://x' }), { code: 'invalid_argument' })

  const stranger = createHttpServer((_request, response) => response.end('<html>hello</html>'))
  stranger.listen(0, '127.0.0.1')
  await once(stranger, 'listening')
  t.after(() => stranger.close().closeAllConnections())
  const strange = new ErrandClient({ url: `http://127.0.0.1:${(stranger.address() as AddressInfo).port}` })
  await assert.rejects(strange.health(), { code: 'unavailable', message: /is not an Errand hub/ })
})

test('events arrive once and in order over a connection that breaks or falls silent', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const direct = new ErrandClient({ url: hub.url, token })
  const { run_id } = await direct.runs.create({ yaml: oneStep('flood 3000000') })
  const whole = await all(direct.events(run_id))
  let tries = 0
  const proxy = await breakingProxy(t, hub.url, () => {
    const after = 1000 * 6 ** tries
    return tries++ < 4 ? { after, how: tries % 2 === 0 ? 'silence' : 'cut' } : undefined
  })
  const broken: unknown[] = []
  const client = new ErrandClient({ url: proxy.url, token })
  assert.deepEqual(
    await all(client.events(run_id, { silenceMs: 300, onBroken: (error) => broken.push(error) })),
    whole,
  )
  assert.ok(broken.length > 0)
})

test('a follower gives up eventually when its hub is gone, and stops when asked', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const direct = new ErrandClient({ url: hub.url, token })
  const { run_id } = await direct.runs.create({ yaml: oneStep('hold') })
  const proxy = await breakingProxy(t, hub.url, () => undefined)
  const client = new ErrandClient({ url: proxy.url, token })
  const leaving = client.events(run_id, { patienceMs: 300 })[Symbol.asyncIterator]()
  await leaving.next()
  const stopped = new AbortController()
  const stopping = all(client.events(run_id, { signal: stopped.signal }))
  stopped.abort(new Error('enough'))
  await assert.rejects(stopping, { message: 'enough' })
  proxy.stop()
  await assert.rejects(
    async () => {
      while (!(await leaving.next()).done);
    },
    { code: 'unavailable', message: /does not answer/ },
  )
})
