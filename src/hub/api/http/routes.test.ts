import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import { kindOf, requestOf, resourcesOf } from '../../../../test/support/hub/route-requests.ts'
import type { Route } from '../../../contract/routes/route.ts'
import { type RouteName, routes } from '../../../contract/routes/table.ts'
import type { RunRecord } from '../../../contract/run.ts'
import { tokenSha256 } from '../../auth/tokens.ts'

/** Routes about the session or password that is sent. The tokens here are neither. */
const ofTheLogin: readonly RouteName[] = ['POST /api/auth/logout', 'POST /api/auth/password']

const ofOperators: readonly RouteName[] = [
  'GET /api/hub',
  'PATCH /api/runner-groups/:name/pool',
  'POST /api/runner-groups/:name/empty',
]

test('serves exactly the routes in the table', async (t) => {
  const served = (names: readonly string[]) => [...names].sort()
  const inTable = Object.entries<Route>(routes).flatMap(([name, { head }]) =>
    head ? [name, name.replace('GET', 'HEAD')] : [name],
  )
  assert.deepEqual(served((await testingHub(t)).app.routeNames()), served(inTable))
})

test('every route admits only the right token, and reveals nothing to another tenant', async (t) => {
  const hub = await testingHub(t)
  const { run, place, ids, ann, bob, boss } = await resourcesOf(t, hub)
  const eve = await hub.user('eve', 'admin', 'elsewhere')
  const revoked = await hub.tokenOf(boss.id, 'api')
  const { id: revokedId } = (await hub.accounts.tokenByHash(tokenSha256(revoked)))!.token
  await hub.accounts.revokeToken(revokedId, new Date().toISOString())
  const [runner, enroll] = [await hub.tokenOf(boss.id, 'runner'), await hub.tokenOf(boss.id, 'enroll')]
  const metrics = await hub.tokenOf(boss.id, 'metrics')

  for (const [key, route] of Object.entries<Route>(routes)) {
    const name = key as RouteName
    const { who } = route
    if (who === 'anyone') continue
    const kind = who === 'runner' ? undefined : kindOf(name)
    const { methods, url, body, headers } = requestOf(name, kind === undefined ? 'NEW' : ids[kind])
    for (const method of methods) {
      const refusals: [status: number, code: string, tokens: (string | undefined)[]][] = [
        [401, 'unauthorized', [undefined, 'errand_api_wrong']],
        who === 'runner'
          ? [401, 'unauthorized', [ann.token, boss.token, revoked, enroll, metrics]]
          : [401, 'token_revoked', [revoked]],
        [403, 'forbidden', who === 'runner' ? [] : [runner, enroll]],
        [403, 'forbidden', who === 'runner' || who === 'metrics' ? [] : [metrics]],
        [403, 'forbidden', who === 'admin' || who === 'metrics' ? [ann.token] : []],
      ]
      for (const [status, code, tokens] of refusals)
        for (const text of tokens) {
          const answer = await hub.call(method, url, text, body, headers)
          assert.equal(answer.status, status, name)
          if (status === 401) assert.equal(answer.headers.get('www-authenticate'), 'Bearer', name)
          if (method !== 'HEAD') assert.equal(answer.json.error.code, code, name)
        }
      if (who === 'runner') continue

      // It does not end; its own tests check what it sends to whom.
      if (name === 'GET /api/events') continue
      const answer = await hub.call(method, url, eve.token, body, headers)
      if (ofTheLogin.includes(name)) assert.ok([400, 401].includes(answer.status), `${name}: ${answer.text}`)
      else if (who === 'metrics') assert.equal(answer.status, 403, name)
      // These routes are only for the hub's operators, who are in the first tenant.
      else if (ofOperators.includes(name)) assert.equal(answer.status, 403, name)
      // The tenant has no runner.
      else if (name === 'POST /api/pool/slots/allocate') assert.equal(answer.status, 503, name)
      else if (kind === undefined) {
        assert.ok(answer.status < 300, `${name}: ${answer.text} (add a complete body to route-requests.ts)`)
        assert.ok(Object.keys(route.answers).includes(`${answer.status}`), `${name} answers ${answer.status}`)
        for (const mark of [...Object.values(ids), 'ann', 'boss', 'nobody sees'])
          assert.doesNotMatch(answer.text, new RegExp(`\\b${mark}\\b`), `${name} reveals ${mark}`)
      } else {
        const absent = await hub.call(method, requestOf(name, 'NOBODY_HERE').url, eve.token, body)
        assert.deepEqual([answer.status, absent.status], [404, 404], name)
        assert.equal(answer.text.replaceAll(ids[kind], 'NOBODY_HERE'), absent.text, name)
      }
      // Another user of the tenant must not learn of a run or a bot either.
      if (
        kind === 'run' ||
        kind === 'task' ||
        kind === 'stored' ||
        kind === 'slot' ||
        kind === 'bot' ||
        kind === 'job' ||
        kind === 'stream'
      )
        assert.equal((await hub.call(method, url, bob.token, body)).status, 404, name)
    }
  }

  assert.equal((await hub.engine.get(run.run_id))?.status, 'running')
  assert.equal((await hub.call('GET', '/api/runners/runner-001', boss.token)).json.status, 'connected')
  assert.equal((await hub.call('GET', '/api/auth/me', ann.token)).json.disabled, false)
  assert.equal((await hub.secrets.get(place))?.created_by, 'ann')
})

