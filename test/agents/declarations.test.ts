import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { SessionRequest } from '../../src/agents/agent.ts'
import { settingsOf } from '../../src/agents/builtin/settings.ts'
import { agentInstalls, agentRegistry, agentSecrets } from '../../src/agents/registry.ts'
import { agents } from '../../src/cli/commands/agent/agents.ts'
import { isCredentialName } from '../../src/contract/names.ts'
import { ownSecrets } from '../../src/runner/secrets/own-secrets.ts'
import { AgentServices } from '../../src/runner/sessions/agent-services.ts'
import { command, endOf, place, textOf } from '../support/runner/attempt-fixture.ts'

const secretIn = (name: string) => `a-value-of-${name.toLowerCase()}-Zq7`

test('a secret that an agent declares is masked in all output of its machine, and recognized by its name', async () => {
  assert.ok(agentSecrets.length > 10)
  using here = place()
  const env = Object.fromEntries(agentSecrets.map((name) => [name, secretIn(name)]))
  const attempts = here.open({ ownSecrets: ownSecrets(env) })
  const commands = agentSecrets.map((name) => `echo ${name} is ${secretIn(name)}`).join(' && ')
  const held = await attempts.start(command(`sh -c ${JSON.stringify(commands)}`), 1)
  await endOf(held)
  assert.deepEqual(
    (await textOf(held)).trimEnd().split('\n'),
    agentSecrets.map((name) => `${name} is ***`),
  )
  for (const name of agentSecrets) assert.ok(isCredentialName(name), name)
  await attempts.close()
})

test('every name that was masked before agents declared their own is still masked', () => {
  const names =
    'GITHUB_TOKEN GH_TOKEN GIT_TOKEN COPILOT_GITHUB_TOKEN COPILOT_PROVIDER_API_KEY ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ' +
    'ANTHROPIC_CUSTOM_HEADERS CLAUDE_CODE_OAUTH_TOKEN OPENAI_API_KEY CODEX_API_KEY AWS_BEARER_TOKEN_BEDROCK ' +
    'OPENROUTER_API_KEY OPENCODE_API_KEY GEMINI_API_KEY GOOGLE_GENERATIVE_AI_API_KEY GROQ_API_KEY MISTRAL_API_KEY ' +
    'DEEPSEEK_API_KEY XAI_API_KEY'
  const env = Object.fromEntries(names.split(' ').map((name) => [name, secretIn(name)]))
  assert.deepEqual(ownSecrets({ ...env, HOME: '/home/user' }), env)
})

test('an agent gets its own keys and configuration, all settings, and nothing else from its machine', () => {
  const settings = agentRegistry.flatMap((agent) => agent.settings ?? [])
  const own = (agent: (typeof agentRegistry)[number]) => [...agent.keys, ...(agent.configuration ?? [])]
  const names = [...agentRegistry.flatMap(own), ...agentSecrets, ...settings, 'HTTPS_PROXY', 'SOME_OTHER']
  const env = Object.fromEntries(names.map((name) => [name, secretIn(name)]))
  const options = { known: agentRegistry, folder: '/srv/agents', sessionsDir: '/srv', allowedDirs: [] }
  const services = new AgentServices(options, env)
  for (const agent of agentRegistry) {
    const values = Object.keys(services.environment(agent, { env: {} })).filter((name) =>
      names.includes(name),
    )
    assert.deepEqual(values.sort(), [...new Set([...own(agent), ...settings, 'HTTPS_PROXY'])].sort())
  }
})

test('the built-in agent uses the settings of its machine, but those of a step take precedence', () => {
  const machine = {
    OPENAI_API_KEY: secretIn('OPENAI_API_KEY'),
    ERRAND_MODEL_TIMEOUT_SECONDS: '7',
    ERRAND_MODEL_RETRIES: '0',
    ERRAND_MODEL_MAX_TOKENS: '99',
    ERRAND_MODEL_CONTEXT_CHARS: '5000',
  }
  const options = { known: agentRegistry, folder: '/srv/agents', sessionsDir: '/srv', allowedDirs: [] }
  const services = new AgentServices(options, machine)
  const env = services.environment(services.named('builtin'), { env: { ERRAND_MODEL_RETRIES: '2' } })
  const settings = settingsOf({ env } as SessionRequest)
  assert.ok(!('wrong' in settings), JSON.stringify(settings))
  const { timeoutMs, retries, maxTokens, contextChars } = settings
  assert.deepEqual([timeoutMs, retries, maxTokens, contextChars], [7000, 2, 99, 5000])
})

test("a step can name a service with the machine's key on your own machine, but not on a runner", () => {
  const options = { known: agentRegistry, folder: '/srv/agents', sessionsDir: '/srv', allowedDirs: [] }
  const machine = { OPENAI_API_KEY: secretIn('OPENAI_API_KEY') }
  const step = { OPENAI_BASE_URL: 'http://localhost:8000/v1' }
  const access = (runnerId?: string) => {
    const services = new AgentServices({ ...options, runnerId }, machine)
    const codex = services.named('codex')
    return services.access(codex, services.environment(codex, { env: step }), { key: 'a', step }).rules[0]
  }
  const rule = access()
  assert.deepEqual([rule?.upstream, rule?.checked], [step.OPENAI_BASE_URL, undefined])
  assert.throws(() => access('r1'), {
    code: 'invalid_argument',
    message: /OPENAI_API_KEY is not sent to that address/,
  })
})

test('each install that an agent declares has an option and one fixed version', () => {
  const { install } = agents.commands
  assert.ok(install && 'options' in install)
  const declared = agentRegistry.filter((agent) => agent.install).map(({ name }) => name)
  assert.deepEqual(Object.keys(agentInstalls), declared)
  const flags = declared.map((name) => name.replaceAll('_', '-'))
  assert.deepEqual(
    Object.keys(install.options ?? {}).filter((name) => name !== 'json'),
    flags,
  )
  for (const { version } of Object.values(agentInstalls)) assert.match(version, /^\d+\.\d+\.\d+$/)
})

test("the documentation's table has a row for each agent, and names only variables that it declares", () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/agents.md'), 'utf8')
  for (const { name, keys, settings = [], install } of agentRegistry) {
    const row = text.split('\n').find((line) => line.startsWith(`| \`${name}\` |`))
    assert.ok(row, name)
    for (const [variable] of row.matchAll(/(?<=`)[A-Z][A-Z_]+(?=`)/g))
      assert.ok([...keys, ...settings].includes(variable), `${name}: ${variable}`)
    if (install) assert.ok(text.includes(`\`--${name.replaceAll('_', '-')}\``), name)
  }
})
