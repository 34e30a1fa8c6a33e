import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Agent, SessionRequest } from './agent.ts'
import { builtin } from './builtin/builtin.ts'
import { claudeCode } from './claude-code/claude-code.ts'
import { codex } from './codex/codex.ts'
import { CodexProtocol } from './codex/protocol.ts'
import { copilot } from './copilot/copilot.ts'
import { opencode } from './opencode/opencode.ts'

// Agents in a box: the user's home is absent, and only the session's home counts.

const program = { path: '/opt/agent', version: '1' }

function places(context: TestContext): { user: string; home: string } {
  const folder = mkdtempSync(join(tmpdir(), 'errand-apart-'))
  context.after(() => rmSync(folder, { recursive: true }))
  return { user: join(folder, 'user'), home: join(folder, 'home') }
}

const request = (home: string, more: Partial<SessionRequest> = {}): SessionRequest => ({
  cwd: tmpdir(),
  home,
  extra_args: [],
  ask: 'allow',
  apart: true,
  new_session_id: '0',
  env: { HOME: join(home, 'user') },
  ...more,
})

function write(path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, '{}')
}

/** Returns the folders to which the environment directs an agent. */
const foldersOf = (env: Record<string, string>): string[] =>
  Object.entries(env).flatMap(([name, value]) =>
    /^(CLAUDE_CONFIG_DIR|CODEX_HOME|COPILOT_HOME|XDG_\w+_HOME)$/.test(name) ? [value] : [],
  )

for (const agent of [claudeCode, codex, opencode, copilot]) {
  test(`${agent.title} in a box uses only its session's home, even when the user is logged in`, (context) => {
    const { user, home } = places(context)
    for (const { from } of agent.signIn!({ HOME: user })) write(from)
    const env = { HOME: user, ANTHROPIC_API_KEY: 'k', OPENAI_API_KEY: 'k' }
    const folders = foldersOf(agent.launch(request(home, { env }), program).env)
    assert.ok(folders.length > 0)
    for (const folder of folders) assert.ok(folder.startsWith(`${home}/`), folder)
  })

  test(`in a box, a copied sign-in is where ${agent.title} looks for it`, (context) => {
    const { home } = places(context)
    for (const { to } of agent.signIn!({ HOME: '/nobody' })) {
      write(join(home, to))
      const folders = foldersOf(agent.launch(request(home), program).env)
      assert.ok(folders.some((folder) => join(home, to).startsWith(`${folder}/`)))
    }
  })
}

for (const agent of [claudeCode, codex])
  test(`${agent.title} says that it has no key in a box, and what to do`, (context) => {
    const { user, home } = places(context)
    for (const { from } of agent.signIn!({ HOME: user })) write(from)
    assert.throws(() => agent.launch(request(home, { env: { HOME: user } }), program), {
      code: 'invalid_argument',
      message: /in its sandbox/,
      hint: /_(API_)?KEY.*ERRAND_SANDBOX_LOGIN=copy.*isolation: none/,
    })
  })

test('a sign-in counts as a key if it contains one that is valid now', (context) => {
  const { user } = places(context)
  const held = (agent: Agent, text: string) => {
    const { from } = agent.signIn!({ HOME: user })[0]!
    write(from)
    writeFileSync(from, text)
    return agent.keyOfSignIn!({ HOME: user })
  }
  const claude = (more: object) =>
    held(claudeCode, JSON.stringify({ claudeAiOauth: { accessToken: 'sk-ant-oat01-of-file', ...more } }))
  const good = { CLAUDE_CODE_OAUTH_TOKEN: 'sk-ant-oat01-of-file' }
  assert.deepEqual(claude({ expiresAt: Date.now() + 60_000 }), good)
  assert.deepEqual(claude({}), good)
  assert.equal(claude({ expiresAt: Date.now() - 1 }), undefined)
  for (const text of ['', '{', '[]', '{"claudeAiOauth":null}', '{"claudeAiOauth":{"accessToken":7}}'])
    assert.equal(held(claudeCode, text), undefined, text)
  assert.deepEqual(held(codex, '{"OPENAI_API_KEY":"sk-of-file"}'), { OPENAI_API_KEY: 'sk-of-file' })
  assert.equal(held(codex, '{"OPENAI_API_KEY":null,"tokens":{"access_token":"t"}}'), undefined)
  assert.equal(codex.keyOfSignIn!({ HOME: '/nobody' }), undefined)
})

test('each user folder that an agent uses is one of its settings', () => {
  const agents: Agent[] = [claudeCode, codex, opencode, copilot]
  for (const { folders = [], settings = [] } of agents)
    for (const folder of folders) assert.ok(settings.includes(folder), folder)
})

test('the built-in agent names all its parts, and leaves a saved session to the program that runs it', (context) => {
  const { home } = places(context)
  const env = { OPENAI_API_KEY: 'k' }
  const found = { path: join(import.meta.dirname, 'builtin', 'program.ts'), version: '' }
  const { parts } = builtin.launch(request(home, { env, session_id: 'gone' }), found)
  const there = (path: string) => parts!.some((part) => path === part || path.startsWith(`${part}/`))
  assert.ok(there(process.execPath) && there(found.path))
})

test('codex in a box without permitted tools asks before everything but reading, and only reading is allowed', () => {
  const sent: { id?: number; method?: string; params?: Record<string, unknown>; result?: unknown }[] = []
  const protocol = new CodexProtocol(request('/srv/session', { ask: 'deny' }), {
    send: (line) => void sent.push(JSON.parse(line)),
    update: () => undefined,
    ready: () => undefined,
    failed: () => undefined,
  })
  const send = (message: object) => protocol.line(JSON.stringify({ jsonrpc: '2.0', ...message }))
  protocol.begin()
  send({ id: sent.at(-1)!.id, result: { userAgent: 'codex/1' } })
  const thread = sent.find(({ method }) => method === 'thread/start')
  assert.equal(thread?.params?.sandbox, 'danger-full-access')
  assert.equal(thread?.params?.approvalPolicy, 'untrusted')
  const requested = (id: number, command: string) => {
    const params = { itemId: 'i', command, cwd: '/srv' }
    send({ id, method: 'item/commandExecution/requestApproval', params })
    return sent.find((message) => message.id === id && 'result' in message)?.result
  }
  assert.deepEqual(requested(901, 'head -3 README'), { decision: 'accept' })
  assert.deepEqual(requested(902, 'head -3 README > other'), { decision: 'decline' })
  send({ id: 903, method: 'item/fileChange/requestApproval', params: { itemId: 'i' } })
  assert.deepEqual(sent.find((message) => message.id === 903)?.result, { decision: 'decline' })
})

test('OpenCode finds in its own folder that it has nothing to install', (context) => {
  const { home } = places(context)
  const { env, files = [] } = opencode.launch(request(home), program)
  const lock = files.find(({ path }) => path === join(env.XDG_CONFIG_HOME!, 'opencode', 'package-lock.json'))
  assert.ok('@opencode-ai/plugin' in JSON.parse(lock!.content).packages[''].dependencies)
  assert.ok(
    files.some(({ path }) => path.startsWith(join(env.XDG_CONFIG_HOME!, 'opencode', 'node_modules/'))),
  )
})