test('every route that takes a body refuses an invalid one, after it has checked the caller', async (t) => {
  const hub = await testingHub(t)
  const [ann, boss] = [await hub.user('ann'), await hub.user('boss', 'admin')]
  for (const [key, { who, body }] of Object.entries<Route>(routes)) {
    if (body === undefined) continue
    const {
      methods: [method],
      url,
    } = requestOf(key as RouteName, 'NOBODY_HERE')
    for (const wrong of ['"text"', '[]', '{', '{"__proto__": 1}']) {
      const answer = await hub.call(method!, url, who === 'anyone' ? undefined : boss.token, wrong)
      assert.equal(answer.status, 400, `${key} with ${wrong}`)
      assert.equal(answer.json.error.code.toLowerCase(), 'bad_request', key)
      if (who === 'anyone') continue
      assert.equal((await hub.call(method!, url, undefined, wrong)).status, 401, key)
      assert.equal((await hub.call(method!, url, ann.token, wrong)).status, 400, key)
    }
  }
})

test('the documentation lists each route with what it answers', async (t) => {
  const { paths } = (await (await testingHub(t)).call('GET', '/api/openapi.json')).json
  for (const [name, { tag, summary, answers }] of Object.entries<Route>(routes)) {
    const [method, path] = name.split(' ') as [string, string]
    const shown = paths[path.replace(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()]
    if (tag === undefined) assert.equal(shown, undefined, name)
    else {
      assert.deepEqual([shown.tags, shown.summary], [[tag], summary], name)
      assert.deepEqual(Object.keys(shown.responses), [...Object.keys(answers), '503', '4XX'], name)
      assert.ok(shown.responses['503'].content['application/json'].schema.properties.error, name)
      assert.equal(shown.responses['204']?.content, undefined, name)
    }
  }
})

test('open routes refuse a wrong token', async (t) => {
  const hub = await testingHub(t)
  const document = (await hub.call('GET', '/api/openapi.json')).json
  const open = Object.entries<Record<string, { security?: unknown[] }>>(document.paths).flatMap(
    ([path, methods]) =>
      Object.entries(methods)
        .filter(([, operation]) => operation.security?.length === 0)
        .map(([method]) => `${method.toUpperCase()} ${path}`),
  )
  const expected = Object.entries<Route>(routes).flatMap(([name, { who, tag }]) =>
    who === 'anyone' && tag !== undefined ? [name.replace(/:(\w+)/g, '{$1}')] : [],
  )
  assert.deepEqual(open.sort(), expected.sort())
  const enrolled = await hub.call('POST', '/api/runners/enroll', undefined, {
    token: 'wrong',
    runner_id: 'r',
  })
  assert.deepEqual([enrolled.status, enrolled.json.error.code], [401, 'unauthorized'])
  const hook = await hub.call('POST', '/api/hooks/forges/git.example.org:3000', undefined, { repository: {} })
  assert.deepEqual([hook.status, hook.json.error.code], [401, 'unauthorized'])
  assert.equal((await hub.call('GET', '/health/agents', 'errand_api_wrong')).status, 401)
})

test('no answer reveals that an id, a key or a name exists in another tenant', async (t) => {
  const hub = await testingHub(t)
  const [ann, eve] = [await hub.user('ann', 'admin'), await hub.user('eve', 'admin', 'elsewhere')]
  const put = { 'content-type': 'application/gzip' }
  // A user with the same name, so that an answer selected by name alone would belong to another.
  const twin = await hub.user('twin', 'user', 'elsewhere')
  await hub.accounts.createUser({ ...twin, id: 'user_twin_here', tenant: 'default' })
  const own = await hub.tokenOf('user_twin_here', 'api')
  const make = async (token: string, name: string) => {
    const run = (body: object, headers = {}) => hub.call('POST', '/api/runs', token, body, headers)
    const yaml = oneStep('say hi')
    return [
      await run({ yaml, run_id: name }),
      await hub.call('POST', `/api/runs?run_id=${name}2`, token, yaml, {
        'content-type': 'application/yaml',
      }),
      await run({ yaml: oneStep(`say ${token}`) }, { 'idempotency-key': name }),
      await hub.call('POST', '/api/bots', token, { bot_id: name, code: 'x' }),
      await hub.call('PUT', `/api/secrets/${name}`, token, { value: 'long enough' }),
      await hub.call('PUT', '/api/uploads', token, `the archive ${name}`, put),
      await hub.call('POST', '/api/tokens', token, { name }),
      await hub.call('POST', '/api/users', token, { name, password: 'long enough' }),
      await hub.call('POST', '/api/runners/enrollments', token, { name, group: name }),
      await enroll(token, name),
    ].map(({ status }) => status)
  }
  const enroll = async (token: string, runner_id: string) => {
    const { json } = await hub.call('POST', '/api/runners/enrollments', token, {})
    return hub.call('POST', '/api/runners/enroll', undefined, { token: json.token, runner_id })
  }
  assert.deepEqual(await make(ann.token, 'taken'), [201, 201, 201, 201, 201, 201, 201, 201, 201, 201])
  assert.deepEqual(await make(eve.token, 'taken'), await make(eve.token, 'free'))
  const keyed = async (token: string, cmd: string) =>
    hub.call('POST', '/api/runs', token, { yaml: oneStep(cmd) }, { 'idempotency-key': 'k' })
  assert.deepEqual(
    [(await keyed(own, 'say a')).status, (await keyed(twin.token, 'say b')).status],
    [201, 201],
  )
  assert.equal((await keyed(own, 'say b')).json.error.code, 'idempotency_mismatch')
  assert.equal((await hub.call('GET', '/api/runs', twin.token)).json.runs.length, 1)
  const again = await hub.call('POST', '/api/runs', eve.token, { yaml: oneStep('say hi'), run_id: 'taken' })
  assert.deepEqual(
    [again.status, again.json.error.code],
    [409, 'run_exists'],
    'the tenant learns about its own run',
  )
  const ids = (await hub.call('GET', '/api/runs', eve.token)).json.runs.map(({ run_id }: RunRecord) => run_id)
  assert.equal(ids.filter((id: string) => /^(taken|free)2?-[0-9a-f]{12}$/.test(id)).length, 4, ids.join())
  assert.equal((await hub.call('GET', '/api/runs/taken', eve.token)).status, 404)
  assert.equal((await hub.call('GET', '/api/runs/taken', ann.token)).json.run_id, 'taken')
})

test("the id of a runner refers to the runner of the caller's tenant", async (t) => {
  const hub = await testingHub(t)
  const path = '/api/runners/runner-001'
  const [here, there] = [await hub.user('ann', 'admin'), await hub.user('bob', 'admin', 'twins')]
  const statuses = async () =>
    Promise.all(
      [here, there].map(async ({ token }) => {
        const { status, json } = await hub.call('GET', path, token)
        return status === 200 ? json.status : status
      }),
    )
  assert.equal((await hub.call('POST', `${path}/drain`, there.token)).status, 202)
  assert.deepEqual(await statuses(), ['connected', 'draining'])
  assert.equal((await hub.call('POST', `${path}/drain`, here.token)).status, 202)
  assert.equal((await hub.call('POST', `${path}/resume`, there.token)).status, 202)
  assert.deepEqual(await statuses(), ['draining', 'connected'])
  const own = await Promise.all(
    [here, there].map(({ id }) => hub.tokenOf(id, 'runner', { runner_id: 'runner-001' })),
  )
  assert.equal((await hub.call('DELETE', `${path}?force=true`, there.token)).status, 204)
  assert.deepEqual(await statuses(), ['draining', 404])
  const revoked = await Promise.all(
    own.map(async (text) => (await hub.accounts.tokenByHash(tokenSha256(text)))!.token.revoked_at),
  )
  assert.deepEqual(
    revoked.map((at) => at !== undefined),
    [false, true],
  )
})

test('an admin sees all runs of the tenant, a user only their own', async (t) => {
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

test('only events and output accept the token in the address', async (t) => {
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

test('the documentation is readable, and names the fields of bodies', async (t) => {
  const hub = await testingHub(t)
  const page = await hub.call('GET', '/docs')
  assert.equal(page.status, 200)
  assert.match(page.text, /swagger-ui/)
  assert.equal((await hub.call('GET', '/docs/static/swagger-ui.css')).status, 200)
  // The page is served over http to other machines too, so nothing may tell a browser to use https.
  const policy = page.headers.get('content-security-policy')!
  assert.match(policy, /default-src 'self'.*script-src 'self'/)
  assert.ok(!policy.includes('upgrade-insecure-requests'), policy)
  assert.equal(page.headers.get('strict-transport-security'), null)
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
