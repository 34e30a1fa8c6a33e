import assert from 'node:assert/strict'
import { request } from 'node:http'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { LoginAnswer, TokenCreated, UserView } from '../../contract/account-api.ts'

test('a login gives a token that acts as its user, until the password is reset', async (t) => {
  const hub = await testingHub(t)
  const boss = await hub.user('boss', 'admin')
  const made = await hub.call('POST', '/api/users', boss.token, { name: 'ann', password: 'first password' })
  assert.equal(made.status, 201)
  assert.equal(UserView.parse(made.json).role, 'user')
  assert.ok(!('password_hash' in made.json))

  const login = (password: string) =>
    hub.call('POST', '/api/auth/login', undefined, { username: 'ann', password })
  const answer = await login('first password')
  assert.equal(answer.headers.get('cache-control'), 'no-store')
  const { token } = LoginAnswer.parse(answer.json)
  assert.equal((await hub.call('GET', '/api/auth/me', token)).json.name, 'ann')

  const reset = await hub.call('PATCH', `/api/users/${made.json.id}`, boss.token, {
    password: 'second password',
  })
  assert.equal(reset.status, 200)
  assert.equal((await hub.call('GET', '/api/auth/me', token)).status, 401)
  assert.equal((await login('first password')).status, 401)
  assert.equal((await login('second password')).status, 200)
})

test('users log out and change their password by themselves', async (t) => {
  const hub = await testingHub(t)
  await hub.user('ann', 'user', 'default', 'first password')
  const login = async (password: string) =>
    hub.call('POST', '/api/auth/login', undefined, { username: 'ann', password })
  const [one, two] = [(await login('first password')).json.token, (await login('first password')).json.token]
  const me = (token: string) => hub.call('GET', '/api/auth/me', token)
  assert.ok(Date.parse((await me(one)).json.expires_at) > Date.now())
  const { run_id } = (await hub.call('POST', '/api/runs', one, { yaml: oneStep('say hi') })).json
  await hub.engine.done(run_id)
  assert.equal((await hub.call('POST', '/api/auth/logout', one)).status, 204)
  assert.equal((await me(one)).status, 401)
  assert.equal((await hub.call('POST', '/api/auth/logout', one)).status, 401)
  assert.equal((await hub.call('GET', `/api/runs/${run_id}/events?access_token=${one}`)).status, 401)
  assert.equal((await me(two)).status, 200)

  const change = (current_password: string, new_password: string) =>
    hub.call('POST', '/api/auth/password', two, { current_password, new_password })
  assert.equal((await change('wrong password', 'second password')).status, 401)
  assert.equal((await change('first password', 'short')).status, 400)
  const { token } = (await hub.call('POST', '/api/tokens', two, { name: 'ci' })).json
  const changed = await change('first password', 'second password')
  assert.equal(changed.headers.get('cache-control'), 'no-store')
  assert.equal((await me(two)).status, 401)
  assert.equal((await me(LoginAnswer.parse(changed.json).token)).json.name, 'ann')
  assert.equal((await me(token)).status, 200, 'API tokens stay valid')
  assert.equal((await login('first password')).status, 401)
  assert.equal((await login('second password')).status, 200)
  const none = await hub.call('POST', '/api/auth/logout', token)
  assert.deepEqual([none.status, none.json.error.code], [400, 'bad_request'])
  assert.match(none.json.error.hint, /errand tokens revoke token_/)
})

test('an API token expires in 90 days by default; other tokens do not expire', async (t) => {
  const hub = await testingHub(t)
  const { token: boss, id } = await hub.user('boss', 'admin')
  const days = async (more: object) => {
    const { json } = await hub.call('POST', '/api/tokens', boss, { name: 'x', ...more })
    const { created_at, expires_at } = TokenCreated.parse(json)
    return expires_at === undefined
      ? undefined
      : (Date.parse(expires_at) - Date.parse(created_at)) / 86_400_000
  }
  assert.equal(await days({}), 90)
  assert.equal(await days({ expires_in_seconds: 86_400 }), 1)
  assert.equal(await days({ expires_in_seconds: null }), undefined)
  for (const scope of ['runner', 'metrics']) {
    assert.equal(await days({ scope }), undefined)
    assert.equal(await days({ scope, expires_in_seconds: 86_400 }), 1)
  }
  const expires_at = '2025-01-15T10:00:00.000Z'
  const over = await hub.call('GET', '/api/runs', await hub.tokenOf(id, 'api', { expires_at }))
  assert.deepEqual([over.status, over.json.error.code], [401, 'token_expired'])
  assert.match(over.json.error.hint, /errand tokens create/)
  // It was made before there was a default, so it stays unchanged.
  assert.equal((await hub.call('GET', '/api/auth/me', boss)).json.expires_at, undefined)
})

