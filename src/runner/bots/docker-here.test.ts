import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import { askVersion } from '../../docker/docker-client.ts'
import { watchDocker } from './docker-here.ts'

/** Listens on a socket like an engine, and gives this answer. */
async function listening(t: TestContext, status: number, body: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  const server = createServer((_, response) => response.writeHead(status).end(body))
  server.listen(join(folder, 'engine.sock'))
  await once(server, 'listening')
  t.after(() => {
    server.close()
    rmSync(folder, { recursive: true })
  })
  return `unix://${folder}/engine.sock`
}

test('an engine is recognized by its version, and anything without a usable answer is not one', async (t) => {
  assert.equal(await askVersion({ DOCKER_HOST: await listening(t, 200, '{"Version":"27.1"}') }), '27.1')
  assert.equal(await askVersion({ DOCKER_HOST: await listening(t, 200, 'hello') }), undefined)
  assert.equal(await askVersion({ DOCKER_HOST: await listening(t, 500, '{"Version":"27.1"}') }), undefined)
  assert.equal(await askVersion({ DOCKER_HOST: 'unix:///nowhere/engine.sock' }), undefined)
  assert.equal(await askVersion({ DOCKER_HOST: 'tcp://127.0.0.1:1' }), undefined)
  assert.equal(await askVersion({ DOCKER_HOST: 'what is this' }), undefined)
})

test('a watch reports an engine that it finds', async (t) => {
  const seen: unknown[] = []
  const env = { DOCKER_HOST: await listening(t, 200, '{"Version":"27.1"}') }
  const watch = watchDocker(env, (engine) => seen.push(engine))
  await until(() => seen.length > 0)
  watch.close()
  watch.close()
  assert.deepEqual(seen, [{ engine: 'docker', version: '27.1' }])
})
