import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { acp } from '../../src/agents/acp/acp.ts'
import type { Agent } from '../../src/agents/agent.ts'
import { type AskCheckRequest, checkedOnce, checkQuestions } from '../../src/agents/ask-check/ask-check.ts'
import { agentRegistry } from '../../src/agents/registry.ts'
import { agentMissing } from '../support/agent-subjects.ts'

const folder = process.env.ERRAND_AGENTS_DIR ?? join(homedir(), '.errand', 'agents')
const signal = new AbortController().signal
const requested: AskCheckRequest = {
  request: {
    cwd: '/',
    home: '/',
    ask: 'ask',
    extra_args: [],
    new_session_id: '00000000-0000-4000-8000-000000000000',
    env: {},
  },
  env: process.env,
}

describe('the check that an agent asks before it uses a tool', { concurrency: 1 }, () => {
  for (const agent of agentRegistry.filter((each) => each.install)) {
    it(`passes for ${agent.title}`, { timeout: 200_000 }, async (context) => {
      const located = await agent.locate({ folder, env: process.env })
      if (located.type !== 'found') return context.skip(agentMissing(agent, located))
      assert.deepEqual(await checkQuestions(agent, located.program, requested, signal), { type: 'asks' })
    })
  }

  const standIn = (prompt: string): Agent => ({
    ...acp,
    title: 'Stand-in',
    modelAt: () => ({ env: {} }),
    launch: (request, program) =>
      acp.launch(
        {
          ...request,
          command: [process.execPath, join(import.meta.dirname, '../support/acp-agent-stand-in.ts')],
        },
        program,
      ),
    protocol: (request, port) => {
      const protocol = acp.protocol(request, port)
      return new Proxy(protocol, {
        get: (target, name: keyof typeof protocol) =>
          name === 'prompt'
            ? () => target.prompt(prompt)
            : (target[name] as (() => void) | undefined)?.bind(target),
      })
    },
  })
  const program = { path: process.execPath, version: '1.2.3' }

  it('recognizes an agent that asks, one that does not, and one that exits', async () => {
    assert.deepEqual(await checkQuestions(standIn('ask asked.txt'), program, requested, signal), {
      type: 'asks',
    })
    const silent = await checkQuestions(standIn('write asked.txt'), program, requested, signal)
    assert.ok(silent.type === 'refused' && silent.sure)
    assert.match(silent.why, /Stand-in 1\.2\.3 did not show .*without asking/)
    const ending = await checkQuestions(standIn('exit 3'), program, requested, signal)
    assert.ok(ending.type === 'refused' && !ending.sure)
  })

  it('starts an agent known only by its command like its session does, and finds what it does unasked', async () => {
    const found = async (unasked: string, asks_reading: boolean) => {
      const command = [process.execPath, join(import.meta.dirname, '../support/acp-agent-stand-in.ts')]
      const env = { STAND_IN_UNASKED: unasked }
      const request = { ...requested.request, command, env, asks_reading }
      const session = { request, env: { ...process.env, ...env } }
      const finding = await checkQuestions(acp, { path: '', version: '' }, session, signal)
      return finding.type === 'refused' ? finding.why : finding.type
    }
    assert.equal(await found('', true), 'asks')
    assert.match(await found('write', false), /it wrote a file without asking.*permissions allow/)
    assert.match(await found('read', true), /it read a file without asking/)
    assert.equal(await found('read', false), 'asks')
  })

  it('runs once per version, and its result is stored', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'errand-test-'))
    try {
      const file = join(dir, 'state', 'checks.json')
      const agent = standIn('write asked.txt')
      const [one, two] = await Promise.all(
        [1, 2].map(() => checkedOnce(file)(agent, program, requested, signal)),
      )
      assert.deepEqual(one, two)
      const never = { ...agent, launch: () => assert.fail('it is started again') }
      assert.deepEqual(await checkedOnce(file)(never, program, requested, signal), one)
      assert.equal(Object.keys(JSON.parse(readFileSync(file, 'utf8'))).length, 1)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })
})
