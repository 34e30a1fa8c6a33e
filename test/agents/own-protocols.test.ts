import assert from 'node:assert/strict'
import { hash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { Agent, SessionRequest } from '../../src/agents/agent.ts'
import { claudeCode } from '../../src/agents/claude-code/claude-code.ts'
import { codex } from '../../src/agents/codex/codex.ts'
import { agentsFolder } from '../../src/agents/install/native-binary.ts'
import type { AgentUpdate } from '../../src/contract/agent.ts'
import { AgentBench, benchFolder } from '../support/agent-bench.ts'
import { agentMissing } from '../support/agent-subjects.ts'
import type { ModelRequest } from '../support/model-server/request.ts'
import { readFileTurn, runTurn, writeFileTurn } from '../support/model-server/script.ts'
import { type Script, startModelServer } from '../support/model-server/server.ts'

/** An agent's real program, to test what the drivers of codex and Claude Code promise beyond the conformance suite. */
interface Real {
  agent: Agent
  point(url: string): { env: Record<string, string>; model: string }
}

const codexModel = (model: string): Real => ({
  agent: codex,
  point: (url) => ({ env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: 'test-key' }, model }),
})
const claude: Real = {
  agent: claudeCode,
  point: (url) => ({
    env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'test-key', HOME: '/nonexistent' },
    model: 'claude-sonnet-4-5',
  }),
}

/** A picture of one pixel. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

const places = { folder: agentsFolder(process.env), env: process.env }
const found = new Map(
  await Promise.all([codex, claudeCode].map(async (agent) => [agent, await agent.locate(places)] as const)),
)

interface Scene {
  cwd: string
  home: string
  start(script: Script, change?: Partial<SessionRequest>): Promise<AgentBench>
  /** Returns the requests of all started agents to their models, without side requests. */
  asked(): ModelRequest[]
}

function test({ agent, point }: Real, name: string, body: (scene: Scene) => Promise<void>): void {
  const located = found.get(agent)
  const skip = located?.type === 'found' ? false : agentMissing(agent, located)
  it(name, { skip, timeout: 120_000 }, async (context: TestContext) => {
    if (located?.type !== 'found') return
    const { cwd, home, atEnd } = benchFolder(context)
    const servers: Awaited<ReturnType<typeof startModelServer>>[] = []
    const start = async (script: Script, change: Partial<SessionRequest> = {}) => {
      const server = await startModelServer({ script })
      atEnd(() => server.stop())
      servers.push(server)
      const base = { cwd, home, extra_args: [], ask: 'allow', new_session_id: randomUUID() } as const
      const bench = new AgentBench(agent, located.program, { ...base, ...point(server.url), ...change })
      atEnd(() => bench.kill(0))
      return bench
    }
    const mainRequests = () => servers.flatMap(({ requests }) => requests.filter(({ side }) => !side))
    await body({ cwd, home, start, asked: mainRequests })
  })
}

/** Returns the last status of each tool, in the order of their first mention. */
function statuses(updates: readonly AgentUpdate[]): (string | undefined)[] {
  const last = new Map<string, string | undefined>()
  for (const each of updates)
    if (each.kind === 'tool') last.set(each.tool_id, each.status ?? last.get(each.tool_id))
  return [...last.values()]
}

/** Returns a script that reads a file, writes one with the tool for it, and writes one with a command. */
const attempts = (cwd: string): Script => [
  readFileTurn(join(cwd, 'old.txt')),
  writeFileTurn(join(cwd, 'by-tool.txt'), 'x\n'),
  runTurn(`echo x > ${join(cwd, 'by-command.txt')}`),
  { text: 'Done.' },
]

describe('denied tools', { concurrency: 2 }, () => {
  const cases = [
    { real: codexModel('gpt-5.5'), expected: ['completed', 'denied', 'failed'] },
    // This model calls its tools from code.
    { real: codexModel('gpt-6.1-sol'), expected: ['completed', 'denied', 'failed'] },
    { real: claude, expected: ['completed', 'denied', 'denied'] },
  ]
  for (const { real, expected } of cases) {
    const { agent, point } = real
    test(
      real,
      `is told of ${agent.name} with ${point('').model}, which may read all the same`,
      async (scene) => {
        writeFileSync(join(scene.cwd, 'old.txt'), 'old\n')
        const bench = await scene.start(attempts(scene.cwd), { ask: 'deny' })
        const updates = await bench.turn('Try it.')
        assert.deepEqual(statuses(updates), expected, bench.describe())
        assert.deepEqual(readdirSync(scene.cwd), ['old.txt'])
        assert.equal(bench.replay().updates.length, bench.updates.length)
      },
    )
  }
})

