import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, writeWorkflow } from '../support/programs.ts'

test('a runner works with a remote repo pool and a remote artifact store', async (t) => {
  const asked: { path: string; token?: string; body: string }[] = []
  let isAway = true
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString()
    if (isAway) return void request.socket.destroy()
    asked.push({ path: `${request.method} ${request.url}`, token: request.headers.authorization, body })
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
  const keeps = writeWorkflow(join(home, 'keeps.yaml'), [
    { name: 'make', cmd: 'echo made > report.txt; env', artifacts: ['report.txt'] },
  ])
  const kept = await call('run', '--hub', keeps)
  assert.equal(kept.code, 0, kept.stdout + kept.stderr)
  assert.ok(!/store-token|pool-token/.test(kept.stdout))
  isAway = false
  await eventually('the file at the store', () => asked.length === 1)
  assert.deepEqual([asked[0]!.path, asked[0]!.token], ['POST /store/artifacts', 'Bearer store-token'])
  for (const part of ['made', 'report.txt', '"run_id":"run_']) assert.ok(asked[0]!.body.includes(part), part)

  const code = writeWorkflow(join(home, 'code.yaml'), [
    { name: 'code', action: 'git.workspace', args: { repo: 'https://git.example/shop/web' } },
  ])
  const refused = await call('run', '--hub', code)
  assert.equal(refused.code, 1)
  assert.match(refused.stdout + refused.stderr, /outside the folders that may contain slots/)
  await eventually('the slot to be returned', () => asked.length === 3)
  assert.deepEqual(
    asked.slice(1).map(({ path, token }) => [path, token]),
    [
      ['POST /pool/slots/allocate', 'Bearer pool-token'],
      ['POST /pool/slots/7/release', 'Bearer pool-token'],
    ],
  )
})
