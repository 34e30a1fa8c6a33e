import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually } from '../../../../../test/support/errand-command.ts'
import { makeCertificate } from '../../../../../test/support/sources/git-fixture.ts'
import type { ProvisionError } from '../../provisioner.ts'
import { KubernetesApi } from './api-client.ts'

/** Never aborted: no caller cuts these calls off. */
const { signal } = new AbortController()

/** Starts an API server with scripted answers, and a client for it. */
async function scripted(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
  { host = '127.0.0.1', timeoutMs = 10_000 } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-api-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const { key, cert } = makeCertificate(folder, 'IP:127.0.0.1')
  let count = 0
  const server = createServer({ key, cert }, (request, response) => answer(request, response, ++count))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const kubeconfig = join(folder, 'config')
  writeFileSync(join(folder, 'token'), 'first')
  const config = {
    'current-context': 'c',
    clusters: [
      {
        name: 'c',
        cluster: {
          server: `https://${host}:${port}`,
          'certificate-authority-data': Buffer.from(cert).toString('base64'),
        },
      },
    ],
    users: [{ name: 'c', user: { tokenFile: 'token' } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
  }
  const write = (change: object = {}) => writeFileSync(kubeconfig, JSON.stringify({ ...config, ...change }))
  write()
  const api = new KubernetesApi({ kubeconfig, env: {}, timeoutMs })
  t.after(() => api.close())
  return { api, folder, server, config, write }
}

const json = (response: ServerResponse, status: number, body: object, headers = {}) =>
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))

async function refusalOf(work: Promise<unknown>): Promise<ProvisionError> {
  try {
    await work
  } catch (error) {
    return error as ProvisionError
  }
  throw new Error('it was taken')
}

test('reads a token again when it is no longer accepted', async (t) => {
  const { api, folder } = await scripted(t, ({ headers }, response) => {
    if (headers.authorization === 'Bearer second') json(response, 200, { ok: true })
    else json(response, 401, { message: 'Unauthorized' })
  })
  const old = await refusalOf(api.call('GET', '/x', signal))
  assert.match(old.message, /does not accept the credentials of the hub \(401\): Unauthorized\.$/)
  assert.ok(old.permanent)
  writeFileSync(join(folder, 'token'), 'second\n')
  assert.deepEqual(await api.call('GET', '/x', signal), { ok: true })
})

test('each refusal says which it is, what to do, and whether a retry helps', async (t) => {
  const text: { status: number; body: object } = { status: 200, body: {} }
  const { api } = await scripted(t, (_, response) => json(response, text.status, text.body))
  const forbidden = 'jobs.batch is forbidden: User "u" cannot create resource "jobs" in API group "batch"'
  const quota = (limited: string) =>
    `secrets "a" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: ${limited}`
  const cases: [number, object, RegExp, RegExp | undefined, boolean][] = [
    [403, { message: forbidden }, /\(403\): .*cannot create resource "jobs".*\.$/, /rbac\.yaml/, true],
    [403, { message: quota('count/jobs.batch=0') }, /exceeded quota/, /ResourceQuota/, true],
    [403, { message: quota('count/jobs.batch=10') }, /exceeded quota/, /ResourceQuota/, false],
    [403, { message: 'failed quota: q: must specify memory' }, /must specify/, /Set memory and cpus/, true],
    [403, { message: 'because it is being terminated' }, /terminated/, /another one/, true],
    [
      404,
      { message: 'namespaces "n" not found', details: { kind: 'namespaces', name: 'n' } },
      /"n" not found/,
      /kubectl create namespace n/,
      true,
    ],
    [409, { message: 'already exists', reason: 'AlreadyExists' }, /\(409\)/, undefined, false],
    [410, { message: 'too old', reason: 'Expired' }, /\(410\)/, undefined, false],
    [422, { message: 'spec.x: Invalid value' }, /\(422\): spec\.x/, /A setting of the group/, true],
    [500, { message: 'etcdserver: request timed out', reason: 'x' }, /etcdserver/, undefined, false],
  ]
  for (const [status, body, message, hint, permanent] of cases) {
    Object.assign(text, { status, body })
    const error = await refusalOf(api.call('POST', '/x', signal, { body: {} }))
    assert.match(error.message, message)
    if (hint === undefined) assert.equal(error.hint, undefined, String(status))
    else assert.match(error.hint!, hint)
    assert.equal(error.permanent, permanent, error.message)
  }
})

