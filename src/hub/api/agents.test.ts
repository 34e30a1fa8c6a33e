import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { AgentsHealth, AnsweredQuestion, ChatAnswer, InputAccepted } from '../../contract/agent-api.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { RunnerView } from '../../contract/protocol.ts'

async function setup(t: TestContext, options: Parameters<typeof testingHub>[1] = {}) {
  const hub = await testingHub(t, options)
  const { token } = await hub.user('ann')
  const post = (path: string, body: unknown) => hub.call('POST', path, token, body)
  const agent = async (agent: object) => {
    const made = await post('/api/runs', { blueprint: 'agent', agent })
    assert.equal(made.status, 201, made.text)
    return made.json.run_id as string
  }
  const events = async (id: string): Promise<RunEvent[]> =>
    (await hub.call('GET', `/api/runs/${id}/events`, token, undefined, { accept: 'application/json' })).json
  const until = async (id: string, fits: (event: RunEvent) => boolean) => {
    for await (const event of hub.engine.watch(id, 0)) if (fits(event)) return
    throw new Error('it did not come')
  }
  const args = () => hub.host.specs.at(-1)!.args
  return { ...hub, token, post, agent, events, until, args }
}

const isIdle = (event: RunEvent) => event.type === 'agent.update' && event.update.kind === 'turn_ended'

test('an agent request in Errand’s own format passes its prompt and arguments to the agent unchanged', async (t) => {
  const { engine, agent, args, host, call, token } = await setup(t)
  const prompt = 'say ${HOME} and $${this} cost $5\nsecond line'
  const id = await agent({
    prompt,
    agent: 'codex',
    cwd: '/tmp/${x}',
    permissions: { mode: 'rules', rules: [{ decision: 'deny', paths: ['${y}/**'] }] },
    budget: { turns: 3 },
    verify: ['test -n "${HOME}"'],
    env: { KEY: 'a${b}', N: 1 },
    timeout_seconds: 20,
    group: 'gpu',
  })
  const record = await engine.done(id)
  assert.equal(record.status, 'success')
  assert.equal(record.blueprint, 'agent')
  assert.equal(record.workflow_name, 'say ${HOME} and $${this} cost $5 second line')
  assert.equal(args().prompt, prompt)
  assert.equal(args().cwd, '/tmp/${x}')
  assert.deepEqual(args().verify, ['test -n "${HOME}"'])
  assert.deepEqual((args().permissions as { rules: object[] }).rules, [
    { decision: 'deny', paths: ['${y}/**'] },
  ])
  const { env, timeout_ms, requires } = host.specs[0]!
  assert.deepEqual([env.KEY, env.N, timeout_ms, requires.group], ['a${b}', '1', 20_000, 'gpu'])
  const list = (await call('GET', '/api/runs?blueprint=agent', token)).json.runs
  assert.deepEqual([list.length, list[0].blueprint], [1, 'agent'])
  assert.equal((await call('GET', '/api/runs?blueprint=workflow', token)).json.runs.length, 0)
})

test('an agent request in the format of the agent API gets its defaults', async (t) => {
  const { post, args, host, engine } = await setup(t)
  const made = await post('/api/runs', {
    input: { text: 'say hi' },
    metadata: { agent_type: 'codex', working_dir: '/srv/x', model: 'm', extra_args: ['-v'], client: 'web' },
  })
  assert.match(made.json.run_id, /^run_/)
  await engine.done(made.json.run_id)
  const { agent, cwd, model, extra_args, permissions } = args()
  assert.deepEqual([agent, cwd, model, extra_args, permissions], ['codex', '/srv/x', 'm', ['-v'], 'allow'])
  assert.equal(host.specs[0]!.timeout_ms, 300_000)
  await engine.done((await post('/api/runs', { input: { text: 'say hi' } })).json.run_id)
  assert.equal(args().agent, 'claude_code')
})

