import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { eventually } from '../../../../test/support/errand-command.ts'
import { oneStep, testingHub } from '../../../../test/support/hub/hub-fixture.ts'

interface Answer {
  status: number
  json: { error: { code: string; message: string; hint?: string; details?: unknown } }
}

function assertError(answer: Answer, status: number, code: string, pattern?: RegExp): void {
  assert.equal(answer.status, status, JSON.stringify(answer.json))
  const { error } = answer.json
  assert.equal(error.code, code)
  assert.deepEqual(
    Object.keys(error).filter((key) => !['code', 'message', 'hint', 'details'].includes(key)),
    [],
  )
  if (pattern !== undefined)
    assert.match(`${error.message} ${error.hint} ${JSON.stringify(error.details)}`, pattern)
}

test('every refusal has the same format, the right status, and says what is wrong', async (t) => {
  const hub = await testingHub(t, { apiLimits: { bodyBytes: 10_000 } })
  const { token } = await hub.user('ann')
  const post = (body: unknown, headers?: Record<string, string>) =>
    hub.call('POST', '/api/runs', token, body, headers)
  const yaml = oneStep('say hi')

  assertError(await hub.call('GET', '/nothing'), 404, 'not_found', /\/nothing/)
  const wrongMethod = await hub.call('PUT', '/api/runs', token)
  assertError(wrongMethod, 405, 'method_not_allowed', /POST, GET/)
  assert.equal(wrongMethod.headers.get('allow'), 'POST, GET')
  assertError(await post('{"yaml": '), 400, 'bad_request', /not valid JSON/)
  assertError(
    await post('{"yaml": "x", "__proto__": {}}'),
    400,
    'bad_request',
    /^body: a key cannot be named "__proto__"/,
  )
  const inArgs = '{"workflow": {"steps": [{"args": {"a": 1, "__proto__": {"x": 1}}}]}}'
  const atArgs = /^body\.workflow\.steps\.0\.args: a key cannot be named "__proto__"/
  assertError(await post(inArgs), 400, 'bad_request', atArgs)
  const built = '{"vars": {"constructor": {"prototype": 1}}}'
  assertError(await post(built), 400, 'bad_request', /^body\.vars: .*"constructor" if it has a "prototype"/)
  const deep = `${'['.repeat(4000)}{"__proto__": 1}${']'.repeat(4000)}`
  assertError(await post(deep), 400, 'bad_request', /^body\.0\.0|not valid JSON/)
  const nested = `{"a":${'['.repeat(1500)}${']'.repeat(1500)}}`
  const deepArgs = `{"workflow": {"version": "v0.1", "name": "x", "steps": [{"name": "a", "action": "noop", "args": ${nested}}]}}`
  assertError(await post(deepArgs), 400, 'bad_request', /^The body is nested more than 1000 levels deep\./)
  assertError(await post(undefined), 400, 'bad_request', /^body is missing\./)
  assertError(await post([1]), 400, 'bad_request', /^body must be a map of keys and values, but is a list\./)
  assertError(
    await post({ yaml, vras: {} }),
    400,
    'bad_request',
    /^body\.vras is not a known field\. did you mean "vars"\?/,
  )
  const two = await post({ yaml: 3, vars: { A: [] } })
  assertError(two, 400, 'bad_request', /^body\.yaml must be text, but is the number 3 \(and 1 more\)\./)
  assert.deepEqual(
    two.json.error.details.map(({ field }: { field: string }) => field),
    ['body.yaml', 'body.vars.A'],
  )
  assertError(await post('{"constructor": {"name": {}}}'), 400, 'bad_request')
  assertError(await post({}), 400, 'bad_request', /exactly one/)
  assertError(await post({ yaml, workflow: {} }), 400, 'bad_request', /exactly one/)
  assertError(await post({ yaml, run_id: '../x' }), 400, 'bad_request', /run id/)
  assertError(await post({ yaml: 'x'.repeat(10_000) }), 413, 'body_too_large', /10000 bytes/)
  assertError(
    await post('<xml/>', { 'content-type': 'text/xml' }),
    415,
    'unsupported_media_type',
    /application\/json/,
  )
  assertError(
    await post({ yaml }, { 'idempotency-key': 'k'.repeat(300) }),
    400,
    'bad_request',
    /idempotency-key/,
  )
  assertError(await post({ yaml: 'steps: [' }), 400, 'invalid_workflow')
  assertError(await post({ yaml: yaml.replace('cmd.run', 'cmd.rum') }), 400, 'invalid_workflow', /cmd\.run/)

  for (const query of ['?status=done', '?limit=0', '?limit=x', '?created_after=yesterday', '?nme=x'])
    assertError(await hub.call('GET', `/api/runs${query}`, token), 400, 'bad_request', /query/)
  const limit = await hub.call('GET', '/api/runs?limit=x', token)
  assertError(limit, 400, 'bad_request', /^query\.limit must be a number, but is text "x"\./)
  for (const path of [
    '/api/runs/nope',
    '/api/runs/nope/events',
    '/api/runs/nope/workflow',
    '/run-status?run_id=nope',
  ])
    assertError(await hub.call('GET', path, token), 404, 'run_not_found', /nope/)
  assertError(await hub.call('GET', '/run-status', token), 400, 'bad_request', /run_id/)
})