test('an admin of the first tenant creates users of other tenants, and those admins create their own users', async (t) => {
  const hub = await testingHub(t)
  const boss = await hub.user('boss', 'admin')
  const make = (token: string, more: object) =>
    hub.call('POST', '/api/users', token, { password: 'long enough', ...more })
  const far = await make(boss.token, { name: 'far', role: 'admin', tenant: 'acme' })
  assert.deepEqual([far.status, far.json.tenant], [201, 'acme'])
  assert.equal((await make(boss.token, { name: 'odd', tenant: 'a/b' })).status, 400)
  const credentials = { username: 'acme/far', password: 'long enough' }
  const { token } = LoginAnswer.parse(
    (await hub.call('POST', '/api/auth/login', undefined, credentials)).json,
  )
  const wrong = await hub.call('POST', '/api/auth/login', undefined, { ...credentials, username: 'far' })
  assert.deepEqual([wrong.status, /TENANT\/NAME/.test(wrong.json.error.hint)], [401, true])
  // An admin of the first tenant has this name. In this tenant it is free and names another user.
  assert.equal((await make(token, { name: 'boss' })).json.tenant, 'acme')
  const theirs = await make(token, { name: 'near' })
  assert.equal(theirs.json.tenant, 'acme')
  for (const tenant of ['default', 'third'])
    assert.equal((await make(token, { name: 'spy', role: 'admin', tenant })).status, 403)
  const names = (await hub.call('GET', '/api/users', token)).json.users.map(({ name }: UserView) => name)
  assert.deepEqual(names.sort(), ['boss', 'far', 'near'])
  assert.ok(!(await hub.call('GET', '/api/users', boss.token)).text.includes('near'))
})

test('refuses a name that would be misleading in a list, and names the field and the character', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('boss', 'admin')
  for (const [method, path, body, message] of [
    ['POST', '/api/tokens', { name: 'a\nb' }, /^body\.name .*U\+000A at position 2/],
    ['POST', '/api/tokens', { name: '' }, /^body\.name .*is empty/],
    ['POST', '/api/tokens', { name: 'x'.repeat(201) }, /^body\.name .*201 characters; the maximum is 200/],
    [
      'POST',
      '/api/tokens',
      { name: 'r', scope: 'runner', group: 'g\t' },
      /^body\.group .*U\+0009 at position 2/,
    ],
    ['POST', '/api/runners/enrollments', { group: '\u2066x' }, /^body\.group .*U\+2066 at position 1/],
    [
      'POST',
      '/api/runners/enroll',
      { token: 't', runner_id: 'a\0' },
      /^body\.runner_id .*U\+0000 at position 2/,
    ],
    ['PUT', '/api/secrets/A', { value: 'long enough', workflow: 'a\n' }, /^body\.workflow .*U\+000A/],
    ['PUT', '/api/secrets/__proto__', { value: 'long enough' }, /^params\.name .*not "__proto__"/],
    ['POST', '/api/runs', { yaml: oneStep('x'), repository: 'a\nb' }, /^body\.repository .*U\+000A/],
    ['POST', '/api/users', { name: 'a\nb', password: 'long enough' }, /^body\.name /],
    ['POST', '/api/users', { name: 'a', password: 'long enough', tenant: 'x\n' }, /^body\.tenant /],
  ] as const) {
    const { status, json } = await hub.call(method, path, token, body)
    assert.deepEqual([status, json.error.code], [400, 'bad_request'], JSON.stringify(body))
    assert.match(json.error.message, message)
  }
})

