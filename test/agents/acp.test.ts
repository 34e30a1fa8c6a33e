import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { acp } from '../../src/agents/acp/acp.ts'
import type { Agent, SessionRequest } from '../../src/agents/agent.ts'
import { agentsFolder } from '../../src/agents/install/native-binary.ts'
import { opencode } from '../../src/agents/opencode/opencode.ts'
import { AgentBench, benchFolder, textOf } from '../support/agent-bench.ts'
import { agentMissing } from '../support/agent-subjects.ts'
import { readFileTurn, type Script, startModelServer, writeFileTurn } from '../support/model-server/server.ts'

const located = await opencode.locate({ folder: agentsFolder(process.env), env: process.env })
const program = located.type === 'found' ? located.program : { path: '', version: '' }
const skip = located.type === 'found' ? false : agentMissing(opencode, located)

/** Starts a bench with its folders and its server. All of it is removed with the test. */
async function bench(
  context: TestContext,
  agent: Agent,
  script: (cwd: string) => Script,
  change: Partial<SessionRequest>,
  files: Record<string, string> = {},
): Promise<AgentBench> {
  const folder = benchFolder(context)
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder.cwd, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  const server = await startModelServer({ script: script(folder.cwd) })
  folder.atEnd(() => server.stop())
  const env = { ANTHROPIC_API_KEY: 'test-key', ANTHROPIC_BASE_URL: server.url }
  const { cwd, home } = folder
  const request = { extra_args: [], ask: 'ask', new_session_id: '0', env, cwd, home, ...change } as const
  const started = new AgentBench(agent, program, {
    ...request,
    env: { ...env, ...configuration(agent, server.url) },
  })
  folder.atEnd(() => started.kill(0))
  return started
}

/** Returns the configuration that a user of `acp` writes; the driver of OpenCode does this itself. */
function configuration(agent: Agent, url: string): Record<string, string> {
  if (agent !== acp) return {}
  const provider = { anthropic: { options: { baseURL: `${url}/v1` } } }
  const content = { provider, permission: { edit: 'ask' } }
  return { OPENCODE_CONFIG_CONTENT: JSON.stringify(content), OPENCODE_DISABLE_MODELS_FETCH: '1' }
}

const writes = (cwd: string): Script => [writeFileTurn(join(cwd, 'x.txt'), 'x\n'), { text: 'Written.' }]

it('runs an agent that is known only by its command', { skip, timeout: 240_000 }, async (context) => {
  const started = await bench(context, acp, writes, {
    command: [program.path, 'acp'],
    model: 'anthropic/claude-sonnet-4-5',
  })
  await started.prompt('Write x.')
  const permission = await started.waitFor('permission')
  started.answer(permission.request_id, 'allow')
  await started.turnEnded()
  assert.match(textOf(started.updates), /Written\./)
  assert.ok(existsSync(join(started.request.cwd, 'x.txt')))
  assert.equal(await started.close(), true)
})

it('lets no repository grant itself what needs permission', { skip, timeout: 240_000 }, async (context) => {
  const files = {
    'opencode.json': JSON.stringify({
      default_agent: 'own',
      permission: { edit: 'allow' },
      agent: { own: { mode: 'primary', permission: { edit: 'allow' } } },
    }),
    '.opencode/agent/build.md': '---\nmode: primary\npermission:\n  edit: allow\n---\nBuild.\n',
  }
  const started = await bench(context, opencode, writes, { model: 'anthropic/claude-sonnet-4-5' }, files)
  await started.prompt('Write x.')
  const permission = await started.waitFor('permission')
  assert.equal(existsSync(join(started.request.cwd, 'x.txt')), false)
  started.answer(permission.request_id, 'deny')
  await started.turnEnded()
  assert.equal(existsSync(join(started.request.cwd, 'x.txt')), false)
})

it('reports a command that exits at once, with its last words', async (context) => {
  const command = ['sh', '-c', 'echo garbage; echo "no licence" >&2; exit 4']
  const started = await bench(context, acp, () => [], { command })
  await started.until(() => started.failure !== undefined)
  assert.equal(started.failure?.reason, 'start_failed')
  assert.match(started.failure?.message ?? '', /exit code 4: no licence/)
})

const delegates = { description: 'x', prompt: 'You write x.', subagent_type: 'general' }
for (const ask of ['ask', 'deny'] as const)
  it(`starts no agents below OpenCode's if they would ask nobody and wait forever (${ask})`, {
    skip,
    timeout: 240_000,
  }, async (context) => {
    let requests = 0
    const script =
      (cwd: string): Script =>
      ({ body }) => {
        if (!JSON.stringify(body).includes('Have x written.')) return readFileTurn(join(cwd, '.env'))
        return requests++ === 0 ? { toolCalls: [{ name: 'task', args: delegates }] } : { text: 'Done.' }
      }
    const model = 'anthropic/claude-sonnet-4-5'
    const started = await bench(context, opencode, script, { ask, model }, { '.env': 'KEY=1\n' })
    const updates = await started.turn('Have x written.')
    assert.match(textOf(updates), /Done\./)
  })
