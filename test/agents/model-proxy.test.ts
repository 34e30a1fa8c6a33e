import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { SessionRequest } from '../../src/agents/agent.ts'
import { modelAccess } from '../../src/runner/proxy/model-access.ts'
import type { EndpointRules } from '../../src/runner/proxy/rules.ts'
import { ENDPOINT_PORT } from '../../src/runner/proxy/rules.ts'
import { sumLog } from '../../src/runner/proxy/usage-count.ts'
import { AgentBench, benchFolder, textOf } from '../support/agent-bench.ts'
import { type AgentSubject, agentSubjects, installedAgent } from '../support/agent-subjects.ts'
import {
  type ModelServer,
  type Script,
  startModelServer,
  writeFileTurn,
} from '../support/model-server/server.ts'
import { type EndpointUnderTest, openEndpoint } from '../support/runner/model-proxy-fixture.ts'
import { onlyLarge } from '../support/size.ts'

const KEY = 'the-real-key-of-the-service-0123456789'

/**
 * The agents and their services. `textOnly`: its library needs each tool call in one piece, and the scripted service
 * splits calls.
 */
const subjects: readonly (AgentSubject & { as?: string; textOnly?: boolean })[] = [
  ...agentSubjects,
  {
    name: 'builtin',
    model: 'test-model',
    env: (url, key) => ({ OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }),
  },
  {
    ...{ name: 'copilot', as: 'copilot of a service like Anthropic', model: 'claude-sonnet-4-5' },
    env: (url, key) => ({
      ...{ COPILOT_PROVIDER_TYPE: 'anthropic', COPILOT_PROVIDER_BASE_URL: url },
      COPILOT_PROVIDER_API_KEY: key,
    }),
  },
  {
    ...{ name: 'copilot', as: 'copilot by Responses', model: 'gpt-5.5' },
    env: (url, key) => ({
      ...{ COPILOT_PROVIDER_WIRE_API: 'responses', COPILOT_PROVIDER_BASE_URL: `${url}/v1` },
      COPILOT_PROVIDER_API_KEY: key,
    }),
  },
  {
    ...{ name: 'claude_code', as: 'claude_code with a sign-in', model: 'claude-sonnet-4-5' },
    env: (url, key) => ({ ANTHROPIC_BASE_URL: url, CLAUDE_CODE_OAUTH_TOKEN: key }),
  },
  ...['openai', 'openrouter', 'groq', 'mistral'].map((provider) => ({
    ...{ name: 'opencode', as: `opencode with ${provider}`, model: `${provider}/some-model` },
    textOnly: provider === 'mistral',
    env: (url: string, key: string) => ({
      [`${provider.toUpperCase()}_BASE_URL`]: `${url}/v1`,
      [`${provider.toUpperCase()}_API_KEY`]: key,
    }),
  })),
]

interface Setup {
  bench: AgentBench
  endpoint: EndpointUnderTest
  server: ModelServer
  cwd: string
}

/** Starts an agent with the environment that it has in a box. Its service is behind an endpoint. */
async function start(
  context: TestContext,
  subject: AgentSubject,
  script: (cwd: string) => Script,
  options: { keys?: string[]; budget?: EndpointRules['budget'] } = {},
): Promise<Setup | undefined> {
  const found = await installedAgent(subject.name)
  if ('missing' in found) return void context.skip(found.missing)
  const folder = benchFolder(context)
  const server = await startModelServer({ script: script(folder.cwd), keys: options.keys ?? [KEY] })
  folder.atEnd(() => server.stop())
  const { env, rules, inside } = modelAccess(found.agent, subject.env(server.url, KEY), { key: 'attempt' })
  assert.deepEqual(inside, [])
  const endpoint = await openEndpoint({ rules, budget: options.budget })
  folder.atEnd(() => endpoint[Symbol.asyncDispose]())
  const port = new URL(endpoint.url()).port
  const here = Object.entries(env).map(([name, value]) => [
    name,
    value.replace(`:${ENDPOINT_PORT}/`, `:${port}/`),
  ])
  const request: SessionRequest = {
    ...{ extra_args: [], ask: 'allow', new_session_id: '6f0b5f0e-6d0c-4b5c-9a59-3a4a2b1c0d9e' },
    ...{ cwd: folder.cwd, home: folder.home, model: subject.model },
    env: { CLAUDE_CODE_MAX_RETRIES: '1', ERRAND_MODEL_RETRIES: '1', ...Object.fromEntries(here) },
  }
  assert.doesNotMatch(JSON.stringify(request), new RegExp(KEY))
  const bench = new AgentBench(found.agent, found.program, request)
  folder.atEnd(() => bench.kill(0))
  return { bench, endpoint, server, cwd: folder.cwd }
}

