import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { gatewayOf } from './docker-answers.ts'
import { DockerClient } from './docker-client.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown

/** Returns a client of a server that answers on a socket as an engine does. */
async function clientOf(t: TestContext, answer: Answer): Promise<DockerClient> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  const server = createServer(answer)
  server.listen(join(folder, 'docker.sock'))
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
    rmSync(folder, { recursive: true })
  })
  return new DockerClient({ DOCKER_HOST: `unix://${folder}/docker.sock` })
}

test('a request has the query, body, archive and credentials in the form that the engine reads', async (t) => {
  const docker = await clientOf(t, async (request, response) => {
    const { method, url, headers } = request
    response.end(JSON.stringify({ method, url, headers, body: await text(request) }))
  })
  interface RecordedRequest {
    method: string
    url: string
    headers: Record<string, string>
    body: string
  }
  const answer = await docker.ask<RecordedRequest>('POST', '/containers/create', {
    query: { name: 'a b', all: true, filters: { label: ['x=1'] }, changes: ['A', 'B'], none: undefined },
    body: { Env: ['ä=1'] },
  })
  assert.equal(answer.method, 'POST')
  const { pathname, searchParams } = new URL(answer.url, 'http://docker')
  assert.equal(pathname, '/containers/create')
  assert.deepEqual(
    [...searchParams],
    [
      ['name', 'a b'],
      ['all', 'true'],
      ['filters', '{"label":["x=1"]}'],
      ['changes', 'A'],
      ['changes', 'B'],
    ],
  )
  assert.equal(answer.body, '{"Env":["ä=1"]}')
  assert.deepEqual(
    [answer.headers['content-type'], answer.headers['content-length']],
    ['application/json', '16'],
  )

  // In the usual base64, these credentials contain "+", "/" and "=".
  const auth = { username: '??>', password: '~~~?', serveraddress: 'x' }
  const sent = await docker.ask<RecordedRequest>('PUT', '/build', {
    tar: Readable.from(['one', 'two']),
    auth,
  })
  assert.deepEqual(
    [sent.url, sent.body, sent.headers['content-type']],
    ['/build', 'onetwo', 'application/tar'],
  )
  const authHeader = sent.headers['x-registry-auth']!
  assert.match(authHeader, /^[\w-]+=*$/)
  assert.equal(authHeader.length % 4, 0)
  assert.deepEqual(JSON.parse(Buffer.from(authHeader, 'base64url').toString()), auth)

  const plain = await docker.ask<RecordedRequest>('POST', '/containers/1/start')
  assert.deepEqual(
    [plain.url, plain.body, plain.headers['content-type']],
    ['/containers/1/start', '', undefined],
  )
})

test("an answer that is not a success is thrown with its status and the engine's message", async (t) => {
  const docker = await clientOf(t, ({ url }, response) => {
    if (url === '/plain') response.writeHead(502).end('<html>')
    else response.writeHead(url === '/full' ? 500 : 404).end('{"message": "it says so"}')
  })
  await assert.rejects(docker.ask('GET', '/containers/1/json'), {
    message: '(HTTP code 404) no such container - it says so ',
    statusCode: 404,
    json: { message: 'it says so' },
  })
  await assert.rejects(docker.ask('GET', '/full'), { message: '(HTTP code 500) server error - it says so ' })
  await assert.rejects(docker.ask('GET', '/plain'), {
    message: '(HTTP code 502) unexpected - <html> ',
    json: undefined,
  })
  await assert.rejects(docker.open('GET', '/other'), {
    message: '(HTTP code 404) unexpected - it says so ',
    json: undefined,
  })
})

test('a call fails if the engine disappears in the middle of an answer or is not an engine', async (t) => {
  const docker = await clientOf(t, (_, response) => {
    response.writeHead(200).write('{"half": ')
    setImmediate(() => response.destroy())
  })
  await assert.rejects(docker.ask('GET', '/info'), { code: 'ECONNRESET' })
  const begun = await docker.open('GET', '/events')
  await assert.rejects(text(begun), { code: 'ECONNRESET' })
  const none = new DockerClient({ DOCKER_HOST: 'unix:///no/such/docker.sock' })
  await assert.rejects(none.ask('GET', '/info'), { code: 'ENOENT' })
})