test('refuses an incomplete, oversized or ambiguous request and says what to do', async (t) => {
  const { post, engine } = await setup(t)
  const bad: [object, number, RegExp][] = [
    [{}, 400, /exactly one of/],
    [{ blueprint: 'agent' }, 400, /exactly one of/],
    [{ agent: { prompt: 'x' }, yaml: 'x' }, 400, /not "yaml" and "agent" at once/],
    [{ blueprint: 'workflow', agent: { prompt: 'x' } }, 400, /does not accept "agent"/],
    [{ blueprint: 'bot' }, 400, /body\.blueprint/],
    [{ agent: { prompt: '' } }, 400, /body\.agent\.prompt/],
    [{ agent: { prompt: 'x', agnt: 'codex' } }, 400, /agnt/],
    [{ agent: { prompt: 'x', permissions: 'maybe' } }, 400, /body\.agent\.permissions/],
    [{ agent: { prompt: 'x', budget: { turns: 0 } } }, 400, /body\.agent\.budget\.turns/],
    [{ agent: { prompt: 'x', command: ['y'] } }, 400, /command is for the agent "acp"/],
    [{ agent: { prompt: 'x', proxy_env: { K: 'openai' } } }, 400, /proxy_env is for the agent "acp"/],
    [{ agent: { prompt: 'x', agent: 'acp', proxy_env: { K: 'mine' } } }, 400, /body\.agent\.proxy_env\.K/],
    [{ agent: { prompt: 'x', isolation: 'vm' } }, 400, /body\.agent\.isolation/],
    [{ agent: { prompt: 'x', network: { allow: ['https://x'] } } }, 400, /body\.agent\.network/],
    [{ agent: { prompt: 'x', isolation: 'none', network: 'models' } }, 400, /network needs a box/],
    [{ agent: { prompt: 'x', image: 'node:22' } }, 400, /image is set, but no container is requested/],
    [{ agent: { prompt: 'x' }, image: 'node:22' }, 400, /No step uses the image node:22/],
    [{ agent: { prompt: 'x' }, isolation: 'none', network: 'none' }, 400, /network needs a box/],
    [{ agent: { prompt: 'x' }, vars: { A: 1 } }, 400, /no variables/],
    [{ agent: { prompt: 'x'.repeat(5_000_000) } }, 413, /prompt has 5000002 bytes/],
    [{ input: { text: 'x' }, metadata: { cwd: '/a', working_dir: '/b' } }, 400, /different folders/],
    [{ input: { text: 'x' }, metadata: { agent: 'codex' } }, 400, /agent/],
    [{ agent: { prompt: 'x' }, metadata: {} }, 400, /only allowed with "input"/],
  ]
  for (const [body, status, message] of bad) {
    const answer = await post('/api/runs', body)
    assert.equal(answer.status, status, JSON.stringify(body).slice(0, 200) + answer.text.slice(0, 300))
    assert.match(answer.json.error.message, message)
  }
  assert.equal((await engine.list({ limit: 1 })).runs.length, 0)
})

