import assert from 'node:assert/strict'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'

/** Returns the value of one line. */
const figure = (text: string, name: string): number | undefined => {
  const line = text.split('\n').find((each) => each.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length + 1))
}

test('metrics cover runs, output, runners, readers and the process', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('boss', 'admin')
  const create = async (cmd: string) =>
    (await hub.call('POST', '/api/runs', token, { yaml: oneStep(cmd) })).json.run_id
  await hub.engine.done(await create('say hello'))
  const open = await create('hold')
  const stop = new AbortController()
  const reader = await fetch(`${hub.url}/api/runs/${open}/events`, {
    headers: { authorization: `Bearer ${token}`, 'last-event-id': '1' },
    signal: stop.signal,
  })
  const answer = await hub.call('GET', '/metrics', token)
  assert.equal(answer.status, 200)
  assert.match(answer.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/)
  const { text } = answer
  assert.equal(figure(text, 'errand_runs_created_total'), 2)
  assert.equal(figure(text, 'errand_runs_finished_total{status="success"}'), 1)
  assert.equal(figure(text, 'errand_runs{status="running"}'), 1)
  assert.equal(figure(text, 'errand_attempts_finished_total{outcome="success",reason=""}'), 1)
  assert.ok(figure(text, 'errand_events_total')! >= 8)
  assert.equal(figure(text, 'errand_output_bytes_total'), 'hello'.length)
  assert.equal(figure(text, 'errand_event_readers'), 1)
  assert.equal(figure(text, 'errand_event_readers_resumed_total'), 1)
  assert.equal(figure(text, 'errand_queue_depth{group="gpu"}'), 2)
  assert.equal(figure(text, 'errand_queue_depth{group="default"}'), 0)
  assert.equal(figure(text, 'errand_runs_finished_total{status="failed"}'), 0)
  assert.equal(figure(text, 'errand_runners{group="default",status="connected"}'), 1)
  assert.equal(figure(text, 'errand_runner_slots{group="default"}'), 4)
  assert.equal(figure(text, 'errand_placement_delay_seconds_count'), 2)
  assert.ok(figure(text, 'process_resident_memory_bytes')! > 10_000_000)
  for (const line of text.trimEnd().split('\n'))
    assert.match(
      line,
      /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+.e\d]+)$|_bucket\{le="[^"]+"\} \d+$/,
    )
  stop.abort()
  await reader.text().catch(() => {})
})

test('only admins of the first tenant and metrics tokens read metrics, and such a token does nothing else', async (t) => {
  const hub = await testingHub(t)
  const boss = await hub.user('boss', 'admin')
  const ann = await hub.user('ann')
  const far = await hub.user('far', 'admin', 'elsewhere')
  const status = async (token?: string) => (await hub.call('GET', '/metrics', token)).status
  assert.equal(await status(), 401)
  assert.equal(await status(ann.token), 403)
  assert.equal(await status(far.token), 403)
  const make = (token: string) => hub.call('POST', '/api/tokens', token, { name: 'prom', scope: 'metrics' })
  assert.equal((await make(ann.token)).status, 403)
  const { token } = (await make(boss.token)).json
  assert.match(token, /^errand_metrics_/)
  assert.equal(await status(token), 200)
  assert.equal((await hub.call('GET', '/api/runs', token)).json.error.code, 'forbidden')
  assert.equal(await status((await make(far.token)).json.token), 403)
  const chief = await hub.user('chief', 'admin')
  await hub.call('PATCH', `/api/users/${boss.id}`, chief.token, { role: 'user' })
  assert.deepEqual([await status(boss.token), await status(token)], [403, 401])
})

test('open metrics are readable only from the same machine', async (t) => {
  const hub = await testingHub(t, { openMetrics: true })
  assert.equal((await hub.call('GET', '/metrics')).status, 200)
  const passedOn = { 'x-forwarded-for': '203.0.113.7' }
  assert.equal((await hub.call('GET', '/metrics', undefined, undefined, passedOn)).status, 401)
})
