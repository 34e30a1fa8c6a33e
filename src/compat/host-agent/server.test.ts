import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type ScriptedAttempt, ScriptedAttempts } from '../../../test/support/compat/attempts-stand-in.ts'
import { ErrandError } from '../../contract/errors.ts'
import { hostAgentRoutes } from '../../contract/routes/host-agent.ts'
import { createHostAgent, type HostAgentOptions } from './server.ts'

const TOKEN = 'a-token'

async function agent(t: TestContext, attempts: ScriptedAttempts, options: Partial<HostAgentOptions> = {}) {
  const server = createHostAgent({ attempts, token: TOKEN, version: '1.2.3', asyncAfterMs: 50, ...options })
  t.after(() => server.close())
  const { url } = await server.listen(':0')
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, ...headers },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    })
    // biome-ignore lint/suspicious/noExplicitAny: a test reads what it asks for
    return { status: response.status, body: (await response.json()) as any }
  }
  return { server, url, ask }
}

const echo = (attempt: ScriptedAttempt) => {
  attempt.write('stdout', 'hello\n')
  attempt.end({ outcome: 'success', exit_code: 0, exports: { A: '1' }, duration_ms: 3 })
}

test('short work is answered at once, with its output, exit code and exports', async (t) => {
  const { ask } = await agent(t, new ScriptedAttempts(echo))
  const { status, body } = await ask('POST', '/run', { action: 'cmd.run', args: { cmd: 'echo hello' } })
  assert.equal(status, 200)
  assert.equal(body.status, 'success')
  assert.equal(body.stdout, 'hello\n')
  assert.equal(body.stdout_length, 6)
  assert.equal(body.exit_code, 0)
  assert.deepEqual(body.exports, { A: '1' })
  assert.match(body.task_id, /^run_[0-9a-v]+\.\d+$/)
})

test('the answer of /run contains max_output_bytes of the output and gives its full length', async (t) => {
  const { ask } = await agent(t, new ScriptedAttempts(echo))
  const { body } = await ask('POST', '/run', { action: 'cmd.run', args: { cmd: 'x', max_output_bytes: 3 } })
  assert.equal(body.stdout, 'hel')
  assert.equal(body.stdout_length, 6)
})

test('long work is answered with 202, and /status returns the new output each time', async (t) => {
  const attempts = new ScriptedAttempts()
  const { ask } = await agent(t, attempts)
  const run = await ask('POST', '/run', {
    run_id: 'r1',
    attempt_id: 'r1.1',
    action: 'cmd.run',
    args: { cmd: 'x' },
  })
  assert.equal(run.status, 202)
  assert.deepEqual(run.body, { task_id: 'r1.1', run_id: 'r1', status: 'running' })
  const attempt = attempts.get('r1.1')!
  attempt.write('stdout', 'one ')
  assert.equal((await ask('GET', '/status?task_id=r1.1')).body.stdout, 'one ')
  attempt.write('stdout', 'two')
  attempt.write('stderr', 'oh')
  const second = (await ask('GET', '/status?task_id=r1.1')).body
  assert.deepEqual([second.status, second.stdout, second.stderr], ['running', 'two', 'oh'])
  assert.equal((await ask('GET', '/status?task_id=r1.1')).body.stdout, '')
  attempt.end({ outcome: 'failed', reason: 'exit_code', exit_code: 3, message: 'It ended with code 3.' })
  const last = (await ask('GET', '/status?task_id=r1.1&stdout_offset=4')).body
  assert.deepEqual([last.status, last.reason, last.exit_code, last.stdout], ['failed', 'exit_code', 3, 'two'])
})

test('/status never splits a character, and returns all bytes in base64', async (t) => {
  const attempts = new ScriptedAttempts()
  const { ask } = await agent(t, attempts, { asyncAfterMs: 1 })
  await ask('POST', '/run', { attempt_id: 'r.1', action: 'cmd.run', args: { cmd: 'x' } })
  const euro = Buffer.from('€')
  attempts.get('r.1')!.write('stdout', Buffer.concat([Buffer.from('a'), euro.subarray(0, 2)]))
  assert.equal((await ask('GET', '/status?task_id=r.1')).body.stdout, 'a')
  attempts.get('r.1')!.write('stdout', euro.subarray(2))
  assert.equal((await ask('GET', '/status?task_id=r.1')).body.stdout, '€')
  attempts.get('r.1')!.write('stdout', Buffer.from([0xff, 0, 0xe2]))
  attempts.get('r.1')!.end({ outcome: 'success' })
  const { body } = await ask('GET', '/status?task_id=r.1&stdout_offset=4&encoding=base64')
  assert.deepEqual([...Buffer.from(body.stdout_base64, 'base64')], [0xff, 0, 0xe2])
})

