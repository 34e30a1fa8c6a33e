import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { createServer, request as requestTo } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { PUBLIC, proxyFixture } from '../../../test/support/runner/proxy-fixture.ts'
import { socketPath } from '../../platform/socket-path.ts'

async function webServer(t: TestContext): Promise<number> {
  const server = createServer((request, response) => response.end(`${request.method} ${request.url}`))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

async function get(socket: string, url: string): Promise<{ status: number; text: string }> {
  const { path, close } = socketPath(socket)
  const asked = requestTo({
    socketPath: path,
    path: url,
    headers: { host: new URL(url).host },
    agent: false,
  }).end()
  const [response] = await once(asked, 'response')
  close()
  return { status: response.statusCode, text: await text(response) }
}

test('a door opens for the hosts of its rules, tells what it refused and what was used, and is shut for good', async (t) => {
  const proxy = proxyFixture(t)
  proxy.world({ names: { 'files.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:80`]: await webServer(t) } })
  const socket = await proxy.open('one', { allow: ['files.test'] })
  assert.deepEqual(await get(socket, 'http://files.test/a?b'), { status: 200, text: 'GET /a?b' })
  assert.equal((await get(socket, 'http://other.test/')).status, 403)
  assert.deepEqual(proxy.told('one'), [
    { type: 'refused', host: 'other.test', port: 80, why: 'host_not_allowed', count: 1 },
  ])
  const folder = dirname(dirname(socket))
  assert.equal(statSync(join(folder, 'rules.json')).mode & 0o777, 0o600)
  await proxy.doors.close('one')
  await proxy.doors.close('one')
  const used = proxy.told('one').filter(({ type }) => type === 'used')
  assert.equal(used.length, 1)
  assert.equal(used[0]?.type === 'used' && used[0].host, 'files.test')
  assert.ok(!existsSync(join(folder, 'rules.json')) && !existsSync(socket))
  await proxy.doors.remove('one')
  assert.ok(!existsSync(folder))
})
