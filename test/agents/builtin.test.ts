import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { SessionRequest } from '../../src/agents/agent.ts'
import { builtin } from '../../src/agents/builtin/builtin.ts'
import type { ToolAsk } from '../../src/agents/builtin/session.ts'
import { isAlive, treeMembers } from '../../src/platform/proc.ts'
import { benchFolder, textOf } from '../support/agent-bench.ts'
import { BuiltinBench, sessionRequest, until } from '../support/builtin-bench.ts'
import {
  type ModelServer,
  runTurn,
  type Script,
  startModelServer,
  type Turn,
  writeFileTurn,
} from '../support/model-server/server.ts'

/** Holds what a test needs, and removes it after the test. */
class Setup {
  readonly cwd: string
  readonly home: string
  server!: ModelServer
  readonly #benches: BuiltinBench[] = []

  constructor(context: TestContext) {
    const { cwd, home, atEnd } = benchFolder(context)
    this.cwd = cwd
    this.home = home
    atEnd(() => this.server?.stop())
    atEnd(() => Promise.all(this.#benches.map((bench) => bench.session.close())))
  }

  async serve(script: Script, options: { keys?: string[]; models?: string[] } = {}): Promise<ModelServer> {
    this.server = await startModelServer({ script, ...options })
    return this.server
  }

  request(change: Partial<SessionRequest> = {}, env: Record<string, string> = {}): SessionRequest {
    return sessionRequest(this.cwd, this.home, {
      model: 'test-model',
      ...change,
      env: {
        OPENAI_API_KEY: 'test-key',
        OPENAI_BASE_URL: `${this.server?.url ?? 'http://127.0.0.1:9'}/v1`,
        ...env,
      },
    })
  }

  start(
    change: Partial<SessionRequest> = {},
    env: Record<string, string> = {},
    decide?: (ask: ToolAsk) => 'allow' | 'deny' | Promise<'allow' | 'deny'>,
  ): BuiltinBench {
    const bench = new BuiltinBench(this.request(change, env), decide)
    this.#benches.push(bench)
    return bench
  }
}

const test = (name: string, body: (setup: Setup) => Promise<void>) =>
  it(name, { timeout: 120_000 }, async (context) => await body(new Setup(context)))

const call = (name: string, args: unknown): Turn => ({ toolCalls: [{ name, args }] })
const soon = { 'retry-after-ms': '5' }
const messagesOf = (server: ModelServer, index = -1) =>
  server.requests.at(index)?.body.messages as { role: string; content: string; tool_calls?: unknown[] }[]

describe('agent builtin', { concurrency: 2 }, () => {
  test('streams an answer, its thoughts, and its usage', async (setup) => {
    const server = await setup.serve([
      {
        thought: 'Let me think about it.',
        text: 'The answer is forty-two.',
        usage: { input: 70, cached: 30, output: 9 },
      },
    ])
    const bench = setup.start()
    assert.deepEqual(await bench.prompt('What is the answer?'), { stop_reason: 'end_turn' })
    assert.equal(textOf(bench.updates), 'The answer is forty-two.')
    assert.equal(textOf(bench.updates, 'thought'), 'Let me think about it.')
    assert.ok(bench.of('message').length > 1)
    const used = { input_tokens: 70, cached_input_tokens: 30, output_tokens: 9 }
    assert.deepEqual(bench.of('usage'), [{ kind: 'usage', turn: used, session: used }])
    const { new_session_id } = bench.request
    assert.deepEqual(bench.updates[0], {
      kind: 'session',
      agent: 'builtin',
      model: 'test-model',
      session_id: new_session_id,
      origin: 'new',
    })
    assert.equal(server.requests[0]?.key, 'test-key')
    assert.match(messagesOf(server)[0]?.content ?? '', new RegExp(setup.cwd))
  })

  test('writes a file with its own tool, and reports the call and the change', async (setup) => {
    const server = await setup.serve([
      writeFileTurn(join(setup.cwd, 'new/made.txt'), 'made\n'),
      { text: 'Done.' },
    ])
    const bench = setup.start()
    assert.equal((await bench.prompt('Write it.')).stop_reason, 'end_turn')
    assert.equal(readFileSync(join(setup.cwd, 'new/made.txt'), 'utf8'), 'made\n')
    assert.deepEqual(
      bench.of('tool').map(({ status }) => status),
      ['pending', 'running', 'completed'],
    )
    const [tool] = bench.tools
    assert.equal(tool?.tool_kind, 'edit')
    assert.match(tool?.title ?? '', /^Write .*made\.txt$/)
    assert.deepEqual(tool?.diffs, [
      { path: join(setup.cwd, 'new/made.txt'), old_text: undefined, new_text: 'made\n' },
    ])
    assert.match(server.requests[1]?.toolResults[0]?.text ?? '', /^Created/)
    assert.equal(bench.of('usage').at(-1)?.turn.output_tokens, 20)
    assert.deepEqual(server.errors, [])
  })

  test('runs several calls of one answer one after another', async (setup) => {
    const path = join(setup.cwd, 'count')
    const add = { name: 'run_command', args: { command: `sleep 0.05; echo x >> ${path}; wc -l < ${path}` } }
    const server = await setup.serve([{ toolCalls: [add, add, add] }])
    const bench = setup.start()
    await bench.prompt('Count.')
    assert.deepEqual(
      server.requests[1]?.toolResults.map(({ text }) => text.trim()),
      ['exit code 0\n1', 'exit code 0\n2', 'exit code 0\n3'],
    )
    assert.equal(new Set(bench.tools.map(({ tool_id }) => tool_id)).size, 3)
  })

  for (const decision of ['allow', 'deny'] as const) {
    test(`asks before it uses a tool, and accepts "${decision}" as an answer`, async (setup) => {
      const path = join(setup.cwd, 'asked.txt')
      const server = await setup.serve([writeFileTurn(path, 'asked\n')])
      const bench = setup.start({ ask: 'ask' }, {}, () => {
        assert.equal(existsSync(path), false)
        return decision
      })
      assert.equal((await bench.prompt('Write it.')).stop_reason, 'end_turn')
      assert.equal(existsSync(path), decision === 'allow')
      const [{ tool_id, title, tool_kind, paths, input } = {} as ToolAsk] = bench.asked
      assert.equal(tool_id, bench.tools[0]?.tool_id)
      assert.match(title, /asked\.txt/)
      assert.deepEqual([tool_kind, paths], ['edit', [path]])
      assert.match(input, /asked/)
      assert.equal(bench.tools[0]?.status, decision === 'allow' ? 'completed' : 'denied')
      assert.match(
        server.requests[1]?.toolResults[0]?.text ?? '',
        decision === 'allow' ? /Created/ : /not permitted/,
      )
    })
  }

  test('if nothing is permitted, it still reads, asks nobody and changes nothing', async (setup) => {
    writeFileSync(join(setup.cwd, 'a.txt'), 'content of a')
    const server = await setup.serve([
      call('read_file', { path: 'a.txt' }),
      call('write_file', { path: 'b.txt', content: 'b' }),
      call('run_command', { command: 'touch c.txt' }),
    ])
    const bench = setup.start({ ask: 'deny' })
    await bench.prompt('Try.')
    assert.deepEqual(
      bench.tools.map(({ status }) => status),
      ['completed', 'denied', 'denied'],
    )
    assert.equal(server.requests[1]?.toolResults[0]?.text, 'content of a')
    assert.deepEqual(bench.asked, [])
    assert.ok(!existsSync(join(setup.cwd, 'b.txt')) && !existsSync(join(setup.cwd, 'c.txt')))
  })

  test('can be canceled in the middle of a command, and leaves nothing of it', async (setup) => {
    const started = join(setup.cwd, 'started')
    const command = `trap '' TERM; (setsid sh -c 'sleep 600; :') & sleep 600 & echo $$ > ${started}.new; mv ${started}.new ${started}; sleep 600`
    await setup.serve([runTurn(command), { text: 'Done.' }])
    const bench = setup.start()
    const cancel = new AbortController()
    const turn = bench.prompt('Run it.', cancel.signal)
    await until(() => existsSync(started))
    const group = Number(readFileSync(started, 'utf8'))
    const members = treeMembers({ group, mark: 'ERRAND_NO=mark' })
    assert.ok(members.length >= 4, JSON.stringify(members))
    cancel.abort()
    assert.deepEqual(await turn, { stop_reason: 'canceled' })
    assert.deepEqual(treeMembers({ group, mark: 'ERRAND_NO=mark' }), [])
    // A killed process loses its environment a moment before it is gone.
    await until(() => members.every(({ pid, start }) => !isAlive(pid, start)))
    assert.equal(bench.tools[0]?.status, 'failed')
  })

  test('can be canceled while a permission is open, and while the model is silent', async (setup) => {
    const path = join(setup.cwd, 'asked.txt')
    await setup.serve([writeFileTurn(path, 'asked\n'), { text: 'Half of', hang: true }, { text: 'Again.' }])
    const bench = setup.start({ ask: 'ask' }, {}, () => new Promise(() => {}))
    for (const reached of [() => bench.asked.length > 0, () => textOf(bench.updates) === 'Half of']) {
      const cancel = new AbortController()
      const turn = bench.prompt('Go.', cancel.signal)
      await until(reached)
      cancel.abort()
      assert.deepEqual(await turn, { stop_reason: 'canceled' })
    }
    assert.equal(existsSync(path), false)
    assert.deepEqual(await bench.prompt('Go on.'), { stop_reason: 'end_turn' })
    // The output that was shown is part of the conversation, and the call has an answer.
    const messages = messagesOf(setup.server).map(({ role, content }) => [role, content])
    assert.deepEqual(messages.slice(1), [
      ['user', 'Go.'],
      ['assistant', null],
      ['tool', 'interrupted: whether it had an effect is not known'],
      ['user', 'Go.'],
      ['assistant', 'Half of'],
      ['user', 'Go on.'],
    ])
  })

  test('continues the same session with a follow-up', async (setup) => {
    const server = await setup.serve([{ text: 'First.' }, { text: 'Second.' }])
    const bench = setup.start()
    await bench.prompt('One: remember cucumber.')
    await bench.prompt('Two.')
    assert.match(textOf(bench.updates), /Second\./)
    assert.match(JSON.stringify(server.requests.at(-1)?.body), /remember cucumber/)
    const [first, second] = bench.of('usage')
    assert.deepEqual([first?.turn.output_tokens, second?.turn.output_tokens], [10, 10])
    assert.equal(second?.session.output_tokens, 20)
  })

  test('resumes an earlier session, and answers calls that were interrupted', async (setup) => {
    const server = await setup.serve([{ text: 'First.' }, { text: 'Second.' }])
    const first = setup.start()
    await first.prompt('One: remember cucumber.')
    await first.session.close()
    // A process that was killed while a tool ran, and while it wrote, leaves the file like this.
    const file = join(setup.home, 'conversation.jsonl')
    const calls = [{ id: 'call_x', type: 'function', function: { name: 'run_command', arguments: '{}' } }]
    const message = { role: 'assistant', content: null, tool_calls: calls }
    appendFileSync(file, `${JSON.stringify({ type: 'message', message })}\n{"type":"message","mess`)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    const session_id = first.request.new_session_id
    const second = setup.start({ session_id, new_session_id: 'another' })
    assert.equal(second.of('session')[0]?.origin, 'loaded')
    assert.equal(second.of('session')[0]?.session_id, session_id)
    assert.equal(second.of('notice').length, 1)
    assert.deepEqual(await second.prompt('Two.'), { stop_reason: 'end_turn' })
    assert.equal(textOf(second.updates), 'Second.')
    const messages = messagesOf(server).map(({ role }) => role)
    assert.deepEqual(messages, ['system', 'user', 'assistant', 'assistant', 'tool', 'user'])
    assert.match(JSON.stringify(messagesOf(server)), /remember cucumber.*interrupted/)
    for (const line of readFileSync(file, 'utf8').trimEnd().split('\n')) JSON.parse(line)
  })

  test('says what a request lacks', async (setup) => {
    await setup.serve([])
    const wrong = (change: Partial<SessionRequest>, env: Record<string, string> = {}) => {
      try {
        builtin.launch(setup.request(change, env), { path: process.execPath, version: '' })
        return ''
      } catch (error) {
        return (error as Error).message
      }
    }
    assert.equal(wrong({}), '')
    assert.equal(wrong({}, { OPENAI_API_KEY: '' }), '')
    assert.match(wrong({}, { OPENAI_API_KEY: '', OPENAI_BASE_URL: '' }), /Set OPENAI_API_KEY/)
    assert.match(wrong({}, { OPENAI_BASE_URL: 'nonsense' }), /OPENAI_BASE_URL/)
    assert.match(wrong({}, { ERRAND_MODEL_RETRIES: 'many' }), /ERRAND_MODEL_RETRIES/)
    assert.match(wrong({ extra_args: ['--x'] }), /extra_args/)
    assert.match(wrong({ cwd: join(setup.cwd, 'no') }), /does not exist/)
    assert.match(wrong({ session_id: 'unknown' }), /no session unknown/)
    assert.throws(() => setup.start({ session_id: 'unknown' }), { code: 'invalid_argument' })
  })

  const failures = [
    [401, 'auth', 1],
    [403, 'auth', 1],
    [400, 'other', 1],
    [429, 'rate_limit', 4],
    [500, 'server_error', 4],
    [529, 'overloaded', 4],
  ] as const
  for (const [status, failure, tries] of failures) {
    test(`a service that answers ${status} is a failure after ${tries} tries`, async (setup) => {
      const server = await setup.serve(() => ({ fail: { status, headers: soon } }))
      const bench = setup.start()
      const end = await bench.prompt('Hello.')
      assert.deepEqual([end.stop_reason, end.failure], ['error', failure])
      assert.match(end.message ?? '', new RegExp(`test-model at ${server.url}/v1: .*${status}`))
      assert.equal(server.requests.length, tries)
      assert.deepEqual(
        bench.of('retry').map((each) => [each.failure, each.attempt]),
        [1, 2, 3].slice(0, tries - 1).map((attempt) => [failure, attempt]),
      )
    })
  }

  test('uses a service that recovers, and reports a bad key or model', async (setup) => {
    const server = await setup.serve(
      ({ number }) => (number === 1 ? { fail: { status: 503, headers: soon } } : { text: 'Here.' }),
      { keys: ['test-key'], models: ['test-model'] },
    )
    const bench = setup.start()
    assert.deepEqual(await bench.prompt('Hello.'), { stop_reason: 'end_turn' })
    assert.equal(textOf(bench.updates), 'Here.')
    assert.equal(server.requests.length, 2)
    assert.equal((await setup.start({}, { OPENAI_API_KEY: 'bad' }).prompt('Hello.')).failure, 'auth')
    const end = await setup.start({ model: 'no-such' }).prompt('Hello.')
    assert.equal(end.failure, 'bad_model')
    assert.match(end.message ?? '', /"no-such" does not exist/)
  })

  test('does not wait for a service that demands a long wait, or for an exhausted quota', async (setup) => {
    let fail: Turn['fail'] = { status: 429, headers: { 'retry-after': '3600' } }
    const server = await setup.serve(() => ({ fail }))
    assert.equal((await setup.start().prompt('Hello.')).failure, 'rate_limit')
    fail = {
      status: 429,
      body: { error: { message: 'You exceeded your quota', code: 'insufficient_quota' } },
    }
    assert.equal((await setup.start().prompt('Hello.')).failure, 'rate_limit')
    assert.equal(server.requests.length, 2)
  })

  test('reports an unreachable service within seconds, with every try', async (setup) => {
    const { url } = await setup.serve([])
    const bench = setup.start({}, { OPENAI_BASE_URL: `${url}/v1` })
    await setup.server.stop()
    const end = await bench.prompt('Hello.')
    assert.deepEqual([end.stop_reason, end.failure], ['error', 'unreachable'])
    assert.match(end.message ?? '', /ECONNREFUSED/)
    assert.equal(bench.of('retry').length, 3)
  })

  test('reports a silent service', async (setup) => {
    await setup.serve(() => ({ hang: true }))
    const bench = setup.start({}, { ERRAND_MODEL_TIMEOUT_SECONDS: '0.1', ERRAND_MODEL_RETRIES: '1' })
    const end = await bench.prompt('Hello.')
    assert.equal(end.stop_reason, 'error')
    assert.match(end.message ?? '', /sent nothing for 0\.1 s/)
  })

  test('retries a broken stream only if nothing from it was shown', async (setup) => {
    const text = 'This answer will never be whole. '.repeat(40)
    const server = await setup.serve(({ number }) =>
      number === 1 ? { text: 'Never shown.', breakAfterBytes: 20 } : { text, breakAfterBytes: 2000 },
    )
    const bench = setup.start()
    const end = await bench.prompt('Hello.')
    assert.deepEqual([end.stop_reason, end.failure], ['error', 'broken_stream'])
    assert.equal(server.requests.length, 2)
    assert.equal(bench.of('retry')[0]?.failure, 'broken_stream')
    assert.ok(text.startsWith(textOf(bench.updates)) && textOf(bench.updates) !== '')
  })

  test('retries a stream that breaks within a tool call, and makes the call once', async (setup) => {
    const path = join(setup.cwd, 'once')
    const once = runTurn(`echo x >> ${path}`)
    await setup.serve(({ number }) =>
      number === 1 ? { ...once, breakAfterBytes: 500 } : number === 2 ? once : { text: 'Done.' },
    )
    const bench = setup.start()
    assert.equal((await bench.prompt('Hello.')).stop_reason, 'end_turn')
    assert.equal(readFileSync(path, 'utf8'), 'x\n')
    assert.equal(bench.tools.length, 1)
  })

  test('does not report success for a refused or too long answer', async (setup) => {
    await setup.serve([
      { text: 'Half', stop: 'max_tokens' },
      { text: 'No.', stop: 'refusal' },
      { ...runTurn('touch cut'), stop: 'max_tokens' },
    ])
    const bench = setup.start()
    assert.equal((await bench.prompt('One.')).stop_reason, 'max_tokens')
    assert.equal((await bench.prompt('Two.')).stop_reason, 'refusal')
    assert.equal((await bench.prompt('Three.')).stop_reason, 'max_tokens')
    assert.equal(existsSync(join(setup.cwd, 'cut')), false)
  })

  test('max_turns ends a turn that would never end', async (setup) => {
    const server = await setup.serve(() => runTurn('true'))
    const bench = setup.start({ max_turns: 3 })
    assert.equal((await bench.prompt('Go.')).stop_reason, 'max_turns')
    assert.equal(server.requests.length, 3)
    assert.equal(bench.tools.length, 3)
  })

  test('handles unknown tools and wrong arguments', async (setup) => {
    const server = await setup.serve([
      call('fly', {}),
      call('read_file', { path: 7 }),
      call('read_file', 'no object'),
      call('read_file', {}),
    ])
    const bench = setup.start()
    assert.equal((await bench.prompt('Go.')).stop_reason, 'end_turn')
    const messages = [1, 2, 3, 4].map((index) => server.requests[index]?.toolResults[0]?.text ?? '')
    assert.match(messages[0]!, /There is no tool "fly"\. Available tools: read_file, .*run_command/)
    for (const text of messages.slice(1)) assert.match(text, /are not valid[\s\S]*/)
    assert.ok(bench.tools.every(({ status }) => status === 'failed'))
  })

  test('shortens old tool outputs in a long conversation, and keeps the whole file', async (setup) => {
    writeFileSync(join(setup.cwd, 'big.txt'), 'one line of a large file\n'.repeat(400))
    const server = await setup.serve(({ index }) =>
      index < 8 ? call('read_file', { path: 'big.txt' }) : { text: 'Done.' },
    )
    const bench = setup.start({}, { ERRAND_MODEL_CONTEXT_CHARS: '40000' })
    assert.equal((await bench.prompt('Read it often.')).stop_reason, 'end_turn')
    const sizes = server.requests.map(({ body }) => JSON.stringify(body.messages).length)
    assert.ok(Math.max(...sizes) < 55_000, String(sizes))
    assert.match(JSON.stringify(messagesOf(server)), /left out: \d+ more characters/)
    assert.ok(messagesOf(server).at(-1)!.content.length > 9000)
    assert.ok(statSync(join(setup.home, 'conversation.jsonl')).size > 80_000)
  })

  test('shortens the conversation for a model with a smaller context', async (setup) => {
    const long = { error: { message: 'Too long', code: 'context_length_exceeded' } }
    writeFileSync(join(setup.cwd, 'big.txt'), 'one line of a large file\n'.repeat(400))
    const server = await setup.serve(({ index, body }) => {
      if (JSON.stringify(body.messages).length > 45_000) return { fail: { status: 400, body: long } }
      return index < 10 ? call('read_file', { path: 'big.txt' }) : { text: 'Done.' }
    })
    const bench = setup.start()
    assert.equal((await bench.prompt('Read it often.')).stop_reason, 'end_turn')
    const sizes = server.requests.map(({ body }) => JSON.stringify(body.messages).length)
    assert.ok(Math.max(...sizes) > 45_000 && sizes.at(-1)! < 45_000, String(sizes))
    assert.deepEqual(bench.of('retry'), [])
  })

  test("hides its keys and the runner's own environment from commands", async (setup) => {
    const server = await setup.serve([runTurn('env')])
    process.env.OF_THE_RUNNER = 'only-the-runner-knows'
    const bench = setup.start({}, { OF_THE_STEP: 'seen', ANTHROPIC_API_KEY: 'other-key' })
    await bench.prompt('Show.')
    delete process.env.OF_THE_RUNNER
    const shown = server.requests[1]?.toolResults[0]?.text ?? ''
    assert.match(shown, /OF_THE_STEP=seen/)
    assert.doesNotMatch(shown, /test-key|other-key|only-the-runner-knows/)
  })

  test('close ends what is running, can be called twice, and nothing starts after it', async (setup) => {
    const started = join(setup.cwd, 'started')
    await setup.serve([runTurn(`touch ${started}; sleep 600`)])
    const bench = setup.start()
    const turn = bench.prompt('Run it.')
    await until(() => existsSync(started))
    await Promise.all([bench.session.close(), bench.session.close()])
    assert.deepEqual(await turn, { stop_reason: 'canceled' })
    assert.deepEqual(await bench.prompt('More.'), { stop_reason: 'canceled' })
    const other = setup.start({ new_session_id: 'other' })
    other.abort.abort()
    assert.deepEqual(await other.prompt('More.'), { stop_reason: 'canceled' })
  })

  test('a killed runner leaves none of its commands running', async (setup) => {
    const started = join(setup.cwd, 'started')
    await setup.serve([
      runTurn(`sleep 600 & echo $$ > ${started}.new; mv ${started}.new ${started}; sleep 600`),
    ])
    const program = `
      import { openSession } from ${JSON.stringify(new URL('../../src/agents/builtin/session.ts', import.meta.url).href)}
      const port = { update() {}, permission: async () => 'allow' }
      const session = openSession(JSON.parse(process.argv[1]), port, new AbortController().signal)
      await session.prompt('Run it.', new AbortController().signal)`
    const args = ['--input-type=module', '-e', program, JSON.stringify(setup.request())]
    const runner = spawn(process.execPath, args, { stdio: 'inherit' })
    await until(() => existsSync(started) || runner.exitCode !== null)
    const group = Number(readFileSync(started, 'utf8'))
    runner.kill('SIGKILL')
    await once(runner, 'exit')
    await until(() => treeMembers({ group, mark: 'ERRAND_NO=mark' }).length === 0)
  })

  test('ends without a crash when its working folder is removed', async (setup) => {
    await setup.serve([runTurn('true'), call('list_files', {})])
    const bench = setup.start()
    rmSync(setup.cwd, { recursive: true })
    assert.equal((await bench.prompt('Go.')).stop_reason, 'end_turn')
    assert.equal(bench.tools[0]?.status, 'failed')
  })
})