describe('Claude Code', { concurrency: 2 }, () => {
  test(claude, 'asks even where the project allows everything, and runs none of its hooks', async (scene) => {
    const { cwd, start } = scene
    const hook = { hooks: [{ type: 'command', command: `touch ${join(cwd, 'hooked')}` }] }
    mkdirSync(join(cwd, '.claude'))
    const settings = {
      permissions: { allow: ['Bash', 'Write'], defaultMode: 'bypassPermissions' },
      hooks: { UserPromptSubmit: [hook], SessionStart: [hook], PreToolUse: [{ matcher: '*', ...hook }] },
    }
    writeFileSync(join(cwd, '.claude', 'settings.json'), JSON.stringify(settings))
    const bench = await start([runTurn('echo hello'), { text: 'Done.' }], { ask: 'ask' })
    await bench.prompt('Try it.')
    const permission = await bench.waitFor('permission')
    assert.equal(permission.tool_kind, 'execute')
    bench.answer(permission.request_id, 'deny')
    await bench.turnEnded()
    assert.equal(existsSync(join(cwd, 'hooked')), false)
  })

  test(claude, 'asks before it reads where that is wanted, else not', async ({ cwd, start }) => {
    writeFileSync(join(cwd, 'old.txt'), 'old\n')
    const script: Script = [readFileTurn(join(cwd, 'old.txt')), { text: 'Done.' }]
    const quiet = await start(script, { ask: 'ask' })
    const updates = await quiet.turn('Read it.')
    assert.ok(!updates.some(({ kind }) => kind === 'permission'))
    const careful = await start(script, { ask: 'ask', asks_reading: true })
    await careful.prompt('Read it.')
    const permission = await careful.waitFor('permission')
    assert.equal(permission.tool_kind, 'read')
    careful.answer(permission.request_id, 'deny')
    await careful.turnEnded()
    assert.deepEqual(statuses(careful.updates), ['denied'])
  })

  test(claude, 'stops after the most turns', async ({ start }) => {
    const bench = await start(() => runTurn('true'), { max_turns: 2 })
    const end = (await bench.turn('Go on for ever.')).at(-1)
    assert.equal(end?.kind === 'turn_ended' && end.stop_reason, 'max_turns', bench.describe())
  })

  test(claude, 'tells a refusal and an answer that is too long from a failure', async ({ start }) => {
    for (const stop of ['refusal', 'max_tokens'] as const) {
      const bench = await start(() => ({ text: 'No.', stop }))
      const end = (await bench.turn('Please.')).at(-1)
      assert.equal(end?.kind === 'turn_ended' && end.stop_reason, stop, bench.describe())
    }
  })

  test(claude, 'counts the tokens and the cost of a session that is taken up again', async ({ start }) => {
    const usage = { input: 100, cached: 40, output: 10 }
    const first = await start([{ text: 'One.', usage }])
    await first.turn('One.')
    await first.close()
    const second = await start([{ text: 'Two.', usage }], { session_id: first.request.new_session_id })
    const reported = (await second.turn('Two.')).findLast((each) => each.kind === 'usage')
    assert.equal(reported?.turn.output_tokens, 10, second.describe())
    assert.equal(reported?.session.output_tokens, 20, second.describe())
    assert.ok((reported?.session.cost_usd ?? 0) > (reported?.turn.cost_usd ?? 0))
  })
})

