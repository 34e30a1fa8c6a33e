import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { silentEngine } from '../../../test/support/silent-engine.ts'
import { Containers } from './containers.ts'

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-containers-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

const hanging = (address: string) => ({
  type: 'unusable',
  why: `Docker at ${address.slice('unix://'.length)} hangs: it did not describe itself within 2 s.`,
  hint: 'Find out what blocks it; restarting Docker may help.',
})

test('an engine that accepts the connection and says nothing is unusable on every check', async (t) => {
  const address = await silentEngine(t)
  const containers = new Containers({ stateDir: folderOf(t), env: { DOCKER_HOST: address } })
  // An unhandled rejection would end this process.
  assert.deepEqual(await containers.find(), hanging(address))
  assert.deepEqual(await containers.find(), hanging(address))
})

test('an engine that names its version and then hangs is unusable, until it answers', async (t) => {
  const folder = folderOf(t)
  const address = `unix://${folder}/docker.sock`
  let hangs = true
  const server = createServer((request, response) => {
    if (request.url === '/version') response.end('{"Version": "28.0.0", "Arch": "amd64"}')
    else if (!hangs) response.end('{"ID": "engine", "OSType": "linux", "NCPU": 2}')
  })
  server.listen(join(folder, 'docker.sock'))
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const containers = new Containers({ stateDir: folder, env: { DOCKER_HOST: address } })
  assert.deepEqual(await containers.find(), hanging(address))
  hangs = false
  server.closeAllConnections()
  assert.deepEqual(await containers.find(), { type: 'usable' })
})
