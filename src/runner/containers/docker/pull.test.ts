import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { dockerFor, dockerHere } from '../../../../test/support/docker/docker.ts'
import { dockerUnderTest } from '../../../../test/support/docker/docker-under-test.ts'
import { startImageRegistry } from '../../../../test/support/docker/image-registry.ts'
import { connectDocker } from './connect.ts'

const skip = await dockerHere()
const never = new AbortController().signal

test('a pull tells right credentials from wrong ones and none, and what is not there', {
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

test('no Docker is said with where it was looked for and what to do', async () => {
  await assert.rejects(connectDocker({ DOCKER_HOST: 'unix:///no/such/docker.sock' }), {
    code: 'unavailable',
    message: 'Docker is not reachable at /no/such/docker.sock.',
    hint: 'Start Docker, or set DOCKER_HOST.',
  })
})
