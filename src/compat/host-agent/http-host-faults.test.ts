import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { ScriptedAttempts } from '../../../test/support/compat/attempts-stand-in.ts'
import {
  cmdSpec,
  cuttingProxy,
  httpHost,
  KeepingSink,
  tcpServer,
  until,
} from '../../../test/support/compat/hosts-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { HttpHostOptions } from './http-host.ts'
import { createHostAgent } from './server.ts'

async function agent(t: TestContext, attempts: ScriptedAttempts) {
  const server = createHostAgent({ attempts, token: 'T', version: '1' })
  t.after(() => server.close())
  return { ...(await server.listen(':0')), stop: () => server.close() }
}

async function endOf(t: TestContext, spec: AttemptSpec, options: HttpHostOptions = {}) {
  const host = httpHost(t, options)
  const sink = new KeepingSink()
  host.start(spec, host.place(spec), sink)
  const end = await sink.ended
  assert.equal(end.outcome, 'failed')
  return [end.reason, end.message!] as const
}

/** Returns a port on which nothing listens. */
async function closedPort(): Promise<number> {
  const server = createHostAgent({ attempts: new ScriptedAttempts(), token: 'T', version: '1' })
  const { port } = await server.listen(':0')
  await server.close()
  return port
}

test('an unreachable host fails the attempt at once, with its name and address', async (t) => {
  const url = `http://127.0.0.1:${await closedPort()}`
  const [reason, message] = await endOf(t, cmdSpec(url, 'x'))
  assert.equal(reason, 'host_unreachable')
  assert.ok(message.includes(`Host "web1" (${url}) refused the connection`), message)
})

test('a host with an invalid name or address, or without an address, says so', async (t) => {
  const cases: [string | undefined, RegExp][] = [
    [undefined, /Host "web1" has no address\. Set inventory\.hosts\.web1\.address/],
    ['http://', /is not a URL/],
    ['http://no-such-host.invalid:7072', /name that cannot be resolved/],
  ]
  for (const [address, message] of cases) {
    const [reason, text] = await endOf(t, cmdSpec(address, 'x'), { reachWithinMs: 100 })
    assert.equal(reason, 'host_unreachable')
    assert.match(text, message)
  }
})

test('a wrong or missing token is refused with what to do', async (t) => {
  const { url } = await agent(t, new ScriptedAttempts())
  const [reason, message] = await endOf(t, cmdSpec(url, 'x'), { token: 'other' })
  assert.equal(reason, 'host_unauthorized')
  assert.match(message, /token is wrong.*same --token/)
  assert.match((await endOf(t, cmdSpec(url, 'x'), { token: undefined }))[1], /No token for host "web1"/)
  const spec = cmdSpec(url, 'x', { token_env: 'WEB1_TOKEN' })
  assert.match((await endOf(t, spec, { env: {} }))[1], /Set the environment variable WEB1_TOKEN/)
})

test("a host's own token comes from the variable that its entry names", async (t) => {
  const { url } = await agent(t, new ScriptedAttempts((attempt) => attempt.end({ outcome: 'success' })))
  const host = httpHost(t, { token: 'other', env: { WEB1_TOKEN: 'T' } })
  const sink = new KeepingSink()
  host.start(cmdSpec(url, 'x', { token_env: 'WEB1_TOKEN' }), { epoch: 1 }, sink)
  assert.equal((await sink.ended).outcome, 'success')
})

test("a host's refusal is passed on in its own words", async (t) => {
  const { url } = await agent(t, new ScriptedAttempts())
  const [reason, message] = await endOf(t, cmdSpec(url, 'x', { action: 'coffee.make', args: {} }))
  assert.equal(reason, 'host_refused')
  assert.match(message, /Unknown action "coffee.make"/)
})

