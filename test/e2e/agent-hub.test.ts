import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { claudeCode } from '../../src/agents/claude-code/claude-code.ts'
import { nativeIn } from '../../src/agents/install/native-binary.ts'
import type { RunEvent } from '../../src/contract/events.ts'
import { runIdIn, standInOptions } from '../support/agent-command.ts'
import { agentMissing } from '../support/agent-subjects.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { startModelServer, writeFileScript } from '../support/model-server/server.ts'

const agents = process.env.ERRAND_AGENTS_DIR ?? join(homedir(), '.errand', 'agents')

/** Starts a hub with its runner. The environment reaches both. Agents may work in `work`. */
async function hub(t: TestContext, environment: NodeJS.ProcessEnv = {}) {
  const errand = errandCommand(t)
  const work = join(errand.home, 'work')
  mkdirSync(work)
  const env = { ERRAND_DATA: join(errand.home, 'data'), ERRAND_AGENTS_DIR: agents }
  const port = environment.OPENRUNNER_ADDR === undefined ? ['--port', '0'] : []
  const up = errand.start(['up', ...port, '--allow-dir', work], { env: { ...env, ...environment } })
  await up.until(/Connected to the hub/)
  const url = /http:\/\/\S+/.exec(up.printed.stdout)![0]
  const password = /password (\S+)/.exec(up.printed.stdout)![1]!
  const call = (...words: string[]) => errand.run(words, { env })
  /** Returns the events so far. */
  const events = async (id: string): Promise<RunEvent[]> => {
    const { token } = JSON.parse(readFileSync(join(env.ERRAND_DATA, 'local.json'), 'utf8'))
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json' }
    return (await (await fetch(`${url}/api/runs/${id}/events`, { headers })).json()) as RunEvent[]
  }
  const update = (id: string, kind: string) =>
    eventually(`an update of kind ${kind}`, async () =>
      (await events(id))
        .flatMap((event) => (event.type === 'agent.update' ? [event.update] : []))
        .find((one) => one.kind === kind),
    )
  return { ...errand, work, url, password, env, call, events, update }
}

test('an agent runs on a hub, is continued after its end, and is canceled by another command', async (t) => {
  const { call, events, update } = await hub(t)
  const result = await call('agent', '--hub', 'say one\nwrite a.txt', ...standInOptions)
  assert.equal(result.code, 0, result.stderr)
  assert.match(
    result.stdout,
    /^run run_\w+ on http.*\nacp 9\.9\none\ncompleted Write a\.txt\n[\s\S]*success in/,
  )
  const first = runIdIn(result.stdout)

  const next = await call('agent', '--hub', '--continue', first, 'say two')
  assert.match(next.stdout, /session loaded\ntwo\nsuccess/)
  const session = (await events(runIdIn(next.stdout))).find((event) => event.type === 'attempt.created')
  const before = (await events(first)).find((event) => event.type === 'attempt.created')
  assert.equal(
    session?.type === 'attempt.created' && session.runner,
    before?.type === 'attempt.created' && before.runner,
  )

  const detached = await call('agent', '--hub', '--detach', 'wait never', ...standInOptions)
  const open = detached.stdout.trim()
  await update(open, 'prompt')
  assert.equal((await call('runs', 'cancel', open)).code, 0)
  await eventually('its end', async () => (await events(open)).at(-1)?.type === 'run.finished')
  const list = JSON.parse((await call('runs', 'list', '--json')).stdout).runs
  assert.ok(list.every(({ blueprint }: { blueprint: string }) => blueprint === 'agent'))
})

test('a question that nobody sees here waits, and is answered by another command', async (t) => {
  const { call, start, env, update, work } = await hub(t)
  const going = start(
    ['agent', '--hub', 'ask b.txt\nsay so be it', '--cwd', work, '--permissions', 'ask', ...standInOptions],
    { env },
  )
  await going.until(/answer with: errand agents answer \S+ \S+ allow/)
  const [, words] = /answer with: errand (.*)\n/.exec(going.printed.stdout)!
  assert.ok(!existsSync(join(work, 'b.txt')))
  const answered = await call(...words!.split(' '))
  assert.equal(answered.code, 0, answered.stderr)
  const { code, stdout } = await going.finished
  assert.equal(code, 0, stdout)
  assert.match(stdout, /allowed by admin\ncompleted Write b\.txt[\s\S]*so be it\n/)
  assert.equal(readFileSync(join(work, 'b.txt'), 'utf8'), 'written\n')
  const again = await call(...words!.split(' '))
  assert.equal(again.code, 1)
  assert.ok(await update(words!.split(' ')[2]!, 'permission_answered'))
})

