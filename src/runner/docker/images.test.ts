import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { dockerFor, dockerHere } from '../../../test/support/docker/docker.ts'
import { dockerUnderTest } from '../../../test/support/docker/docker-under-test.ts'
import { startImageRegistry } from '../../../test/support/docker/image-registry.ts'
import type { ErrandError } from '../../contract/errors.ts'
import { connectDocker } from './connected-docker.ts'

const skip = await dockerHere()
const never = new AbortController().signal

test('a pull distinguishes right, wrong and missing credentials, and a missing image', {
  skip,
}, async (t) => {
  const { engine, image } = await dockerUnderTest(t)
  const docker = dockerFor(t)
  const { address, username, password } = await startImageRegistry(t)
  const name = `${address}/bots/one:v1`
  const container = await docker.engine.createContainer({ Image: image, Labels: docker.labels })
  await container.commit({ repo: `${address}/bots/one`, tag: 'v1' })
  const pushed = await docker.engine
    .getImage(name)
    .push({ authconfig: { username, password, serveraddress: address } })
  assert.doesNotMatch(await text(pushed), /"error"/)
  assert.equal(await engine.removeImage(name), true)

  const lines: string[] = []
  const pull = (image: string, auth?: { username: string; password: string }) =>
    engine.pull({ image, auth, progress: (line) => lines.push(line), signal: never })
  await assert.rejects(pull(name), { code: 'pull_refused', message: /needs credentials/ })
  await assert.rejects(pull(name, { username, password: 'wrong' }), {
    code: 'pull_refused',
    message: /refuses/,
  })
  await assert.rejects(pull(`${address}/bots/one:v2`, { username, password }), { code: 'not_found' })
  await assert.rejects(pull('127.0.0.1:1/none'), { code: 'unavailable', message: /does not answer/ })
  await assert.rejects(pull('UPPER/case'), { code: 'invalid_argument' })
  assert.deepEqual((await pull(name, { username, password })).names, [name])
  assert.ok(
    lines.some((line) => line.startsWith('Status: Downloaded')),
    lines.join('\n'),
  )
  assert.equal(await engine.removeImage(name), true)
})

test('an answer that a registry makes the engine request elsewhere is not disclosed', { skip }, async (t) => {
  const { engine } = await dockerUnderTest(t)
  const requests: string[] = []
  let status = 200
  const inner = await served(t, ({ url }, response) => {
    requests.push(url!)
    response.writeHead(status).end('{"AccessKey": SECRET-OF-THE-MACHINE}')
  })
  const realm = await served(t, (_, response) => {
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${inner}/realm"` }).end('{}')
  })
  const redirecting = await served(t, ({ url }, response) => {
    if (url === '/v2/') response.end('{}')
    else response.writeHead(302, { location: `http://${inner}/redirect` }).end()
  })
  for (const address of [realm, redirecting])
    for (const name of [`${address}/a/b:v1`, `${address}/a/b@sha256:${'0'.repeat(64)}`])
      for (status of [200, 403, 500])
        await assert.rejects(
          engine.pull({ image: name, progress: () => {}, signal: never }),
          ({ message, details }: ErrandError) =>
            !/SECRET|AccessKey|'S'/.test(JSON.stringify([message, details])),
        )
  assert.ok(
    requests.some((url) => url.startsWith('/realm')) && requests.includes('/redirect'),
    requests.join(),
  )
})

async function served(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a missing Docker is reported with where it was looked for and what to do', async () => {
  await assert.rejects(connectDocker({ DOCKER_HOST: 'unix:///no/such/docker.sock' }, 'none'), {
    code: 'unavailable',
    message: 'Docker is not reachable at /no/such/docker.sock.',
    hint: 'Start Docker, or set DOCKER_HOST.',
  })
})