test('/status waits for news if requested', async (t) => {
  const attempts = new ScriptedAttempts()
  const { ask } = await agent(t, attempts, { asyncAfterMs: 1 })
  await ask('POST', '/run', { attempt_id: 'r.1', action: 'cmd.run', args: { cmd: 'x' } })
  const answer = ask('GET', '/status?task_id=r.1&stdout_offset=0&stderr_offset=0&wait_ms=30000')
  attempts.get('r.1')!.write('stdout', 'news')
  assert.equal((await answer).body.stdout, 'news')
})

test('the same attempt id twice is one task, but a different request with that id is refused', async (t) => {
  const attempts = new ScriptedAttempts(echo)
  const { ask } = await agent(t, attempts)
  const body = { attempt_id: 'r.1', request_id: 'a', action: 'cmd.run', args: { cmd: 'x' } }
  const answers = await Promise.all([ask('POST', '/run', body), ask('POST', '/run', body)])
  assert.deepEqual(
    answers.map(({ body }) => body.stdout),
    ['hello\n', 'hello\n'],
  )
  assert.equal(attempts.starts.length, 1)
  const other = await ask('POST', '/run', { ...body, request_id: 'b' })
  assert.equal(other.status, 409)
  assert.match(other.body.error.message, /another attempt r\.1/)
})

test('/cancel is accepted for a running task, and refused for ended and unknown tasks', async (t) => {
  const attempts = new ScriptedAttempts()
  const { ask } = await agent(t, attempts, { asyncAfterMs: 1 })
  await ask('POST', '/run', { attempt_id: 'r.1', action: 'cmd.run', args: { cmd: 'x' } })
  assert.equal((await ask('POST', '/cancel?task_id=r.1&grace_ms=7&reason=timeout')).status, 202)
  assert.equal((await ask('POST', '/cancel', { task_id: 'r.1' })).status, 202)
  assert.deepEqual(attempts.get('r.1')!.cancels, [
    { graceMs: 7, reason: 'timeout' },
    { graceMs: 5000, reason: 'canceled' },
  ])
  attempts.get('r.1')!.end({ outcome: 'canceled' })
  assert.equal((await ask('POST', '/cancel?task_id=r.1')).status, 409)
  assert.equal((await ask('POST', '/cancel?task_id=r.2')).status, 404)
  assert.equal((await ask('POST', '/cancel')).status, 400)
})

test('/run-status reports the results of the last tries of a run', async (t) => {
  const attempts = new ScriptedAttempts()
  const { ask } = await agent(t, attempts, { asyncAfterMs: 1 })
  const start = (attempt_id: string, more: object) =>
    ask('POST', '/run', { attempt_id, workflow_name: 'w', action: 'cmd.run', args: { cmd: 'x' }, ...more })
  await start('r.1', { step: 'a', host: 'h1' })
  await start('r.2', { step: 'a', host: 'h2' })
  assert.equal((await ask('GET', '/run-status?run_id=r')).body.status, 'running')
  attempts.get('r.1')!.end({ outcome: 'success' })
  attempts.get('r.2')!.end({ outcome: 'failed', message: 'no' })
  const failed = (await ask('GET', '/run-status?run_id=r')).body
  assert.deepEqual([failed.status, failed.message, failed.workflow_name], ['failed', 'no', 'w'])
  assert.equal(failed.steps[0].hosts.h1.status, 'success')
  await start('r.3', { step: 'a', host: 'h2', try: 2 })
  attempts.get('r.3')!.end({ outcome: 'success' })
  assert.equal((await ask('GET', '/run-status?run_id=r')).body.status, 'success')
  const unknown = await ask('GET', '/run-status?run_id=other')
  assert.deepEqual([unknown.status, unknown.body.error.code], [404, 'run_not_found'])
})