test('retries a busy API a few times, as it asks', async (t) => {
  let busy = 2
  const { api } = await scripted(t, (_, response) => {
    if (busy-- > 0) json(response, 429, { message: 'too many requests' }, { 'retry-after': '0' })
    else json(response, 200, { ok: true })
  })
  assert.deepEqual(await api.call('GET', '/x', signal), { ok: true })
  busy = 99
  const error = await refusalOf(api.call('GET', '/x', signal))
  assert.match(error.message, /\(429\): too many requests\./)
  assert.equal(error.permanent, false)
})

test('reads a list page by page, and restarts it when its pages have expired', async (t) => {
  const tokens: (string | null)[] = []
  const { api } = await scripted(t, ({ url }, response, count) => {
    const next = new URL(url!, 'https://x').searchParams.get('continue')
    tokens.push(next)
    if (next === null) json(response, 200, { items: [count], metadata: { continue: 'two' } })
    else if (tokens.length === 2) json(response, 410, { message: 'expired' })
    else json(response, 200, { items: [99], metadata: {} })
  })
  assert.deepEqual(await api.list('/x', signal, {}), [3, 99])
  assert.deepEqual(tokens, [null, 'two', null, 'two'])
})

test('reports an answer that is late, incomplete, or not from Kubernetes', async (t) => {
  const away = await scripted(t, () => {}, { timeoutMs: 200 })
  const late = await refusalOf(away.api.call('GET', '/x', signal))
  assert.match(late.message, /did not answer within 0\.2 s\.$/)
  assert.equal(late.permanent, false)
  const part = await scripted(t, (_, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{')
    setImmediate(() => response.destroy())
  })
  const cut = await refusalOf(part.api.call('GET', '/x', signal))
  assert.match(cut.message, /cannot be reached: |gave an incomplete answer: /)
  const other = await scripted(t, (_, response) => response.end('<html>Welcome</html>'))
  const page = await refusalOf(other.api.call('GET', '/x', signal))
  assert.match(page.message, /did not answer like Kubernetes: "<html>Welcome<\/html>"\.$/)
  // A load balancer shows such a page while the API server is away.
  assert.equal(page.permanent, false)
  other.server.closeAllConnections()
  other.server.close()
  await once(other.server, 'close')
  const gone = await refusalOf(other.api.call('GET', '/x', signal))
  assert.match(gone.message, /The API server https:\S+ cannot be reached: connect ECONNREFUSED/)
  assert.equal(gone.permanent, false)
})

test('reports a certificate that is not the right one as such', async (t) => {
  const { api } = await scripted(t, (_, response) => response.end('{}'), { host: 'localhost' })
  const name = await refusalOf(api.call('GET', '/x', signal))
  assert.match(name.message, /The TLS connection to https:\/\/localhost:\d+ failed: .*altnames/)
  assert.ok(name.permanent)
  const { api: other, write, config } = await scripted(t, (_, response) => response.end('{}'))
  const { server } = config.clusters[0]!.cluster
  write({ clusters: [{ name: 'c', cluster: { server } }] })
  assert.match((await refusalOf(other.call('GET', '/x', signal))).message, /failed: (self-signed|unable to)/)
})

test('a call ends with the hub', async (t) => {
  const { api } = await scripted(t, () => {})
  const stop = new AbortController()
  const call = refusalOf(api.call('GET', '/x', stop.signal))
  setImmediate(() => stop.abort())
  assert.match((await call).message, /the hub is stopping/)
})

test('closing ends idle connections, active ones after their answer, and keeps no later one open', async (t) => {
  let answer = () => {}
  const { api, server } = await scripted(t, ({ url }, response) => {
    if (url === '/held') answer = () => json(response, 200, { held: true })
    else json(response, 200, {})
  })
  const open = () =>
    new Promise<number>((resolve, reject) =>
      server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    )
  const held = api.call('GET', '/held', signal)
  await api.call('GET', '/x', signal)
  assert.equal(await open(), 2)
  api.close()
  await eventually('the end of one connection', async () => (await open()) === 1)
  await api.call('GET', '/x', signal)
  answer()
  assert.deepEqual(await held, { held: true })
  await eventually('the end of all connections', async () => (await open()) === 0)
})
