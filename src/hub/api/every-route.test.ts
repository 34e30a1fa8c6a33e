import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from './testing-hub.ts'

interface Operation {
  security?: unknown[]
  requestBody?: unknown
}

/** What a route's body needs to be whole, where it must be. */
const bodies: Record<string, object> = {
  '/api/runs/{id}/approve': { step: 'one' },
  '/api/runs/{id}/reject': { step: 'one' },
  '/api/runs/{id}/input': { close: true },
  '/api/chat': { message: 'hello' },
}

test('every route but health and login wants a token, and does not tell of the runs of others', async (t) => {
  const hub = await testingHub(t)
  const ann = await hub.user('ann')
  const others = [await hub.user('bob'), await hub.user('eve', 'admin', 'elsewhere')]
  const runnerToken = await hub.tokenOf(ann.id, 'runner')
  const run = await hub.engine.submit({ yaml: oneStep('hold'), owner: 'ann', tenant: 'default' })
  const document = (await hub.call('GET', '/api/openapi.json')).json
  const open: string[] = []
  let walked = 0
  let foreign = 0

  for (const [template, methods] of Object.entries<Record<string, Operation>>(document.paths))
    for (const [name, operation] of Object.entries(methods)) {
      walked++
      const method = name.toUpperCase()
      const about = template.startsWith('/api/runs/') || template === '/run-status'
      const path = template
        .replace('{id}', about ? run.run_id : 'x')
        .replace('{number}', '1')
        .replace('{stream}', 'stdout')
        .replace('/run-status', `/run-status?run_id=${run.run_id}`)
      const body = operation.requestBody === undefined ? undefined : (bodies[template] ?? {})
      const route = `${method} ${template}`

      if (operation.security?.length === 0) {
        open.push(route)
        continue
      }
      const bare = await hub.call(method, path, undefined, body)
      assert.equal(bare.status, 401, route)
      assert.equal(bare.headers.get('www-authenticate'), 'Bearer')
      assert.equal(
        (await hub.call(method, path, 'errand_api_wrong', body)).json.error.code,
        'unauthorized',
        route,
      )
      assert.equal((await hub.call(method, path, runnerToken, body)).json.error.code, 'forbidden', route)
      if (!about) continue
      foreign++
      for (const { token } of others) {
        const answer = await hub.call(method, path, token, body)
        assert.equal(answer.status, 404, route)
        assert.equal(answer.json.error.code, 'run_not_found', route)
      }
    }

  assert.deepEqual(open.sort(), ['GET /health', 'GET /health/agents', 'POST /api/auth/login'])
  assert.ok(walked >= 24, `${walked} routes`)
  assert.ok(foreign >= 10, `${foreign} routes about a run`)
  assert.equal((await hub.engine.get(run.run_id))?.status, 'running')
})

test('an admin sees the runs of the tenant, a user only its own', async (t) => {
  const hub = await testingHub(t)
  const [ann, bob, boss, far] = [
    await hub.user('ann'),
    await hub.user('bob'),
    await hub.user('boss', 'admin'),
    await hub.user('far', 'admin', 'elsewhere'),
  ]
  for (const { token } of [ann, bob]) await hub.call('POST', '/api/runs', token, { yaml: oneStep('say hi') })
  const owners = async (token: string, query = '') =>
    (await hub.call('GET', `/api/runs${query}`, token)).json.runs.map(({ owner }: { owner: string }) => owner)
  assert.deepEqual((await owners(boss.token)).sort(), ['ann', 'bob'])
  assert.deepEqual(await owners(boss.token, '?owner=bob'), ['bob'])
  assert.deepEqual(await owners(ann.token), ['ann'])
  assert.deepEqual(await owners(ann.token, '?owner=bob'), [])
  assert.deepEqual(await owners(far.token), [])
})

test('the token in the address is taken by events and output alone', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('say hi') })).json
  await hub.engine.done(run_id)
  const status = async (path: string) => (await hub.call('GET', `${path}?access_token=${token}`)).status
  assert.equal(await status(`/api/runs/${run_id}/events`), 200)
  assert.equal(await status(`/api/runs/${run_id}/attempts/1/output/stdout`), 200)
  assert.equal(await status(`/api/runs/${run_id}`), 401)
  assert.equal(await status('/api/runners'), 401)
  assert.ok(!hub.log.join().includes(token))
})

test('the documentation can be read, and names what a body holds', async (t) => {
  const hub = await testingHub(t)
  const page = await hub.call('GET', '/docs')
  assert.equal(page.status, 200)
  assert.match(page.text, /swagger-ui/)
  assert.equal((await hub.call('GET', '/docs/static/swagger-ui.css')).status, 200)
  const { text: script } = await hub.call('GET', '/docs/static/swagger-initializer.js')
  assert.match(script, /"layout":"BaseLayout"/)
  const root = await fetch(`${hub.url}/`, { redirect: 'manual' })
  assert.deepEqual([root.status, root.headers.get('location')], [302, '/docs'])
  const document = (await hub.call('GET', '/api/openapi.json')).json
  assert.match(document.openapi, /^3\.1/)
  const create = document.paths['/api/runs'].post
  assert.ok(create.requestBody.content['application/json'].schema.properties.yaml)
  assert.ok(create.parameters.some(({ name }: { name: string }) => name === 'idempotency-key'))
})