test('every route but /health answers a wrong or missing token with 401 and the reason', async (t) => {
  const { ask } = await agent(t, new ScriptedAttempts())
  const guarded = Object.entries(hostAgentRoutes).flatMap(([name, { who }]) =>
    who === 'anyone' ? [] : [name],
  )
  for (const name of [...guarded, 'GET /nowhere', 'DELETE /run']) {
    const [method, path] = name.split(' ') as [string, string]
    const wrong = await ask(method, path, undefined, { authorization: 'Bearer other' })
    assert.equal(wrong.status, 401)
    assert.equal(wrong.body.error.code, 'unauthorized')
    assert.match(wrong.body.error.message, /token is wrong/)
    const missing = await ask(method, path, undefined, { authorization: '' })
    assert.match(missing.body.error.message, /token is missing/)
  }
  for (const name of Object.keys(hostAgentRoutes)) {
    const [method, path] = name.split(' ') as [string, string]
    const { status, body } = await ask(method, path, method === 'POST' ? '"text"' : undefined)
    assert.ok(status < 500 && ![401, 404, 405].includes(status), `${name} is served: ${status}`)
    if (status !== 200) assert.equal(body.error.code, 'bad_request', name)
  }
  assert.equal((await ask('GET', '/health', undefined, { authorization: '' })).status, 200)
  const old = await ask('POST', '/heartbeat', undefined, { authorization: '', 'x-runner-token': TOKEN })
  assert.equal(old.status, 200)
  assert.equal(old.body.status, 'ok')
  assert.equal(old.body.version, '1.2.3')
  assert.equal(old.body.running, 0)
  assert.deepEqual(
    ['cmd.run', 'agent.run', 'bot.serve'].map((action) => old.body.capability.includes(action)),
    [true, false, false],
  )
})

test('an impossible request is refused with the reason, and starts nothing', async (t) => {
  const attempts = new ScriptedAttempts()
  const { ask } = await agent(t, attempts, { maxBodyBytes: 1000 })
  const refusals: [string, string, unknown, number, RegExp][] = [
    ['POST', '/run', '{', 400, /not valid JSON/],
    ['POST', '/run', '[]', 400, /body of the request is not valid/],
    ['POST', '/run', {}, 400, /action/],
    ['POST', '/run', { action: 'cmd.ran' }, 400, /Unknown action "cmd.ran"/],
    ['POST', '/run', { action: 'approval.wait' }, 400, /Host agents do not run the action/],
    [
      'POST',
      '/run',
      { action: 'agent.run', args: { prompt: 'x' } },
      400,
      /Host agents do not run the action/,
    ],
    ['POST', '/run', { action: 'cmd.run', args: {} }, 400, /args of cmd.run are not valid/],
    ['POST', '/run', { action: 'cmd.run', args: { cmd: 'x' }, run_id: '../..' }, 400, /run_id/],
    ['POST', '/run', { action: 'cmd.run', args: { cmd: 'x'.repeat(2000) } }, 413, /larger than 1000 bytes/],
    ['GET', '/run', undefined, 405, /does not accept GET/],
    ['GET', '/status', undefined, 400, /task_id/],
    ['GET', '/status?task_id=x&stdout_offset=-1', undefined, 400, /stdout_offset/],
    ['GET', '/status?task_id=x', undefined, 404, /Task "x" not found/],
    ['GET', '/run-status', undefined, 400, /run_id is missing/],
    ['GET', '/nowhere', undefined, 404, /\/nowhere does not exist/],
  ]
  for (const [method, path, body, status, message] of refusals) {
    const answer = await ask(method, path, body)
    assert.equal(answer.status, status, path)
    assert.match(answer.body.error.message, message)
  }
  assert.equal(attempts.starts.length, 0)
})