test('slows down failed logins, and reports how long to wait', async (t) => {
  const loginLimits = { perAccount: 2, perAddress: 10, windowMs: 60_000, entries: 100 }
  const hub = await testingHub(t, { loginLimits })
  const login = () => hub.call('POST', '/api/auth/login', undefined, { username: 'ann', password: 'wrong' })
  assert.equal((await login()).status, 401)
  assert.equal((await login()).status, 401)
  const limited = await login()
  assert.equal(limited.status, 429)
  assert.equal(limited.json.error.code, 'rate_limited')
  assert.ok(Number(limited.headers.get('retry-after')) > 0)
})

test('shows the text of a token once, and refuses a revoked token immediately', async (t) => {
  const hub = await testingHub(t)
  const ann = await hub.user('ann')
  const made = TokenCreated.parse(
    (await hub.call('POST', '/api/tokens', ann.token, { name: 'laptop', expires_in_seconds: 60 })).json,
  )
  assert.match(made.token, /^errand_api_/)
  assert.equal((await hub.call('GET', '/api/auth/me', made.token)).status, 200)
  const listed = await hub.call('GET', '/api/tokens', ann.token)
  assert.equal(listed.json.tokens.length, 2)
  assert.ok(!listed.text.includes(made.token))
  assert.equal((await hub.call('DELETE', `/api/tokens/${made.id}`, ann.token)).status, 204)
  assert.equal((await hub.call('GET', '/api/auth/me', made.token)).json.error.code, 'token_revoked')
})

test('only admins see the tokens of other users', async (t) => {
  const hub = await testingHub(t)
  const [ann, bob, boss, far] = [
    await hub.user('ann'),
    await hub.user('bob'),
    await hub.user('boss', 'admin'),
    await hub.user('far', 'admin', 'elsewhere'),
  ]
  const [{ id }] = (await hub.call('GET', '/api/tokens', ann.token)).json.tokens
  for (const { token } of [bob, far])
    assert.equal((await hub.call('DELETE', `/api/tokens/${id}`, token)).status, 404)
  assert.equal((await hub.call('GET', '/api/tokens', boss.token)).json.tokens.length, 3)
  assert.equal((await hub.call('DELETE', `/api/tokens/${id}`, boss.token)).status, 204)
  assert.equal((await hub.call('GET', '/api/auth/me', ann.token)).status, 401)
})

test('only admins create runner tokens', async (t) => {
  const hub = await testingHub(t)
  const [ann, boss] = [await hub.user('ann'), await hub.user('boss', 'admin')]
  const runner = { name: 'r1', scope: 'runner', group: 'gpu' }
  assert.equal((await hub.call('POST', '/api/tokens', ann.token, runner)).status, 403)
  const made = await hub.call('POST', '/api/tokens', boss.token, runner)
  assert.match(made.json.token, /^errand_runner_/)
  assert.deepEqual(await hub.auth.authenticateRunner(made.json.token), {
    tenant: 'default',
    group: 'gpu',
    runner_id: undefined,
  })
  assert.equal((await hub.call('POST', '/api/tokens', boss.token, { name: 'x', group: 'gpu' })).status, 400)
})

test('only admins manage users, and an admin cannot lock themselves out', async (t) => {
  const hub = await testingHub(t)
  const [ann, boss, far] = [
    await hub.user('ann'),
    await hub.user('boss', 'admin'),
    await hub.user('far', 'admin', 'elsewhere'),
  ]
  const mine = { name: 'eve', password: 'long enough' }
  assert.equal((await hub.call('GET', '/api/users', ann.token)).status, 403)
  assert.equal((await hub.call('POST', '/api/users', ann.token, mine)).status, 403)
  assert.equal((await hub.call('GET', '/api/users', boss.token)).json.users.length, 2)
  assert.equal((await hub.call('POST', '/api/users', boss.token, { ...mine, name: 'ANN' })).status, 409)
  assert.equal((await hub.call('POST', '/api/users', boss.token, { ...mine, password: 'short' })).status, 400)
  assert.equal((await hub.call('PATCH', `/api/users/${boss.id}`, boss.token, { role: 'user' })).status, 409)
  assert.equal((await hub.call('DELETE', `/api/users/${boss.id}`, boss.token)).status, 409)
  assert.equal((await hub.call('DELETE', `/api/users/${ann.id}`, far.token)).status, 404)
  assert.equal((await hub.call('PATCH', `/api/users/${ann.id}`, boss.token, {})).status, 400)
  assert.equal((await hub.call('PATCH', `/api/users/${ann.id}`, boss.token, { disabled: true })).status, 200)
  assert.match((await hub.call('GET', '/api/auth/me', ann.token)).json.error.message, /disabled/)
})