test('a server that is not a host agent is recognized', async (t) => {
  const answers = [
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello',
    'HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}',
  ]
  for (const answer of answers) {
    const { url } = await tcpServer(t, (socket) => socket.once('data', () => socket.end(answer)))
    const [reason, message] = await endOf(t, cmdSpec(url, 'x'))
    assert.equal(reason, 'host_refused')
    assert.match(message, /not a host agent/)
  }
  const { url } = await tcpServer(t, (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'))
  assert.match((await endOf(t, cmdSpec(url, 'x')))[1], /does not speak HTTP/)
})

test('an answer that is not from a host agent is described in words', async (t) => {
  const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{"status":"fine"}'
  const { url } = await tcpServer(t, (socket) => socket.once('data', () => socket.end(answer)))
  const [reason, message] = await endOf(t, cmdSpec(url, 'x'))
  assert.equal(reason, 'host_refused')
  assert.match(message, /does not answer like a host agent: task_id is missing; .*status must be "running"/)
})

test('a host that never answers is given up after a limited time', async (t) => {
  const { url } = await tcpServer(t, () => {})
  const [reason, message] = await endOf(t, cmdSpec(url, 'x'), { requestTimeoutMs: 50, reachWithinMs: 150 })
  assert.equal(reason, 'host_unreachable')
  assert.ok(message.includes(`Host "web1" (${url}) did not answer within 0.05 s`), message)
})

test('a host that falls silent in the middle is lost after a limited time', async (t) => {
  const attempts = new ScriptedAttempts((attempt) => attempt.write('stdout', 'some'))
  const { url, stop } = await agent(t, attempts)
  const host = httpHost(t, { lostAfterMs: 150 })
  const sink = new KeepingSink()
  host.start(cmdSpec(url, 'x'), { epoch: 1 }, sink)
  await until(() => sink.text('stdout') === 'some')
  await stop()
  const end = await sink.ended
  assert.deepEqual([end.outcome, end.reason], ['failed', 'lost'])
  assert.match(end.message!, /may still run there/)
})

test('waiting for a host is reported once, with its start and limit, and so is the next answer', async (t) => {
  const attempts = new ScriptedAttempts((attempt) => attempt.write('stdout', 'some'))
  const first = createHostAgent({ attempts, token: 'T', version: '1' })
  const { url, port } = await first.listen(':0')
  const host = httpHost(t)
  const sink = new KeepingSink()
  host.start(cmdSpec(url, 'x'), { epoch: 1 }, sink)
  await until(() => sink.text('stdout') === 'some')
  await first.close()
  const phases = () => sink.reports.filter((report) => report.type === 'phase')
  await until(() => phases().length === 1, 'the notice')
  const second = createHostAgent({ attempts, token: 'T', version: '1' })
  t.after(() => second.close())
  await second.listen(`:${port}`)
  await until(() => phases().length === 2, 'its next answer')
  attempts.held.values().next().value!.end({ outcome: 'success' })
  assert.equal((await sink.ended).outcome, 'success')
  const [waiting, running] = phases()
  assert.equal(waiting!.phase, 'waiting')
  assert.match(
    waiting!.message!,
    /^Host "web1" \(http:\S+\) (closed|refused) the connection.*\. It has been silent since \d\d:\d\d:\d\d UTC; waiting until \d\d:\d\d:\d\d \(60 s\)\.$/,
  )
  assert.deepEqual([running!.phase, running!.message], ['running', `Host "web1" (${url}) answers again.`])
  assert.equal(phases().length, 2)
})

test('waiting is reported for a host that accepts a request and does not answer', async (t) => {
  const { url } = await tcpServer(t, (socket) => socket.resume())
  const host = httpHost(t, { overdueAfterMs: 20 })
  const sink = new KeepingSink()
  host.start(cmdSpec(url, 'x'), { epoch: 1 }, sink)
  await until(() => sink.reports.length === 1, 'the notice')
  const [notice] = sink.reports
  assert.ok(notice?.type === 'phase' && notice.phase === 'waiting')
  assert.match(notice.message!, /does not answer\. .*waiting until .* \(20 s\)/)
})

test('an attempt on a host that never answers can be canceled', async (t) => {
  let isRequested = false
  const { url } = await tcpServer(t, (socket) => {
    isRequested = true
    socket.resume()
  })
  const host = httpHost(t, { cancelGraceMs: 10, cancelWithinMs: 50 })
  const sink = new KeepingSink()
  const spec = cmdSpec(url, 'x')
  host.start(spec, { epoch: 1 }, sink)
  await until(() => isRequested)
  host.cancel(spec.attempt_id, 'canceled')
  const end = await sink.ended
  assert.deepEqual([end.outcome, end.reason], ['canceled', 'canceled'])
  assert.match(end.message!, /may still run there/)
})

test('connections that break at any byte lose nothing: every byte arrives once, after one start', async (t) => {
  const attempts = new ScriptedAttempts(async (attempt) => {
    for (let i = 0; i < 40; i++) {
      attempt.write('stdout', `line ${i}\n`)
      // Sleeps: a process that prints slowly, so that connections break in the middle.
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    attempt.end({ outcome: 'success', exit_code: 0 })
  })
  const { port } = await agent(t, attempts)
  let connections = 0
  // Each connection lives longer than the one before; the first does not last for a single answer.
  const proxy = await cuttingProxy(
    t,
    () => port,
    () => connections++ * 97,
  )
  const sink = new KeepingSink()
  const host = httpHost(t)
  host.start(cmdSpec(proxy.url, 'x'), { epoch: 1 }, sink)
  const end = await sink.ended
  assert.equal(end.outcome, 'success')
  assert.equal(sink.text('stdout'), Array.from({ length: 40 }, (_, i) => `line ${i}\n`).join(''))
  assert.equal(attempts.starts.length, 1)
  assert.ok(connections > 3)
})

test('an agent that does not return all of its output makes the attempt fail', async (t) => {
  const attempts = new ScriptedAttempts((attempt) => {
    attempt.write('stdout', 'short')
    attempt.length = () => 10
    attempt.end({ outcome: 'success' })
  })
  const { url } = await agent(t, attempts)
  assert.equal((await endOf(t, cmdSpec(url, 'x')))[0], 'output_mismatch')
})
