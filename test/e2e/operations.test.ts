import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import test from 'node:test'
import type { ErrorBody } from '../../src/contract/errors.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'

const flow = (cmd: string) => workflowText([{ name: 'one', cmd }])

test('hub and runner write a log of JSON lines that name their subject, and contain no token', async (t) => {
  const log = { ERRAND_LOG_FORMAT: 'json' }
  const programs = await startPrograms(t, {
    hubEnv: { ...log, ERRAND_LOG_LEVEL: 'debug' },
    runnerEnv: { ...log, RUNNER_LOG_LEVEL: 'DEBUG' },
  })
  const { run_id } = await programs.client.runs.create({ yaml: flow('exit 3') })
  await programs.ended(run_id)
  const { hub, runner } = programs
  await hub.until(`Run ${run_id} ended`)
  const read = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
  const ended = read(hub.printed.stderr).find(({ msg }) => msg.includes(`Run ${run_id} ended`))
  assert.deepEqual([ended.level, ended.run_id], ['info', run_id])
  assert.match(ended.msg, /failed/)
  assert.ok(
    read(hub.printed.stderr).some((line) => line.runner_id === 'apart' && line.msg.includes('is connected')),
  )
  assert.ok(
    read(hub.printed.stderr).some(
      (line) => line.method === 'POST' && line.path === '/api/runs' && line.status === 201,
    ),
  )
  const taken = read(runner!.printed.stderr).find((line) => line.attempt_id === `${run_id}.1`)
  assert.deepEqual([taken.level, taken.runner_id, taken.run_id], ['debug', 'apart', run_id])
  for (const text of [hub.printed.stderr, runner!.printed.stderr])
    assert.doesNotMatch(text, /errand_(api|runner)_/)
  for (const port of ['', ' ', '-1', '65536', 'any']) {
    const refused = await programs.errand.run(['up', '--port', port])
    assert.deepEqual([refused.code, refused.stderr.split('\n')[0]], [2, `error: --port is "${port}"`])
  }
  const wrong = await programs.errand.run(['up', '--port', '0'], {
    env: { ERRAND_LOG_LEVEL: 'loud', ERRAND_DATA: join(programs.home, 'x') },
  })
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /ERRAND_LOG_LEVEL is "loud"/)
  assert.match(wrong.stderr, /debug, info, warn, error/)
})

test('the figures follow a run through hub and runner', async (t) => {
  const programs = await startPrograms(t, { hubEnv: { ERRAND_METRICS: 'open' } })
  const { run_id } = await programs.client.runs.create({ yaml: flow('echo hello') })
  await programs.ended(run_id)
  const text = await (await fetch(`${programs.url}/metrics`)).text()
  assert.match(text, /^errand_runs_finished_total\{status="success"\} 1$/m)
  assert.match(text, /^errand_output_bytes_total 6$/m)
  assert.match(text, /^errand_runners\{group="default",status="connected"\} 1$/m)
  assert.match(text, /^errand_runner_slots\{group="default"\} 64$/m)
  assert.match(text, /^errand_runner_links_total\{event="opened"\} 1$/m)
  assert.match(text, /^errand_placement_delay_seconds_count 1$/m)
  const waiting = await programs.client.runs.create({
    yaml: workflowText([{ name: 'one', cmd: 'true', targets: ['far'] }], {
      inventory: { hosts: { far: { group: 'gpu' } } },
    }),
  })
  await eventually('the queue', async () =>
    /^errand_queue_depth\{group="gpu"\} 1$/m.test(await (await fetch(`${programs.url}/metrics`)).text()),
  )
  await programs.client.runs.cancel(waiting.run_id)
  const openMetrics = async () => await (await fetch(`${programs.url}/metrics`)).text()
  await eventually('the queue is empty', async () =>
    /^errand_queue_depth\{group="default"\} 0$/m.test(await openMetrics()),
  )
  assert.match(await openMetrics(), /^errand_runner_reconnects_total 0$/m)
  await programs.kill('runner')
  await programs.startRunner()
  await eventually('the runner came back', async () =>
    /^errand_runner_reconnects_total 1$/m.test(await openMetrics()),
  )
  const { stdout: token } = await programs.call('tokens', 'create', 'prometheus', '--scope', 'metrics')
  const forwarded = { 'x-forwarded-for': '203.0.113.7' }
  assert.equal((await fetch(`${programs.url}/metrics`, { headers: forwarded })).status, 401)
  const headers = { ...forwarded, authorization: `Bearer ${token.trim()}` }
  assert.equal((await fetch(`${programs.url}/metrics`, { headers })).status, 200)
})