test('a signal ends a request before its answer and in the middle of it', async (t) => {
  const docker = await clientOf(t, ({ url }, response) => {
    if (url === '/begun') response.writeHead(200).write('{"half": ')
  })
  for (const path of ['/silent', '/begun']) {
    const asking = docker.ask('GET', path, { signal: AbortSignal.timeout(50) })
    await assert.rejects(asking, ({ name }: Error) => /^(Abort|Timeout)Error$/.test(name))
  }
  const done = new AbortController()
  const begun = await docker.open('GET', '/begun', { signal: done.signal })
  done.abort()
  await assert.rejects(text(begun))
})

test('DOCKER_HOST says where the engine is, and only a socket is on this machine', () => {
  const at = (env: Record<string, string>) => {
    const { address, isHere } = new DockerClient(env)
    return [address, isHere]
  }
  assert.deepEqual(at({}), ['/var/run/docker.sock', true])
  assert.deepEqual(at({ DOCKER_HOST: 'unix:///run/user/1/docker.sock' }), ['/run/user/1/docker.sock', true])
  assert.deepEqual(at({ DOCKER_HOST: 'tcp://10.0.0.7:2375' }), ['tcp://10.0.0.7:2375', false])
})

test('a relative path can name a socket, and an address can be IPv6', async (t) => {
  const { address } = await clientOf(t, (_, response) => response.end('{"a":1}'))
  const beside = new DockerClient({ DOCKER_HOST: `unix://${relative(process.cwd(), address)}` })
  assert.deepEqual([beside.isHere, await beside.ask('GET', '/info')], [true, { a: 1 }])
  // Nothing listens there, and some machines have no IPv6; in no case is it looked up as a name.
  const request = new DockerClient({ DOCKER_HOST: 'tcp://[::1]:1' }).ask('GET', '/info')
  await assert.rejects(request, ({ code }) => ['ECONNREFUSED', 'EADDRNOTAVAIL', 'ENETUNREACH'].includes(code))
})

test('an engine with TLS is used with the certificates in DOCKER_CERT_PATH, and its own is verified', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const at = (name: string) => join(folder, name)
  const subject = ['-subj', '/CN=docker', '-addext', 'subjectAltName=IP:127.0.0.1']
  const made = ['-newkey', 'rsa:2048', '-nodes', '-keyout', at('key.pem'), '-out', at('cert.pem')]
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...subject, ...made], { stdio: 'ignore' })
  copyFileSync(at('cert.pem'), at('ca.pem'))
  const [key, cert] = [readFileSync(at('key.pem')), readFileSync(at('cert.pem'))]
  // The server rejects clients without a certificate of the same authority.
  const server = createTlsServer({ key, cert, ca: cert, requestCert: true }, (_, response) =>
    response.end('{"Version": "29.1"}'),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const env = { DOCKER_HOST: `tcp://127.0.0.1:${port}`, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: folder }
  assert.deepEqual(await new DockerClient(env).ask('GET', '/version'), { Version: '29.1' })
  const elsewhere = new DockerClient({ ...env, DOCKER_HOST: `tcp://localhost:${port}` })
  await assert.rejects(elsewhere.ask('GET', '/version'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  assert.throws(() => new DockerClient({ ...env, DOCKER_CERT_PATH: at('none') }), {
    code: 'invalid_argument',
    message: /ca\.pem cannot be read: ENOENT/,
  })
})

test("the machine's address on a network is its gateway, otherwise the first address of its IPv4 subnet", () => {
  const of = (config: { Subnet?: string; Gateway?: string } | undefined) =>
    gatewayOf(config === undefined ? {} : { IPAM: { Config: [config] } })
  assert.equal(of({ Subnet: '172.17.0.0/16', Gateway: '172.17.0.9' }), '172.17.0.9')
  assert.equal(of({ Subnet: '172.17.0.0/16' }), '172.17.0.1')
  assert.equal(of({ Subnet: '10.0.4.128/25', Gateway: '' }), '10.0.4.129')
  assert.equal(of({ Subnet: 'fd00::/80' }), undefined)
  assert.equal(of(undefined), undefined)
})

test('an invalid engine address is refused with the name of its variable', () => {
  for (const DOCKER_HOST of ['not a url', 'tcp://', 'http://host:99999'])
    assert.throws(() => new DockerClient({ DOCKER_HOST }), {
      code: 'invalid_argument',
      message: `DOCKER_HOST "${DOCKER_HOST}" is not a valid address.`,
    })
})