describe('Codex', { concurrency: 2 }, () => {
  test(codexModel('gpt-5.5'), 'counts the tokens of a thread that is taken up again', async ({ start }) => {
    const usage = { input: 100, cached: 40, output: 10 }
    const first = await start([{ text: 'One.', usage }])
    await first.turn('One.')
    await first.close()
    const session = first.updates.find((each) => each.kind === 'session')
    const second = await start([{ text: 'Two.', usage }], { session_id: session?.session_id })
    const reported = (await second.turn('Two.')).findLast((each) => each.kind === 'usage')
    assert.deepEqual(reported?.turn, { input_tokens: 100, cached_input_tokens: 40, output_tokens: 10 })
    assert.deepEqual(reported?.session, { input_tokens: 200, cached_input_tokens: 80, output_tokens: 20 })
  })

  test(codexModel('gpt-5.5'), 'is switched to another of its models, for all that comes', async (scene) => {
    const bench = await scene.start([{ text: 'One.' }, { text: 'Two.' }, { text: 'Three.' }])
    await bench.turn('One.')
    const session = bench.updates.findLast((each) => each.kind === 'session')
    const models = session?.models?.map(({ id }) => id) ?? []
    assert.ok(models.includes('gpt-5.5') && models.length > 1, bench.describe())
    assert.ok(session!.models!.every(({ name }) => name !== undefined))
    const other = models.find((id) => id !== 'gpt-5.5')!
    assert.equal(await bench.setModel(other), undefined)
    for (const text of ['Two.', 'Three.']) await bench.turn(text)
    assert.deepEqual(
      scene.asked().map(({ model }) => model),
      ['gpt-5.5', other, other],
      bench.describe(),
    )
    assert.equal(bench.replay().updates.length, bench.updates.length)
    // A later process of the thread uses the model that it is started with.
    await bench.close()
    const again = await scene.start([{ text: 'Four.' }], { session_id: session!.session_id! })
    await again.turn('Four.')
    assert.equal(scene.asked().at(-1)!.model, 'gpt-5.5')
  })

  test(codexModel('gpt-5.5'), 'is shown an image, before the words of its prompt', async (scene) => {
    const bench = await scene.start([{ text: 'I see.' }])
    const image = {
      ...{ id: 'a', name: 'dot.png', media_type: 'image/png', bytes: PNG.length, content: PNG },
      sha256: hash('sha256', PNG),
    }
    await bench.turn('What is this?', [image])
    assert.equal((await bench.turnEnded()).stop_reason, 'end_turn')
    assert.ok(bench.updates.find((each) => each.kind === 'session')?.takes?.includes('image'))
    const [request] = scene.asked()
    const texts = JSON.stringify(request!.body.input)
    const shown = /"type":"input_image"[^}]*"image_url":"(data:image\/[a-z]+;base64,[^"]+)"/.exec(texts)
    assert.ok(shown !== null, texts.slice(-2000))
    assert.ok(texts.indexOf('input_image') < texts.indexOf('What is this?'))
    assert.equal(shown[1], `data:image/png;base64,${PNG.toString('base64')}`)
  })

  test(
    codexModel('gpt-5.5'),
    'branches a thread: the branch knows it, and it knows nothing of that',
    async (scene) => {
      const first = await scene.start([{ text: 'The word is plum.' }])
      await first.turn('Think of a word.')
      await first.close()
      const { session_id } = first.updates.find((each) => each.kind === 'session')!
      const branch = await scene.start([{ text: 'Plum.' }], { session_id: session_id!, fork: true })
      await branch.turn('Which word?')
      const session = branch.updates.find((each) => each.kind === 'session')!
      assert.notEqual(session.session_id, session_id)
      assert.match(JSON.stringify(scene.asked().at(-1)!.body.input), /The word is plum\.[\s\S]*Which word\?/)
      await branch.close()
      const trunk = await scene.start([{ text: 'Yes.' }], { session_id: session_id! })
      await trunk.turn('Still there?')
      assert.equal(trunk.updates.find((each) => each.kind === 'session')!.session_id, session_id)
      const input = JSON.stringify(scene.asked().at(-1)!.body.input)
      assert.match(input, /The word is plum\./)
      assert.doesNotMatch(input, /Which word\?/)
      // The branch continues independently.
      await trunk.close()
      const on = await scene.start([{ text: 'Done.' }], { session_id: session.session_id! })
      await on.turn('And now?')
      assert.match(JSON.stringify(scene.asked().at(-1)!.body.input), /Which word\?[\s\S]*And now\?/)
    },
  )

  test(codexModel('gpt-5.5'), 'tells that a command was cut off', async ({ cwd, start }) => {
    const bench = await start([
      runTurn(`sleep 0.5; touch ${join(cwd, 'begun')}; sleep 600`),
      { text: 'Done.' },
    ])
    const from = await bench.prompt('Run it.')
    await bench.waitFor('tool', ({ status }) => status === 'running', from)
    bench.cancelTurn()
    assert.equal((await bench.turnEnded()).stop_reason, 'canceled')
    assert.deepEqual(statuses(bench.updates), ['failed'])
  })
})