test('refuses to give the name of a removed user who still has runs to a new user', async (t) => {
  const hub = await testingHub(t)
  const [ann, boss] = [await hub.user('ann'), await hub.user('boss', 'admin')]
  await hub.call('POST', '/api/runs', ann.token, { yaml: oneStep('say hi') })
  assert.equal((await hub.call('DELETE', `/api/users/${ann.id}`, boss.token)).status, 204)
  const again = await hub.call('POST', '/api/users', boss.token, { name: 'ann', password: 'long enough' })
  assert.equal(again.status, 409)
  assert.match(again.json.error.message, /still has runs/)
})

test('the list of runners is a plain array; an admin drains, resumes and removes runners', async (t) => {
  const hub = await testingHub(t)
  const [ann, boss, far] = [
    await hub.user('ann'),
    await hub.user('boss', 'admin'),
    await hub.user('far', 'admin', 'elsewhere'),
  ]
  const list = async (token: string) => (await hub.call('GET', '/api/runners', token)).json
  const [runner] = await list(ann.token)
  const { id, group, status, hostname, cpus, memory, connected_at } = runner
  assert.deepEqual(
    { id, group, status, hostname, cpus, memory, connected_at },
    {
      id: 'runner-001',
      group: 'default',
      status: 'connected',
      hostname: 'server-01',
      cpus: 4,
      memory: '8GB',
      connected_at: '2025-01-15T10:00:00Z',
    },
  )
  const drain = (token: string, name = id) => hub.call('POST', `/api/runners/${name}/drain`, token)
  assert.deepEqual(await list(far.token), [])
  assert.equal((await drain(ann.token)).status, 403)
  assert.equal((await drain(far.token)).status, 404)
  assert.equal((await drain(boss.token, 'nobody')).status, 404)
  assert.equal((await drain(boss.token)).status, 202)
  assert.equal((await list(ann.token))[0].status, 'draining')
  const resume = (token: string) => hub.call('POST', `/api/runners/${id}/resume`, token)
  assert.equal((await resume(ann.token)).status, 403)
  assert.equal((await resume(boss.token)).status, 202)
  assert.equal((await list(ann.token))[0].status, 'connected')

  const own = await hub.tokenOf(boss.id, 'runner', { runner_id: id })
  const foreign = await hub.tokenOf(far.id, 'runner', { runner_id: id })
  const remove = (query = '', token = boss.token) => hub.call('DELETE', `/api/runners/${id}${query}`, token)
  assert.equal((await remove('?force=true', far.token)).status, 404)
  assert.equal((await remove('', ann.token)).status, 403)
  const refused = await remove()
  assert.equal(refused.status, 409)
  assert.match(refused.json.error.hint, /--force/)
  assert.ok(!('refused' in (await hub.auth.authenticateRunner(own))))
  assert.equal((await remove('?force=true')).status, 204)
  assert.deepEqual(await list(ann.token), [])
  assert.match(JSON.stringify(await hub.auth.authenticateRunner(own)), /was revoked/)
  assert.ok(!('refused' in (await hub.auth.authenticateRunner(foreign))))
})

test('filters the list of runners by status, group and label', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const count = async (query: string) => (await hub.call('GET', `/api/runners?${query}`, token)).json.length
  for (const query of [
    'status=connected',
    'status=draining,connected',
    'group=default',
    'label=gpu',
    'label=gpu=1',
  ])
    assert.equal(await count(query), 1, query)
  for (const query of [
    'status=draining',
    'group=gpu',
    'label=gpu=2',
    'label=gpu&label=toString',
    'label=gpu=',
  ])
    assert.equal(await count(query), 0, query)
  const wrong = await hub.call('GET', '/api/runners?status=gone', token)
  assert.match(wrong.json.error.hint, /connected, disconnected, draining/)
  const shown = await hub.call('GET', '/api/runners/runner-001', token)
  assert.deepEqual([shown.json.id, shown.json.attempts], ['runner-001', []])
  assert.equal((await hub.call('GET', '/api/runners/nobody', token)).status, 404)
})