test('a forbidden folder, an unknown agent and a missing key are reported as the reason', async (t) => {
  const { call, url, home } = await hub(t)
  const outside = await call('agent', '--hub', 'say x', '--cwd', home, ...standInOptions)
  assert.match(
    outside.stdout,
    /failed in .*On runner ".+": Agents may not work in .* Start the runner or errand up with --allow-dir/,
  )
  const keyless = await call('agent', '--hub', 'x', '--agent', 'builtin')
  assert.match(keyless.stdout, /failed in .*OPENAI_API_KEY/)
  const listed = await eventually('the agents of the runner', async () => {
    const found = await call('agents', 'list', '--hub')
    return /^builtin +yes +no +.*OPENAI_API_KEY/m.test(found.stdout) && found
  })
  assert.match(listed.stdout, /^acp +yes +yes +no +\S+$/m)
  // Before the runner has reported its agents, the name could have been one of its own.
  const unknown = await call('agent', '--hub', 'x', '--agent', 'nope')
  assert.match(unknown.stderr, /Unknown agent "nope"\.\s+hint: Known agents: claude_code/)
  assert.doesNotMatch(unknown.stdout, /^run /m)
  const health = (await (await fetch(`${url}/health/agents`)).json()) as {
    agents: Record<string, { usable: boolean }>
  }
  assert.deepEqual([health.agents.acp?.usable, health.agents.builtin?.usable], [true, false])
})

const noClaude =
  nativeIn(join(agents, 'claude_code'), claudeCode.install!) === undefined ? agentMissing(claudeCode) : false
const noCurl =
  existsSync('/usr/bin/curl') || existsSync('/bin/curl') ? false : "there is no curl (Debian's package curl)"

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('the lines in the documentation of the agent API work as written, with Claude Code', {
  skip: noClaude || noCurl,
}, async (t) => {
  let script = writeFileScript('', '')
  const vendor = await startModelServer({ script: ({ index }) => script[index] ?? { text: 'Hello you.' } })
  t.after(() => vendor.stop())
  const port = await freePort()
  const { work, password } = await hub(t, {
    OPENRUNNER_ADDR: `127.0.0.1:${port}`,
    ANTHROPIC_BASE_URL: vendor.url,
    ANTHROPIC_API_KEY: 'a key of this test',
  })
  script = writeFileScript(join(work, 'hello.py'), 'print("hello")\n', 'It is made.')
  /** Runs lines of a README for this port, password and folder. */
  const shell = (lines: string, token = '', run = '') =>
    new Promise<string>((resolve, reject) => {
      const text = lines
        .replaceAll('localhost:3000', `localhost:${port}`)
        .replaceAll('<token>', token)
        .replaceAll('run_abc123', run)
        .replaceAll('/tmp/test', work)
        .replaceAll('"password": "admin"', `"password": "${password}"`)
      execFile(
        '/bin/sh',
        ['-c', text.replaceAll('curl ', 'curl -sS ')],
        { timeout: 120_000 },
        (error, stdout) => (error ? reject(error) : resolve(stdout)),
      )
    })

  assert.equal(JSON.parse(await shell('curl http://localhost:3000/health')).ok, true)
  const usable = await eventually('a usable agent', async () => {
    const { agents } = JSON.parse(await shell('curl http://localhost:3000/health/agents'))
    return agents.claude_code.available
  })
  assert.equal(usable, true)
  const login = await shell(`curl -X POST http://localhost:3000/api/auth/login \\
  -H "Content-Type: application/json" \\
  -d '{"username": "admin", "password": "admin"}'`)
  const token = JSON.parse(login).access_token

  const created = await shell(
    `curl -X POST http://localhost:3000/api/runs \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer <token>" \\
  -d '{
    "input": {"text": "create hello.py"},
    "metadata": {"agent_type": "claude_code", "cwd": "/tmp/test"}
  }'`,
    token,
  )
  const { run_id } = JSON.parse(created)
  const stream = await shell(
    'curl -N "http://localhost:3000/api/runs/run_abc123/events?access_token=<token>"',
    token,
    run_id,
  )
  assert.match(stream, /event: agent\.update\ndata: .*"It is made\."/)
  assert.match(stream, /event: run\.finished\ndata: .*"status":"success"/)
  assert.equal(readFileSync(join(work, 'hello.py'), 'utf8'), 'print("hello")\n')

  const chat = await shell(
    `curl -X POST http://localhost:3000/api/chat \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer <token>" \\
  -d '{"message": "hello", "model": "claude"}'`,
    token,
  )
  const answer = JSON.parse(chat)
  assert.deepEqual([answer.message, answer.content, answer.role], ['Hello you.', 'Hello you.', 'assistant'])
  assert.ok(answer.usage.output_tokens > 0)
  assert.deepEqual(vendor.errors, [])
})
