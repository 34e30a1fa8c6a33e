import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import test from 'node:test'
import { testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import { MAX_STRANGERS_BODY_BYTES, type Route } from '../../../contract/routes/route.ts'
import { routes } from '../../../contract/routes/table.ts'
import { addressOf } from './routes.ts'

const named = (count: number, value: unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, value]))

const listed = (answer: { json: { error: { details: unknown[] } } }) => answer.json.error.details

const strangers = Object.entries<Route>(routes).filter(([, { who }]) => who === 'anyone')

test('for a body with thousands of mistakes, reports the first ones and that there are more', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const bodies: [string, unknown][] = [
    ['/api/auth/login', named(4_000, 1)],
    ['/api/runs', named(90_000, 1)],
    ['/api/runs', { yaml: 'x', vars: named(50_000, []) }],
    ['/api/runs', { yaml: 'x', labels: named(50_000, 1) }],
    ['/api/tasks', { tasks: Array.from({ length: 50_000 }, () => 1) }],
  ]
  for (const [path, body] of bodies) {
    const answer = await hub.call('POST', path, token, body)
    assert.equal(answer.status, 400, answer.text.slice(0, 500))
    assert.ok(answer.text.length < 20_000, `${path} answers ${answer.text.length} characters`)
    assert.ok(listed(answer).length <= 20)
  }
  const login = await hub.call('POST', '/api/auth/login', undefined, named(4_000, 1))
  assert.match(login.json.error.message, /^body\.username is missing \(and at least 20 more\)\.$/)
  assert.equal(listed(login).length, 20)
  const few = await hub.call('POST', '/api/runs', token, { yaml: 'x', ...named(20, 1) })
  assert.match(few.json.error.message, /\(and 19 more\)\.$/)
  assert.equal(listed(few).length, 20)
})

test('long names and values in a body do not make a long answer', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const long = 'x'.repeat(1_000_000)
  for (const body of [{ [long]: 1 }, { yaml: 'x', vars: { [long]: [] } }, { yaml: 'x', blueprint: long }]) {
    const answer = await hub.call('POST', '/api/runs', token, body)
    assert.equal(answer.status, 400)
    assert.ok(answer.text.length < 10_000, `${answer.text.length} characters`)
  }
})

test('refuses a body with too many entries to check as too large', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const wide = JSON.stringify({ workflow: { steps: [Array.from({ length: 100_000 }, () => 0)] } })
  const answer = await hub.call('POST', '/api/runs', token, wide)
  assert.equal(answer.status, 413)
  assert.match(answer.json.error.message, /more than 100000 entries/)
})

test('without a token, refuses a large body before it has arrived, on every route', async (t) => {
  const hub = await testingHub(t)
  const taking = strangers.filter(([, { body, raw }]) => body !== undefined && !raw).map(([name]) => name)
  assert.deepEqual(taking.toSorted(), ['POST /api/auth/login', 'POST /api/runners/enroll'])
  for (const name of taking) {
    const { method, url } = addressOf(name)
    const { status, error } = await announced(hub.url + url, method, MAX_STRANGERS_BODY_BYTES + 1)
    assert.equal(status, 413, name)
    assert.equal(error.code, 'body_too_large')
    assert.match(error.message, /65536 bytes/)
  }
})

test('refuses a body sent in chunks at the same size', async (t) => {
  const hub = await testingHub(t)
  const call = request(`${hub.url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  })
  const answered = once(call, 'response')
  call.write(`{"username": "${'x'.repeat(MAX_STRANGERS_BODY_BYTES)}`)
  const [answer] = await answered
  assert.equal(answer.statusCode, 413)
  answer.resume()
  call.destroy()
})

test('does not read the body of a request to an unknown address', async (t) => {
  const hub = await testingHub(t)
  const { status, error } = await announced(`${hub.url}/nothing`, 'POST', 5_000_000)
  assert.equal(status, 404)
  assert.equal(error.code, 'not_found')
})

/** Announces the length of its body, sends the start of it, and returns what comes back in the meantime. */
async function announced(url: string, method: string, bytes: number) {
  const call = request(url, {
    method,
    headers: { 'content-type': 'application/json', 'content-length': bytes },
  })
  const answered = once(call, 'response')
  call.write('{"username": "')
  const [answer] = await answered
  // The answer arrives before the connection ends: the hub reads on for a while, so that the sender sees it.
  const [body] = await once(answer, 'data')
  call.destroy()
  return { status: answer.statusCode as number, error: JSON.parse(String(body)).error }
}

test('answers other requests while it checks a large workflow file', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const file = (action: string) =>
    `version: v0.1\nname: large\nsteps:\n${Array.from({ length: 3_000 }, (_, index) => `  - {name: s${index}, action: ${action}}\n`).join('')}`
  const wrong = file('cmd.rum')
  assert.ok(wrong.length > 64 * 1024)
  for (const [path, status] of [
    ['/api/runs', 400],
    ['/api/validate', 200],
  ] as const) {
    let isOver = false
    const request = hub.call('POST', path, token, { yaml: wrong }).finally(() => {
      isOver = true
    })
    let answered = 0
    while (!isOver) {
      assert.equal((await hub.call('GET', '/health')).status, 200)
      answered++
    }
    assert.ok(answered > 5, `${answered} other requests were answered in the meantime`)
    const { json, status: was } = await request
    assert.equal(was, status)
    assert.equal((json.problems ?? json.error.details.problems).length, 21)
  }
  const made = await hub.call('POST', '/api/runs', token, { yaml: file('noop') })
  assert.equal(made.status, 201)
  assert.equal(
    (await hub.call('GET', `/api/runs/${made.json.run_id}/outline`, token)).json.steps.length,
    3_000,
  )
})