test('refuses a request that does not fit the state of a run, without side effects', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const post = (path: string, body: unknown = {}) => hub.call('POST', path, token, body)
  const held = (await post('/api/runs', { yaml: oneStep('hold'), run_id: 'mine' })).json.run_id
  assertError(await post('/api/runs', { yaml: oneStep('hold'), run_id: 'mine' }), 409, 'run_exists', /mine/)
  assertError(await post(`/api/runs/${held}/retry`), 409, 'run_not_ended')
  assertError(await post(`/api/runs/${held}/rollback`), 409, 'run_not_ended')
  assertError(await post(`/api/runs/${held}/approve`, { step: 'one' }), 409, 'approval_not_pending')
  assert.equal((await post(`/api/runs/${held}/cancel`)).status, 202)
  await hub.engine.done(held)
  assertError(await post(`/api/runs/${held}/cancel`), 409, 'run_ended')
  assert.equal((await hub.call('GET', `/api/runs/${held}`, token)).json.status, 'canceled')
})

test('an internal failure tells the client nothing but where to look', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  hub.engine.list = () => Promise.reject(new Error('secret internals'))
  const answer = await hub.call('GET', `/api/runs`, token)
  assertError(answer, 500, 'internal')
  assert.ok(!answer.text.includes('secret internals'))
  const { request_id } = answer.json.error.details
  const logged = hub.log.filter((line) => line.includes('failed'))
  assert.equal(logged.length, 1)
  assert.match(logged[0]!, new RegExp(`${request_id}: GET /api/runs failed: Error: secret internals`))
})

test('a malformed HTTP request or address gets an error in the same format', async (t) => {
  const hub = await testingHub(t)
  const port = Number(new URL(hub.url).port)
  for (const request of [
    'GET / NONSENSE\r\n\r\n',
    'GET /api/runs/%zz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
  ]) {
    const socket = connect(port, '127.0.0.1')
    socket.write(request)
    const [head, body] = (await text(socket)).split('\r\n\r\n')
    assert.match(head!, /^HTTP\/1\.1 400 /)
    assert.equal(JSON.parse(body!).error.code, 'bad_request')
  }
})

test('a field of the wrong type gets an error with the given value, the expected type and an example', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const bot = { bot_id: 'a', code: 'x' }
  const cases: [path: string, body: unknown, message: string, hint: string | RegExp][] = [
    [
      '/api/bots',
      { ...bot, files: [] },
      'body.files must be a map of keys and values, but is a list.',
      'Write it as "files": {"bot.py":"print(1)"}.',
    ],
    [
      '/api/bots',
      { ...bot, code: 5 },
      'body.code must be text, but is the number 5.',
      'Write it as "code": "text".',
    ],
    [
      '/api/bots',
      { ...bot, requirements: 5 },
      'body.requirements must be text or a list, but is the number 5.',
      'Write it as "requirements": ["aiogram>=3.0"].',
    ],
    [
      '/api/bots',
      { ...bot, requirements: [5] },
      'body.requirements[0] must be text, but is the number 5.',
      'Write each as "text".',
    ],
    [
      '/api/bots',
      { ...bot, env_vars: 'A=1' },
      'body.env_vars must be a map of keys and values, but is text "A=1".',
      'Write it as "env_vars": {"BOT_TOKEN":"..."}.',
    ],
    [
      '/api/bots',
      { ...bot, limits: { cpus: '1' } },
      'body.limits.cpus must be a number, but is text "1".',
      'Write it as "cpus": 1.',
    ],
    ['/api/bots', { ...bot, files: { '': 'x' } }, 'body.files. is not a valid key: it is empty.', /docs/],
    ['/api/bots', [], 'body must be a map of keys and values, but is a list.', /Send it as JSON/],
    [
      '/api/runs',
      { workflow: 5 },
      'body.workflow must be a map of keys and values, but is the number 5.',
      /"workflow": /,
    ],
    [
      '/api/runs',
      { network: 'github.com' },
      'body.network must be "none", "models" or "all", but is text "github.com"',
      'Write it as "network": {"allow":["github.com"]}.',
    ],
    ['/api/users', { name: 5 }, 'body.name must be text, but is the number 5', /Write it as "name"/],
  ]
  for (const [path, body, message, hint] of cases) {
    const { status, json } = await hub.call('POST', path, token, body)
    assert.equal(status, 400, path)
    assert.ok(json.error.message.startsWith(message.replace(/\.$/, '')), json.error.message)
    if (typeof hint === 'string') assert.equal(json.error.hint, hint)
    else assert.match(json.error.hint, hint)
    assert.doesNotMatch(JSON.stringify(json), /Invalid|expected|received/)
  }
  const job = async (data: object) =>
    (await hub.call('POST', '/jobs', token, { blueprint: 'bot_runner', data: { action: 'start', ...data } }))
      .json.error
  const { code, message, hint } = await job({ ...bot, files: [] })
  assert.deepEqual(
    [code, message],
    ['BAD_REQUEST', 'data.files must be a map of keys and values, but is a list.'],
  )
  assert.equal(hint, 'Write it as "files": {"bot.py":"print(1)"}.')
  assert.equal((await job({ ...bot, fils: 1 })).hint, 'did you mean "files"?')
})

test('a stopping hub answers a late request like every other error', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const requested = Promise.withResolvers<void>()
  const goesOn = Promise.withResolvers<void>()
  hub.engine.list = async () => {
    requested.resolve()
    await goesOn.promise
    return { runs: [] }
  }
  const { port } = new URL(hub.url)
  const socket = connect(Number(port), '127.0.0.1')
  const answers = text(socket)
  const head = `HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n\r\n`
  socket.write(`GET /api/runs ${head}`)
  await requested.promise
  const closed = hub.app.close()
  await eventually('the hub to stop', () => !hub.app.server.listening)
  const another = once(hub.app.server, 'request')
  socket.write(`GET /api/runs ${head}`)
  await another
  goesOn.resolve()
  const [first, second] = (await answers).split(/(?=HTTP\/1\.1 )/)
  assert.match(first!, /^HTTP\/1\.1 200 /)
  assert.match(second!, /^HTTP\/1\.1 503 .*"code":"unavailable"/s)
  await closed
})