test('a wrong request is answered in words, with what to write', async (t) => {
  const { ask } = await agent(t, new ScriptedAttempts())
  const wrongs: [string, string, unknown, string, RegExp][] = [
    [
      'POST',
      '/run',
      { action: 'cmd.run', args: { cmd: 3, comand: 'x' } },
      'The args of cmd.run are not valid: cmd must be text, but is the number 3; comand is an unknown field.',
      /put it in quotes: "3"/,
    ],
    [
      'POST',
      '/run',
      { action: 4, env: [], timeout_seconds: -1 },
      'The body of the request is not valid: action must be text, but is the number 4; env must be a map of keys and values, but is a list; timeout_seconds must be more than 0.',
      /quotes/,
    ],
    [
      'POST',
      '/run',
      [],
      'The body of the request is not valid: the body must be a map of keys and values, but is a list.',
      /./,
    ],
    ['POST', '/run', {}, 'The body of the request is not valid: action is missing.', /Example: \{"action"/],
    [
      'GET',
      '/status?task_id=x&wait_ms=soon',
      undefined,
      'The query of the request is not valid: wait_ms must be a number, but is text "soon".',
      /Example: \/status/,
    ],
    [
      'GET',
      '/tasks?status=done',
      undefined,
      'The query of the request is not valid: status must be "running", "success", "failed", "canceled" or "interrupted", but is text "done".',
      /./,
    ],
    [
      'POST',
      '/run',
      { task: { Step: { Action: 3 } } },
      'The task is not valid: step.action must be text, but is the number 3.',
      /A task contains a step/,
    ],
  ]
  for (const [method, path, body, message, hint] of wrongs) {
    const { error } = (await ask(method, path, body)).body
    assert.equal(error.message, message)
    assert.match(error.hint, hint)
  }
})

test('tasks are listed for all runs, for one run, or for one status', async (t) => {
  const { ask } = await agent(
    t,
    new ScriptedAttempts(
      (attempt) => void (attempt.spec.args.cmd === 'end' && attempt.end({ outcome: 'success' })),
    ),
    { asyncAfterMs: 1 },
  )
  const begin = (attempt_id: string, cmd: string) =>
    ask('POST', '/run', { attempt_id, workflow_name: 'flow', step: 's', action: 'cmd.run', args: { cmd } })
  await begin('a.1', 'end')
  await begin('a.2', 'x')
  await begin('b.1', 'x')
  const ids = async (query: string) =>
    (await ask('GET', `/tasks${query}`)).body.tasks.map((task: { task_id: string }) => task.task_id)
  assert.deepEqual(await ids(''), ['a.1', 'a.2', 'b.1'])
  assert.deepEqual(await ids('?run_id=a'), ['a.1', 'a.2'])
  assert.deepEqual(await ids('?status=running'), ['a.2', 'b.1'])
  assert.deepEqual((await ask('GET', '/tasks?run_id=b')).body.tasks, [
    {
      task_id: 'b.1',
      run_id: 'b',
      workflow_name: 'flow',
      step: 's',
      host: 'local',
      try: 1,
      status: 'running',
    },
  ])
})

test("ended tasks expire after a set time, and their run's workspace with the last one", async (t) => {
  const attempts = new ScriptedAttempts(echo)
  const { ask } = await agent(t, attempts, { keepEndedMs: 40 })
  await ask('POST', '/run', { attempt_id: 'r.1', action: 'cmd.run', args: { cmd: 'x' } })
  await until(() => attempts.forgotten.length > 0)
  assert.deepEqual(attempts.forgotten, ['r'])
  assert.equal((await ask('GET', '/status?task_id=r.1')).status, 404)
})

test('if there are too many ended tasks, the oldest are removed first', async (t) => {
  const attempts = new ScriptedAttempts(echo)
  const { ask } = await agent(t, attempts, { keepEnded: 2, keepAtLeastMs: 0 })
  for (const n of [1, 2, 3])
    await ask('POST', '/run', { attempt_id: `r.${n}`, action: 'cmd.run', args: { cmd: 'x' } })
  await until(() => attempts.held.size === 2)
  assert.deepEqual([...attempts.held.keys()], ['r.2', 'r.3'])
})

test('the server listens on loopback by default, and says so if the port is in use', async (t) => {
  const { url } = await agent(t, new ScriptedAttempts())
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/)
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.after(() => taken.close())
  const { port } = taken.address() as { port: number }
  const second = createHostAgent({ attempts: new ScriptedAttempts(), token: TOKEN, version: '1' })
  await assert.rejects(
    second.listen(`:${port}`),
    (error) => error instanceof ErrandError && error.code === 'address_in_use',
  )
  await second.close()
})

test('the server does not start without a token or with an invalid address', async () => {
  const open = (token: string) => createHostAgent({ attempts: new ScriptedAttempts(), token, version: '1' })
  assert.throws(() => open(' '), /needs a token/)
  await assert.rejects(open('t').listen('localhost'), /not an address to listen on/)
  await assert.rejects(open('t').listen(':70000'), /not an address to listen on/)
})

test('closing answers waiting requests, and can be done twice', async (t) => {
  const attempts = new ScriptedAttempts()
  const { server, ask } = await agent(t, attempts, { asyncAfterMs: 1 })
  await ask('POST', '/run', { attempt_id: 'r.1', action: 'cmd.run', args: { cmd: 'x' } })
  const waiting = ask('GET', '/status?task_id=r.1&stdout_offset=0&wait_ms=30000&reports_from=1')
  // One is the agent's own, which waits for the end.
  await until(() => attempts.get('r.1')!.watchers === 2)
  await Promise.all([server.close(), server.close()])
  assert.equal((await waiting).body.status, 'running')
})

async function until(condition: () => boolean): Promise<void> {
  for (const giveUp = Date.now() + 120_000; !condition(); ) {
    assert.ok(Date.now() < giveUp, 'waited too long')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