test('people log in under the host name that a proxy passes on, if the hub is configured for it', async (t) => {
  const programs = await startPrograms(t, {
    runner: 'none',
    hubEnv: { ERRAND_HOST_ALLOW: 'hub.example.com' },
  })
  // `fetch` does not allow setting the host name.
  const login = async (host: string) => {
    const headers = { host, 'content-type': 'application/json' }
    const requested = request(`${programs.url}/api/auth/login`, { method: 'POST', headers })
    requested.end(JSON.stringify({ username: 'admin', password: 'wrong' }))
    const [answer] = (await once(requested, 'response')) as [IncomingMessage]
    return ((await json(answer)) as ErrorBody).error
  }
  assert.equal((await login('hub.example.com')).code, 'unauthorized')
  const refused = await login('other.example.com')
  assert.equal(refused.code, 'forbidden')
  assert.match(refused.hint!, /ERRAND_HOST_ALLOW/)
})

test('an attempt that waits across a hub restart counts in the placement delays, with its whole time', async (t) => {
  const programs = await startPrograms(t, { runner: 'none', hubEnv: { ERRAND_METRICS: 'open' } })
  const began = Date.now()
  const { run_id } = await programs.client.runs.create({ yaml: flow('true') })
  await programs.kill('hub')
  await programs.startHub()
  const figure = async (name: string) => {
    const text = await (await fetch(`${programs.url}/metrics`)).text()
    return Number(new RegExp(`^errand_placement_delay_seconds_${name} (.*)$`, 'm').exec(text)?.[1])
  }
  assert.equal(await figure('count'), 0)
  const restarted = Date.now()
  await programs.startRunner()
  await programs.ended(run_id)
  assert.equal(await figure('count'), 1)
  const seconds = await figure('sum')
  // The delay is more than half of the time until the restart, and at most the time since the beginning.
  assert.ok(seconds > (restarted - began) / 2000 && seconds <= (Date.now() - began) / 1000, String(seconds))
})

test('ended runs are deleted by hand, and by the hub when their time is over', async (t) => {
  const programs = await startPrograms(t)
  const { client } = programs
  const make = async () => {
    const { run_id } = await client.runs.create({ yaml: flow('echo hello') })
    await programs.ended(run_id)
    return run_id
  }
  const [one, two] = [await make(), await make()]
  const output = (id: string) => existsSync(join(programs.data, 'output', id))
  assert.equal(output(one), true)
  const { stdout, code } = await programs.call('runs', 'delete', one, '--json')
  assert.deepEqual([code, JSON.parse(stdout)], [0, { deleted: [one] }])
  assert.equal(output(one), false)
  assert.equal((await programs.call('runs', 'show', one)).code, 7)

  const { run_id: open } = await client.runs.create({ yaml: flow('sleep 100000') })
  assert.match((await programs.call('runs', 'delete', open)).stderr, /has to end first/)
  programs.hub.child.kill('SIGTERM')
  await programs.hub.finished
  const up = programs.errand.start(
    ['up', '--port', new URL(programs.url).port, '--no-runner', '--retention', '0.001s'],
    {
      env: programs.env,
    },
  )
  await up.until('Runs removed because')
  assert.equal(output(two), false)
  const { runs } = await client.runs.list()
  assert.deepEqual(
    runs.map(({ run_id }) => run_id),
    [open],
  )
  await client.runs.cancel(open)
  const wrong = await programs.call('up', '--retention', 'soon')
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /--retention is "soon"/)
})
