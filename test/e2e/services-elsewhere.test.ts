import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, writeWorkflow } from '../support/programs.ts'

test('a runner works with a remote repo pool and a remote artifact store', async (t) => {
  const requests: { path: string; token?: string; body: string }[] = []
  let isAway = true
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString()
    if (isAway) return void request.socket.destroy()
    requests.push({ path: `${request.method} ${request.url}`, token: request.headers.authorization, body })
    const answer = request.url?.startsWith('/pool') ? { slot_id: '7', slot_path: '/' } : { uri: 'store://1' }
    response.writeHead(200).end(JSON.stringify(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { call, home } = await startPrograms(t, {
    runnerEnv: {
      REPO_POOL_URL: `${url}/pool`,
      ERRAND_REPO_POOL_TOKEN: 'pool-token',
      ERRAND_ARTIFACT_STORE_URL: `${url}/store`,
      ERRAND_ARTIFACT_STORE_TOKEN: 'store-token',
    },
  })
  // The store is away. Nothing fails because of it, and it receives the file later.
  const storing = writeWorkflow(join(home, 'keeps.yaml'), [
    { name: 'make', cmd: 'echo made > report.txt; env', artifacts: ['report.txt'] },
  ])
  const stored = await call('run', '--hub', storing)
  assert.equal(stored.code, 0, stored.stdout + stored.stderr)
  assert.ok(!/store-token|pool-token/.test(stored.stdout))
  isAway = false
  await eventually('the file at the store', () => requests.length === 1)
  assert.deepEqual([requests[0]!.path, requests[0]!.token], ['POST /store/artifacts', 'Bearer store-token'])
  for (const part of ['made', 'report.txt', '"run_id":"run_'])
    assert.ok(requests[0]!.body.includes(part), part)

  const code = writeWorkflow(join(home, 'code.yaml'), [
    { name: 'code', action: 'git.workspace', args: { repo: 'https://git.example/shop/web' } },
  ])
  const refused = await call('run', '--hub', code)
  assert.equal(refused.code, 1)
  assert.match(refused.stdout + refused.stderr, /outside the folders that may contain slots/)
  await eventually('the slot to be returned', () => requests.length === 3)
  assert.deepEqual(
    requests.slice(1).map(({ path, token }) => [path, token]),
    [
      ['POST /pool/slots/allocate', 'Bearer pool-token'],
      ['POST /pool/slots/7/release', 'Bearer pool-token'],
    ],
  )
})
