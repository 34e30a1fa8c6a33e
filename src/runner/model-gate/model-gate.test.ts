import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import {
  answerOf,
  ask,
  KEY,
  messages,
  type ServiceStandIn,
  startService,
} from '../../../test/support/runner/model-proxy-fixture.ts'
import { agentRegistry } from '../../agents/registry.ts'
import { gateRules } from './gate-access.ts'
import { joinGate } from './join-gate.ts'
import { ModelGate } from './model-gate.ts'

const hello: ServiceStandIn['answer'] = (_request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(answerOf({ input_tokens: 10, output_tokens: 5 }))
}
const signal = new AbortController().signal

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-gate-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function opened(t: TestContext, folder: string, env: Record<string, string>): Promise<ModelGate> {
  const gate = await ModelGate.open({ folder, env, agents: agentRegistry, port: 0, log: () => {} })
  t.after(() => gate.close())
  return gate
}

test('a runner beside the gate reaches models with sentinels for their keys, and with nothing else', async (t) => {
  await using service = await startService(hello)
  const folder = folderOf(t)
  await opened(t, folder, { ANTHROPIC_API_KEY: KEY, ANTHROPIC_BASE_URL: service.url })
  const gate = await joinGate(folder, { signal, onGone: () => {} })
  assert.ok(gate)
  const { ANTHROPIC_BASE_URL: url = '', ANTHROPIC_API_KEY: placeholder = '' } = gate.env
  assert.equal(JSON.stringify(gate.env).includes(KEY), false)
  assert.equal(readFileSync(join(folder, 'access.json'), 'utf8').includes(KEY), false)
  const answered = await ask(url, '/v1/messages', { headers: { 'x-api-key': placeholder }, body: messages() })
  assert.equal(answered.status, 200)
  assert.equal(service.seen[0]!.headers['x-api-key'], KEY)
  const foreign = await ask(url, '/v1/messages', {
    headers: { 'x-api-key': 'sk-ant-api03-of-somebody' },
    body: messages(),
  })
  assert.equal(foreign.status, 401)
  const files = await ask(url, '/v1/files', { headers: { 'x-api-key': placeholder } })
  assert.equal(files.status, 404)
  assert.equal(service.seen.length, 1)
  gate.close()
})

test("a gate ends when its runner is gone, and the runner learns of the gate's end", async (t) => {
  const folder = folderOf(t)
  const env = { OPENAI_API_KEY: 'sk-real-key-of-openai' }
  const first = await opened(t, folder, env)
  const runner = await joinGate(folder, { signal, onGone: () => {} })
  first.leaveUnused()
  runner!.close()
  await first.left
  await first.close()

  const second = await opened(t, folder, env)
  const gone = Promise.withResolvers<void>()
  await joinGate(folder, { signal, onGone: gone.resolve })
  await second.close()
  await gone.promise
})

test('a runner waits for its gate, and finally reports that there is none', async (t) => {
  const folder = folderOf(t)
  await assert.rejects(joinGate(folder, { signal, onGone: () => {}, waitMs: 1 }), {
    code: 'unavailable',
    message: /^There is no model gate in /,
  })
  const joining = joinGate(folder, { signal, onGone: () => {} })
  await opened(t, folder, { OPENAI_API_KEY: 'sk-real-key-of-openai' })
  const gate = await joining
  assert.match(gate!.env.OPENAI_BASE_URL ?? '', /^http:\/\/127\.0\.0\.1:\d+\/model\/openai\/v1$/)
  gate!.close()
  const calledOff = { signal: AbortSignal.abort(), onGone: () => {} }
  assert.equal(await joinGate(folderOf(t), calledOff), undefined)
})

test('a gate receives the keys of all agents, and does not open without one', () => {
  const rules = gateRules(agentRegistry, {
    ANTHROPIC_API_KEY: 'sk-ant-real-key-one',
    CODEX_API_KEY: 'sk-real-key-two',
    OPENAI_API_KEY: 'sk-real-key-two',
    GITHUB_TOKEN: 'ghp_realtoken',
    PATH: '/bin',
  })
  assert.deepEqual(rules.models.map(({ name, key }) => [name, key]).sort(), [
    ['anthropic', 'sk-ant-real-key-one'],
    ['openai', 'sk-real-key-two'],
  ])
  assert.deepEqual(Object.keys(rules.env).sort(), [
    ...['ANTHROPIC_API_KEY', 'ANTHROPIC_BASE_URL'],
    ...['CODEX_API_KEY', 'OPENAI_API_KEY', 'OPENAI_BASE_URL'],
  ])
  assert.equal(rules.env.CODEX_API_KEY, rules.env.OPENAI_API_KEY)
  assert.throws(() => gateRules(agentRegistry, { PATH: '/bin' }), {
    code: 'invalid_argument',
    message: 'The model gate has no key.',
  })
  assert.throws(
    () => gateRules(agentRegistry, { OPENAI_API_KEY: 'x', OPENAI_BASE_URL: 'ftp://x' }),
    /OPENAI_BASE_URL is not an http or https URL/,
  )
})