test('each request format can ask for the box of an agent, and a continued session keeps that box', async (t) => {
  const { post, host, engine, call, token } = await setup(t)
  const box = { isolation: 'container', network: { allow: ['a.example'] }, image: 'node:22' }
  const openQuestions = () => {
    const { isolation, network, image } = host.specs.at(-1)!
    return { isolation, network, image }
  }
  for (const body of [
    { agent: { prompt: 'say x', ...box } },
    { agent: { prompt: 'say x', network: { allow: ['a.example', 'b.org'] } }, ...box },
    { agent: { prompt: 'say x', ...box }, isolation: 'none', network: 'all' },
    { input: { text: 'say x' }, metadata: box },
  ]) {
    const made = await post('/api/runs', body)
    assert.equal(made.status, 201, made.text)
    await engine.done(made.json.run_id)
    assert.deepEqual(openQuestions(), box)
    const next = await post(`/api/runs/${made.json.run_id}/input`, { prompt: 'say y' })
    await engine.done(next.json.run_id)
    assert.deepEqual(openQuestions(), box)
    await engine.done((await post(`/api/runs/${next.json.run_id}/retry`, {})).json.run_id)
    assert.deepEqual(openQuestions(), box)
  }
  assert.equal(
    (await post('/api/chat', { message: 'say x', isolation: 'sandbox', network: null })).status,
    200,
  )
  assert.deepEqual(openQuestions(), { isolation: 'sandbox', network: undefined, image: undefined })
  // The same for a workflow: the request removes nothing from the file.
  const workflow = {
    ...{ version: 'v0.1', name: 'w', isolation: 'sandbox', network: 'models' },
    steps: [{ name: 'one', action: 'cmd.run', args: { cmd: 'say hi' } }],
  }
  const made = await post('/api/runs', { workflow, isolation: 'none', network: { allow: ['a.example'] } })
  await engine.done(made.json.run_id)
  assert.deepEqual(openQuestions(), { isolation: 'sandbox', network: 'models', image: undefined })
  const stored = (await call('GET', `/api/runs/${made.json.run_id}/workflow`, token)).json.workflow
  assert.deepEqual([stored.isolation, stored.network], ['sandbox', 'models'])
})

test('refuses attachments and says what to do instead, but accepts an empty list', async (t) => {
  const { post, engine } = await setup(t)
  const attachments = [{ name: 'notes.txt', content: 'aGVsbG8=' }]
  const requests = [
    ['/api/runs', { input: { text: 'say x', attachments } }],
    ['/api/chat', { message: 'say x', attachments }],
  ] as const
  for (const [path, body] of requests) {
    const { status, json } = await post(path, body)
    assert.deepEqual([status, json.error.code], [400, 'invalid_argument'], path)
    assert.match(json.error.message, /attachments/, path)
    assert.match(json.error.hint, /working folder/, path)
  }
  assert.equal((await engine.list({ limit: 1 })).runs.length, 0)
  assert.equal((await post('/api/runs', { input: { text: 'say x', attachments: [] } })).status, 201)
  assert.equal((await post('/api/chat', { message: 'say x', attachments: [] })).status, 200)
})

test('a chat request waits for the whole answer', async (t) => {
  const { post, args, engine } = await setup(t)
  const { status, json } = await post('/api/chat', {
    message: 'say hello\nyou',
    model: 'claude',
    cwd: '/srv',
  })
  assert.equal(status, 200)
  const answer = ChatAnswer.parse(json)
  assert.equal(answer.message, 'hello\nyou')
  assert.equal(answer.content, answer.message)
  assert.equal(answer.usage?.output_tokens, 10)
  assert.deepEqual([args().agent, args().model, args().cwd], ['claude_code', undefined, '/srv'])
  assert.equal((await engine.get(answer.run_id))?.owner, 'ann')
  await post('/api/chat', { message: 'say x', model: 'gpt-5', agent_type: 'codex' })
  assert.deepEqual([args().agent, args().model], ['codex', 'gpt-5'])
})

test('a chat that fails reports the reason, and a chat that nobody waits for is canceled', async (t) => {
  const { post, url, token, engine, host, log } = await setup(t)
  const failed = await post('/api/chat', { message: 'fail model' })
  assert.equal(failed.status, 502)
  assert.deepEqual(
    log.filter((line) => line.includes('/api/chat failed')),
    [],
  )
  assert.equal(failed.json.error.code, 'run_failed')
  assert.equal(failed.json.error.message, 'it failed: model')
  assert.deepEqual([failed.json.error.details.reason, failed.json.error.details.status], ['model', 'failed'])
  const wrong = await post('/api/chat', { message: 'fail invalid_argument' })
  assert.deepEqual([wrong.status, wrong.json.error.code], [400, 'invalid_argument'])

  const gone = new AbortController()
  const leaving = fetch(`${url}/api/chat`, {
    method: 'POST',
    signal: gone.signal,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'hold' }),
  })
  while (host.holding === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const [run] = (await engine.list({ limit: 1 })).runs
  gone.abort()
  await assert.rejects(leaving)
  assert.equal((await engine.done(run!.run_id)).status, 'canceled')
})