describe('agents behind the model proxy', { concurrency: 2 }, () => {
  for (const subject of subjects) {
    const name = subject.as ?? subject.name

    it(`${name} works with a sentinel, and its usage is counted`, { timeout: 240_000 }, async (context) => {
      const usage = { input: 70, cached: 30, output: 9 }
      const turns = subject.textOnly === true ? 1 : 2
      const script = (cwd: string): Script => [
        ...(turns === 1 ? [] : [{ ...writeFileTurn(join(cwd, 'made.txt'), 'made\n'), usage }]),
        { text: 'All is done.', usage },
      ]
      const setup = await start(context, subject, script)
      if (setup === undefined) return
      const { bench, endpoint, server, cwd } = setup
      const updates = await bench.turn('Write the file.')
      assert.match(textOf(updates), /All is done\./, `${bench.describe()} ${JSON.stringify(endpoint.log)}`)
      if (turns > 1) assert.equal(readFileSync(join(cwd, 'made.txt'), 'utf8'), 'made\n')
      assert.ok(server.requests.every(({ key }) => key === KEY))
      assert.deepEqual(server.errors, [])
      assert.deepEqual(endpoint.of('refused'), [])
      // Codex offers it unasked, and the network of this endpoint is closed.
      const offered = server.requests.map(({ body }) => body.tools)
      assert.doesNotMatch(JSON.stringify(offered), /"type":"web_/)
      // Answers outside the script (titles, checks) are counted as well.
      const sides = server.requests.filter(({ side }) => side).length
      const { tokens, estimated, requests } = sumLog(endpoint.log)
      assert.equal(requests, turns + sides)
      assert.equal(estimated, false)
      const sum = [usage.input, usage.cached, usage.output].map((each) => each * turns)
      if (sides === 0) assert.deepEqual([tokens.input, tokens.cache_read, tokens.output], sum)
      assert.doesNotMatch(JSON.stringify([bench.lines, bench.updates]), new RegExp(KEY))
    })
  }

  const isWhole = onlyLarge('each agent’s program except Claude Code, without a budget or a model login')
  const refused = agentSubjects.filter(({ name }) => isWhole || name === 'claude_code')
  for (const subject of refused.concat(subjects.filter(({ name }) => name === 'builtin'))) {
    const { name } = subject
    it(`${name} ends at once when its budget is used up`, { timeout: 240_000 }, async (context) => {
      const setup = await start(
        context,
        subject,
        (cwd) => [
          {
            ...writeFileTurn(join(cwd, 'made.txt'), 'made\n'),
            usage: { input: 5000, cached: 0, output: 5000 },
          },
          { text: 'Never said.' },
        ],
        { budget: { tokens: 6000 } },
      )
      if (setup === undefined) return
      const { bench, endpoint, server } = setup
      const end = (await bench.turn('Write the file.')).at(-1)
      const text = `${bench.describe()} ${JSON.stringify(endpoint.log)}`
      assert.ok(end?.kind === 'turn_ended' && end.stop_reason === 'error', text)
      assert.doesNotMatch(textOf(bench.updates), /Never said/)
      assert.equal(endpoint.of('over_budget').length, 1, text)
      assert.equal(server.scripted.length, 1)
      assert.match(JSON.stringify(bench.updates), /budget of 6000 tokens is used up/, text)
      assert.ok(!bench.updates.some(({ kind }) => kind === 'retry'), text)
    })

    it(`${name} reports that its service rejects the key`, { timeout: 240_000 }, async (context) => {
      const setup = await start(context, subject, () => [{ text: 'x' }], { keys: ['another'] })
      if (setup === undefined) return
      const { bench, endpoint } = setup
      const end = (await bench.turn('Hello.')).at(-1)
      assert.ok(end?.kind === 'turn_ended' && end.failure === 'auth', bench.describe())
      assert.ok(endpoint.of('answered').every(({ status, tokens }) => status === 401 && tokens.output === 0))
      assert.equal(existsSync(join(setup.cwd, 'made.txt')), false)
    })
  }
})