test('refuses a login under an unknown host name, but not health checks or requests with a token', async (t) => {
  const hub = await testingHub(t, { hosts: ['errand.example.com'], openMetrics: true })
  const { token } = await hub.user('ann')
  // fetch does not allow setting the host name.
  const status = (method: string, path: string, host: string, headers = {}) =>
    new Promise<number | undefined>((resolve, reject) =>
      request(hub.url + path, { method, headers: { host, ...headers } }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end(),
    )
  assert.equal(await status('POST', '/api/auth/login', 'evil.example.com'), 403)
  assert.equal(await status('POST', '/api/auth/login', 'errand.example.com:3000'), 400)
  assert.equal(await status('POST', '/api/auth/login', 'localhost:3000'), 400)
  assert.equal(await status('GET', '/health', 'evil.example.com'), 200)
  // A request that a proxy passes on does not come from this machine.
  assert.equal(await status('GET', '/metrics', 'errand.example.com'), 401)
  assert.equal(await status('GET', '/metrics', 'localhost:3000'), 200)
  assert.equal(
    await status('GET', '/api/runs', 'evil.example.com', { authorization: `Bearer ${token}` }),
    200,
  )
})

test('health answers without a token', async (t) => {
  const hub = await testingHub(t)
  const { json } = await hub.call('GET', '/health')
  assert.equal(json.status, 'ok')
  assert.equal(json.version, '0.0.0-test')
  assert.equal(typeof json.uptime_seconds, 'number')
})

test('only operators see facts about the whole hub, and only admins log out users of their tenant', async (t) => {
  const hub = await testingHub(t)
  const [ann, boss, far] = [
    await hub.user('ann', 'user', 'default', 'long enough'),
    await hub.user('boss', 'admin'),
    await hub.user('far', 'admin', 'elsewhere'),
  ]
  const facts = (token: string) => hub.call('GET', '/api/hub', token)
  const { status, json } = await facts(boss.token)
  assert.equal(status, 200)
  assert.ok(json.data.bytes >= 0 && json.data.free_bytes > 0 && json.data.is_whole)
  assert.deepEqual(json.tenants, [
    { name: 'default', users: 2, admins: 1 },
    { name: 'elsewhere', users: 1, admins: 1 },
  ])
  for (const { token } of [ann, far]) assert.equal((await facts(token)).status, 403)

  const login = { username: 'ann', password: 'long enough' }
  const { token } = (await hub.call('POST', '/api/auth/login', undefined, login)).json
  const out = (by: string) => hub.call('POST', `/api/users/${ann.id}/logout`, by)
  const isIn = async () => (await hub.call('GET', '/api/me', token)).status === 200
  assert.equal((await out(ann.token)).status, 403)
  assert.equal((await out(far.token)).status, 404)
  assert.ok(await isIn())
  assert.equal((await out(boss.token)).status, 204)
  assert.ok(!(await isIn()))
  assert.equal((await hub.call('GET', '/api/me', ann.token)).status, 200)
})

test('a user sees the names of the admins of their own tenant who can log in', async (t) => {
  const hub = await testingHub(t)
  const [ann, boss] = [await hub.user('ann'), await hub.user('boss', 'admin')]
  const away = await hub.user('away', 'admin')
  const far = await hub.user('far', 'user', 'elsewhere')
  await hub.user('far-boss', 'admin', 'elsewhere')
  const admins = async (token: string) => (await hub.call('GET', '/api/me/admins', token)).json
  assert.deepEqual(await admins(ann.token), { tenant: 'default', admins: ['away', 'boss'], more: false })
  assert.deepEqual(await admins(far.token), { tenant: 'elsewhere', admins: ['far-boss'], more: false })
  await hub.call('PATCH', `/api/users/${away.id}`, boss.token, { disabled: true })
  assert.deepEqual((await admins(ann.token)).admins, ['boss'])
  for (let at = 0; at < 10; at++) await hub.user(`more-${at}`, 'admin')
  const many = await admins(ann.token)
  assert.deepEqual([many.admins.length, many.more], [10, true])
})