test('a chat whose client disconnects before its run exists cancels the run', async (t) => {
  const { url, token, engine, app, host } = await setup(t)
  const submit = engine.submit.bind(engine)
  const submitted = Promise.withResolvers<string>()
  const left = Promise.withResolvers<void>()
  const gone = new AbortController()
  engine.submit = async (submission) => {
    gone.abort()
    await left.promise
    const record = await submit(submission)
    while (host.holding === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    submitted.resolve(record.run_id)
    return record
  }
  app.server.once('connection', (socket) => socket.once('close', () => left.resolve()))
  const leaving = fetch(`${url}/api/chat`, {
    method: 'POST',
    signal: gone.signal,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'hold' }),
  })
  await assert.rejects(leaving)
  assert.equal((await engine.done(await submitted.promise)).status, 'canceled')
})

test('a chat gives up after its time limit, and says so when the hub stops', async (t) => {
  const { post, engine } = await setup(t, { apiLimits: { chatSeconds: 0.2 } })
  const late = await post('/api/chat', { message: 'hold' })
  assert.equal(late.status, 503)
  assert.match(late.json.error.message, /no answer within 0\.2 s/)
  assert.equal((await engine.done(late.json.error.details.run_id)).status, 'canceled')

  const second = await setup(t)
  const waiting = second.post('/api/chat', { message: 'hold' })
  while (second.host.holding === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const [run] = (await second.engine.list({ limit: 1 })).runs
  const closed = second.app.close()
  assert.match((await waiting).json.error.message, /is stopping/)
  await closed
  assert.equal((await second.engine.get(run!.run_id))?.status, 'running')
})

test('a follow-up goes to the same run while it waits, and a question is answered in the name of the user', async (t) => {
  const { post, agent, until, engine, events } = await setup(t)
  const id = await agent({ prompt: 'ask', interactive: true })
  await until(id, (event) => event.type === 'agent.update' && event.update.kind === 'permission')
  const input = (body: object) => post(`/api/runs/${id}/input`, body)
  const permission = { request_id: 'q1', decision: 'allow' }
  const unknown = await input({ permission: { ...permission, request_id: 'q9' } })
  assert.deepEqual([unknown.status, unknown.json.error.code], [409, 'conflict'])
  const answered = await input({ permission, input_id: 'a1' })
  assert.equal(answered.status, 202)
  assert.deepEqual(InputAccepted.parse(answered.json), { run_id: id, input_id: 'a1' })
  await until(id, isIdle)
  for (let time = 0; time < 2; time++)
    assert.deepEqual((await input({ prompt: 'say more', input_id: 'p1' })).json, {
      run_id: id,
      input_id: 'p1',
    })
  assert.equal((await input({ close: true })).status, 202)
  assert.equal((await engine.done(id)).status, 'success')
  const all = await events(id)
  const messages = all.flatMap((event) =>
    event.type === 'agent.update' && event.update.kind === 'message' ? [event.update.text] : [],
  )
  assert.deepEqual(messages, ['allow by ann', 'more'])
  for (const body of [
    {},
    { prompt: 'x', close: true },
    { prompt: '' },
    { close: false },
    { permission: { request_id: 'q' } },
  ])
    assert.equal((await input(body)).status, 400, JSON.stringify(body))
})

test('when several answers arrive at once, the first counts and the others learn who answered, how and when', async (t) => {
  const { agent, until, engine, call, user, token } = await setup(t)
  const id = await agent({ prompt: 'ask', interactive: true })
  await until(id, (event) => event.type === 'agent.update' && event.update.kind === 'permission')
  const { token: bobs } = await user('bob', 'admin')
  const answer = (as: string, decision: string, key: string) =>
    call(
      'POST',
      `/api/runs/${id}/input`,
      as,
      { permission: { request_id: 'q1', decision } },
      { 'idempotency-key': key },
    )
  const both = await Promise.all([answer(token, 'allow', 'a'), answer(bobs, 'deny', 'b')])
  const [won, lost] = both[0].status === 202 ? both : [both[1], both[0]]
  assert.deepEqual([won.status, lost.status, lost.json.error.code], [202, 409, 'conflict'])
  const [by, decision, key, as] = won === both[0] ? ['ann', 'allow', 'a', token] : ['bob', 'deny', 'b', bobs]
  assert.equal(won.json.input_id, key)
  const { details, message } = lost.json.error
  const { at, ...reported } = AnsweredQuestion.parse(details)
  assert.deepEqual(reported, { request_id: 'q1', decision, by, cause: 'person' })
  assert.ok(message.includes(`at ${at} by ${by}`), message)
  await until(id, isIdle)
  await call('POST', `/api/runs/${id}/input`, token, { close: true })
  await engine.done(id)
  // The lost answer is sent again after the run ended. The second person still learns who answered.
  assert.deepEqual((await answer(as, decision, key)).json, { run_id: id, input_id: key })
  assert.equal((await answer(as, decision, 'other')).json.error.details.by, by)
})

test('a prompt for an ended run continues its session on the same runner', async (t) => {
  const { post, agent, engine, host, args, call, token } = await setup(t)
  const id = await agent({
    prompt: 'say hi',
    agent: 'codex',
    model: 'm',
    cwd: '/srv/${x}',
    permissions: 'deny',
  })
  await engine.done(id)
  const next = await post(`/api/runs/${id}/input`, { prompt: 'say ${more}', input_id: 'p1' })
  assert.equal(next.status, 202, next.text)
  const { run_id, continues, input_id } = InputAccepted.parse(next.json)
  assert.deepEqual([continues, input_id], [id, 'p1'])
  assert.notEqual(run_id, id)
  await engine.done(run_id)
  const { agent: name, model, cwd, permissions, prompt, session } = args()
  assert.deepEqual(
    [name, model, cwd, permissions, prompt],
    ['codex', 'm', '/srv/${x}', 'deny', 'say ${more}'],
  )
  assert.deepEqual(session, { session_id: `session of ${id}`, workspace_of: id })
  assert.equal((await call('GET', `/api/runs/${run_id}`, token)).json.continues, id)

  const again = await post(`/api/runs/${id}/input`, { prompt: 'say ${more}', input_id: 'p1' })
  assert.equal(again.json.run_id, run_id)
  const third = (await post(`/api/runs/${run_id}/input`, { prompt: 'say more' })).json.run_id
  await engine.done(third)
  assert.deepEqual(args().session, { session_id: `session of ${id}`, workspace_of: id })
  assert.equal(host.specs.length, 3)
  for (const body of [{ close: true }, { permission: { request_id: 'q1', decision: 'allow' } }])
    assert.equal((await post(`/api/runs/${id}/input`, body)).json.error.code, 'run_ended')
})

test('a prompt that arrives too late for its run starts one run that continues the session', async (t) => {
  const { post, agent, engine, host, events, until, call, token } = await setup(t)
  const id = await agent({ prompt: 'hold', agent: 'codex', model: 'm' })
  await until(id, (event) => event.type === 'agent.update' && event.update.kind === 'prompt')
  const input = (input_id: string) => post(`/api/runs/${id}/input`, { prompt: `say ${input_id}`, input_id })
  for (const input_id of ['a', 'b', 'a'])
    assert.deepEqual((await input(input_id)).json, { run_id: id, input_id })
  host.release()
  assert.equal((await engine.done(id)).status, 'success')
  const passed = (await events(id)).filter((event) => event.type === 'input.passed_on')
  assert.deepEqual(
    passed.map(({ input_id }) => input_id),
    ['a', 'b'],
  )
  const [first, second] = passed.map(({ run_id }) => run_id) as [string, string]
  for (const runId of [first, second]) await engine.done(runId)
  const [attempt] = (await call('GET', `/api/runs/${id}`, token)).json.steps[0].instances[0].attempts
  assert.deepEqual(attempt.late_inputs, [
    { input_id: 'a', run_id: first },
    { input_id: 'b', run_id: second },
  ])
  const { continues, owner } = (await call('GET', `/api/runs/${first}`, token)).json
  assert.deepEqual([continues, owner], [id, 'ann'])
  // A repeated request is answered with the run that took it.
  for (const [input_id, run_id] of [
    ['a', first],
    ['b', second],
  ] as const)
    assert.deepEqual((await input(input_id)).json, { run_id, input_id, continues: id })
  // The second prompt may have come too late for the first continued run as well.
  const messages: string[] = []
  for (const { run_id } of (await engine.list({ limit: 10 })).runs) {
    await engine.done(run_id)
    for (const event of await events(run_id))
      if (event.type === 'agent.update' && event.update.kind === 'message') messages.push(event.update.text)
  }
  assert.deepEqual(messages.sort(), ['a', 'b'])
})

test('repeating a prompt after its run has ended starts no new run', async (t) => {
  const { post, agent, engine, until, host } = await setup(t)
  const id = await agent({ prompt: 'say one', interactive: true })
  await until(id, isIdle)
  const input = (body: object) => post(`/api/runs/${id}/input`, body)
  for (const body of [{ prompt: 'say two', input_id: 'a' }, { close: true }]) await input(body)
  await engine.done(id)
  assert.deepEqual((await input({ prompt: 'say two', input_id: 'a' })).json, { run_id: id, input_id: 'a' })
  assert.equal(host.specs.length, 1)
})

test('drops a waiting prompt when its run is canceled or fails, and accepts the same prompt again', async (t) => {
  const { post, agent, engine, events, until } = await setup(t)
  const id = await agent({ prompt: 'hold' })
  await until(id, (event) => event.type === 'agent.update' && event.update.kind === 'prompt')
  const input = () => post(`/api/runs/${id}/input`, { prompt: 'say a', input_id: 'a' })
  await input()
  await engine.cancel(id)
  await engine.done(id)
  const dropped = (await events(id)).find((event) => event.type === 'input.dropped')
  assert.match(dropped!.message, /was stopped/)
  assert.equal((await engine.list({ limit: 5 })).runs.length, 1)
  const { run_id, continues } = (await input()).json
  assert.equal(continues, id)
  assert.equal((await engine.done(run_id)).status, 'success')
})

test('says why a run cannot be continued', async (t) => {
  const { post, agent, engine, call, token } = await setup(t)
  const mute = await agent({ prompt: 'mute' })
  await engine.done(mute)
  const none = await post(`/api/runs/${mute}/input`, { prompt: 'say more' })
  assert.deepEqual([none.status, none.json.error.code], [409, 'no_input'])
  assert.match(none.json.error.message, /before its agent reported a session id/)
  const yaml = 'version: v0.1\nname: w\nsteps:\n  - {name: one, action: cmd.run, args: {cmd: say hi}}\n'
  const { run_id } = (await call('POST', '/api/runs', token, { yaml })).json
  await engine.done(run_id)
  assert.equal((await post(`/api/runs/${run_id}/input`, { prompt: 'x' })).json.error.code, 'run_ended')
})

test('refuses an agent that neither Errand nor a runner provides, and creates no run', async (t) => {
  const mine = { name: 'mine', title: 'Mine', installed: true, usable: true }
  const views = [runner('a', [mine]), runner('b', [])]
  const { call, token, engine } = await setup(t, { machines: { list: () => views } })
  const requests = [
    ['/api/runs', { agent: { prompt: 'x', agent: 'claud' } }],
    ['/api/runs', { input: { text: 'x' }, metadata: { agent_type: 'claud' } }],
    ['/api/chat', { message: 'x', agent_type: 'claud' }],
  ] as const
  for (const [path, body] of requests) {
    const { status, json } = await call('POST', path, token, body)
    assert.deepEqual(
      [status, json.error.code, json.error.message],
      [400, 'invalid_argument', 'Unknown agent "claud".'],
    )
    assert.match(json.error.hint, /^Known agents: claude_code, codex, .*builtin, mine\.$/)
  }
  assert.equal((await engine.list({ limit: 1 })).runs.length, 0)
  // In a file it is only a warning: a runner that has the agent may still connect.
  const steps = ['claud', 'mine'].map(
    (name) => `  - {name: ${name}, action: agent.run, args: {agent: ${name}, prompt: x}}`,
  )
  const yaml = ['version: v0.1', 'name: w', 'steps:', ...steps].join('\n')
  const { valid, problems } = (await call('POST', '/api/validate', token, { yaml })).json
  assert.deepEqual([valid, problems.length, problems[0].severity], [true, 1, 'warning'])
  assert.match(problems[0].hint, /builtin, mine, or an agent/)
  const run = { agent: { prompt: 'say x', agent: 'mine' } }
  assert.equal((await call('POST', '/api/runs', token, run)).status, 201)
  views.push(runner('c', undefined))
  const maybe = { agent: { prompt: 'say x', agent: 'claud' } }
  assert.equal((await call('POST', '/api/runs', token, maybe)).status, 201)
})

const runner = (id: string, agents: RunnerView['agents'], status: RunnerView['status'] = 'connected') =>
  ({ id, agents, status, group: 'default' }) as RunnerView

test('lists the agents of the fleet, and names runners only to callers with a token', async (t) => {
  const box = { isolation: 'sandbox' as const }
  const none = { isolation: 'none' as const, isolation_why: 'bubblewrap is not installed.' }
  const have = { name: 'codex', title: 'Codex', installed: true, version: '1.0.0', usable: true, ...box }
  const lacks = {
    ...have,
    ...none,
    version: undefined,
    installed: false,
    usable: false,
    why: 'it is not installed',
  }
  const views = [
    runner('a', [lacks]),
    runner('b', [have, { name: 'mine', title: 'Mine', installed: true, usable: true, ...none }]),
    runner('c', [{ ...have, name: 'gone' }], 'disconnected'),
  ]
  const { call, token } = await setup(t, { machines: { list: () => views } })
  const bare = AgentsHealth.parse((await call('GET', '/health/agents')).json).agents
  assert.deepEqual(Object.keys(bare).sort(), [
    ...['acp', 'builtin', 'claude_code', 'codex', 'copilot', 'mine', 'opencode'],
  ])
  assert.deepEqual([bare.codex!.usable, bare.codex!.available, bare.codex!.version], [true, true, '1.0.0'])
  assert.match(bare.opencode!.why!, /no connected runner knows it/)
  assert.ok(!JSON.stringify(bare).includes('runners'))
  const whole = (await call('GET', '/health/agents', token)).json.agents
  assert.deepEqual(whole.codex.runners, [
    { id: 'a', usable: false, why: 'it is not installed', ...none },
    { id: 'b', version: '1.0.0', usable: true, ...box },
  ])
  assert.deepEqual([bare.codex!.isolation, bare.mine!.isolation], ['sandbox', 'none'])
  assert.equal(bare.mine!.isolation_why, 'bubblewrap is not installed.')
  assert.equal((await call('GET', '/health/agents', 'errand_api_wrong')).status, 401)
})
