import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { Agent, Located, Program, SessionRequest } from '../../src/agents/agent.ts'
import { agentsFolder } from '../../src/agents/install/native-binary.ts'
import type { AgentUpdate } from '../../src/contract/agent.ts'
import type { ErrandError } from '../../src/contract/errors.ts'
import { AgentBench, type BenchFolder, benchFolder, textOf } from '../support/agent-bench.ts'
import { agentMissing } from '../support/agent-subjects.ts'
import type { ModelRequest } from '../support/model-server/request.ts'
import {
  type ModelServer,
  readFileTurn,
  runTurn,
  type Script,
  startModelServer,
  type Turn,
  writeFileTurn,
} from '../support/model-server/server.ts'
import { chooseTool } from '../support/model-server/tool-choice.ts'
import { onlyLarge } from '../support/size.ts'

/** Describes what the suite must know about an agent beside its driver. */
export interface Subject {
  agent: Agent
  /** The located program, if it should not be searched for. */
  located?: Located
  /** Points the agent at a model server (base URL without `/v1`), with a key. */
  point(url: string, key: string): Partial<SessionRequest> & { env: Record<string, string>; model: string }
  /** A model name that this agent itself refuses before it asks the server. If absent, it accepts any name. */
  unknownModel?: string
  /** Whether it never ends the turn by itself while its model service is dead. */
  retriesForever?: boolean
  /** Whether it reads without asking. A session in which it should ask is refused. */
  readsUnasked?: boolean
  /**
   * The failing answers of its model service after which it reports a retry: their status and number; default: one of
   * 429.
   */
  retries?: { status: number; after: number }
  /** Updates that the agent cannot report. */
  lacks?: readonly ('usage' | 'diff' | 'deltas')[]
}

/** Tests that `npm test` runs with each agent's program. The built-in agent runs all tests. */
const SMOKE = [
  'streams an answer, and ends the turn with its usage',
  'writes a file with its own tool and reports the tool call',
  'can be canceled in the middle of a command, and leaves nothing of it',
]

/** Runs one suite for every agent. Each test starts the real program with its own scripted model server. */
export async function agentConformance(subject: Subject): Promise<void> {
  const { agent } = subject
  const isWhole =
    agent.name === 'builtin' || onlyLarge('each installed agent’s program: all but three tests of the suite')
  const located =
    subject.located ?? (await agent.locate({ folder: agentsFolder(process.env), env: process.env }))

  // A CLI spends most of the time waiting, with its own retries, for what a test has taken away.
  describe(`agent ${agent.name}`, { concurrency: 3 }, () => {
    const skip = located.type === 'found' ? false : agentMissing(agent, located)

    /** Defines a test with folders, and with benches that end with it. */
    const test = (name: string, body: (setup: Setup) => Promise<void>) =>
      (isWhole || SMOKE.includes(name)) &&
      it(name, { skip, timeout: 240_000 }, async (context) => {
        if (located.type !== 'found') return
        const setup = new Setup(subject, located.program, context)
        await body(setup)
      })

    test('streams an answer, and ends the turn with its usage', async (setup) => {
      await setup.serve([{ text: 'The answer is forty-two.' }])
      const bench = setup.start()
      const updates = await bench.turn('What is the answer?')
      assert.match(textOf(updates), /The answer is forty-two\./)
      assert.equal(updates.at(-1)?.kind, 'turn_ended')
      assertEnd(updates, 'end_turn')
      if (!subject.lacks?.includes('usage')) {
        const usage = updates.findLast((each) => each.kind === 'usage')
        assert.ok(usage !== undefined && usage.turn.output_tokens > 0, bench.describe())
      }
      const session = bench.updates.find((each) => each.kind === 'session')
      assert.equal(session?.origin, 'new')
      assert.equal(session?.agent, agent.name)
      assertReplays(bench)
    })

    test('writes a file with its own tool and reports the tool call', async (setup) => {
      const path = join(setup.cwd, 'made.txt')
      await setup.serve([writeFileTurn(path, 'made by a tool\n'), { text: 'Done.' }])
      const bench = setup.start({ ask: 'allow' })
      const updates = await bench.turn('Write the file.')
      assert.equal(readFileSync(path, 'utf8'), 'made by a tool\n', bench.describe())
      assertEnd(updates, 'end_turn')
      const tools = updates.filter((each) => each.kind === 'tool')
      const last = tools.findLast((each) => each.status === 'completed')
      assert.ok(last, bench.describe())
      const same = tools.filter((each) => each.tool_id === last.tool_id)
      assert.ok(
        same.some((each) => each.tool_kind === 'edit'),
        bench.describe(),
      )
      assert.ok(
        same.some((each) => each.title !== undefined),
        bench.describe(),
      )
      if (!subject.lacks?.includes('diff')) {
        const diffs = same.flatMap((each) => each.diffs ?? [])
        assert.ok(
          diffs.some((each) => each.path.endsWith('made.txt')),
          bench.describe(),
        )
      }
      assertReplays(bench)
    })

    for (const decision of ['allow', 'deny'] as const) {
      test(`asks before it writes, and accepts "${decision}" as an answer`, async (setup) => {
        const path = join(setup.cwd, 'asked.txt')
        await setup.serve([writeFileTurn(path, 'asked\n'), { text: 'Done.' }])
        const bench = setup.start({ ask: 'ask' })
        await bench.prompt('Write the file.')
        const permission = await bench.waitFor('permission')
        assert.equal(existsSync(path), false)
        assert.notEqual(permission.title, '')
        bench.answer(permission.request_id, decision)
        await bench.turnEnded()
        assert.equal(existsSync(path), decision === 'allow', bench.describe())
        assertReplays(bench)
      })
    }

    if (subject.readsUnasked !== true)
      test('asks before it reads, if requested', async (setup) => {
        const path = join(setup.cwd, 'read.txt')
        writeFileSync(path, 'what stands in the file\n')
        const server = await setup.serve([readFileTurn(path), { text: 'Done.' }])
        const bench = setup.start({ ask: 'ask', asks_reading: true })
        await bench.prompt('Read the file.')
        const permission = await bench.waitFor('permission')
        assert.equal(permission.tool_kind, 'read', bench.describe())
        bench.answer(permission.request_id, 'deny')
        await bench.turnEnded()
        assert.doesNotMatch(JSON.stringify(server.scripted.at(-1)?.body), /what stands in the file/)
      })

    test('denies without asking, if requested', async (setup) => {
      const path = join(setup.cwd, 'denied.txt')
      await setup.serve((request) =>
        request.index === 0 ? ifOffered(writeFileTurn(path, 'denied\n'), request) : { text: 'Done.' },
      )
      const bench = setup.start({ ask: 'deny' })
      const updates = await bench.turn('Write the file.')
      assert.equal(existsSync(path), false, bench.describe())
      assert.ok(!updates.some((each) => each.kind === 'permission'), bench.describe())
    })

    test('can be canceled in the middle of a command, and leaves nothing of it', async (setup) => {
      const started = join(setup.cwd, 'started')
      await setup.serve([runTurn(`touch ${started}; sleep 600`), { text: 'Done.' }])
      const bench = setup.start({ ask: 'allow' })
      await bench.prompt('Run it.')
      await bench.until(() => existsSync(started))
      bench.cancelTurn()
      const end = await bench.turnEnded()
      assert.equal(end.stop_reason, 'canceled', bench.describe())
      await bench.kill()
      assert.deepEqual(bench.processes(), [])
      assertReplays(bench)
    })

    test('can be canceled while a permission is open', async (setup) => {
      const path = join(setup.cwd, 'asked.txt')
      await setup.serve([writeFileTurn(path, 'asked\n'), { text: 'Done.' }])
      const bench = setup.start({ ask: 'ask' })
      await bench.prompt('Write the file.')
      await bench.waitFor('permission')
      bench.cancelTurn()
      const end = await bench.turnEnded()
      assert.equal(end.stop_reason, 'canceled', bench.describe())
      assert.equal(existsSync(path), false)
    })

    test('continues the same session with a follow-up', async (setup) => {
      const server = await setup.serve([{ text: 'First.' }, { text: 'Second.' }])
      const bench = setup.start()
      await bench.turn('One: remember cucumber.')
      const updates = await bench.turn('Two.')
      assert.match(textOf(updates), /Second\./)
      assert.match(JSON.stringify(server.scripted.at(-1)?.body), /remember cucumber/)
    })

    test('resumes an earlier session in a new process', async (setup) => {
      const server = await setup.serve([{ text: 'First.' }, { text: 'Second.' }])
      const first = setup.start()
      await first.turn('One: remember cucumber.')
      const known = first.updates.findLast((each) => each.kind === 'session' && each.session_id !== undefined)
      assert.ok(known?.kind === 'session' && known.session_id !== undefined, first.describe())
      await first.close()
      await first.kill()
      const second = setup.start({ session_id: known.session_id })
      const updates = await second.turn('Two.')
      assert.match(textOf(updates), /Second\./)
      assert.doesNotMatch(textOf(second.updates), /First\./)
      assert.equal(second.updates.find((each) => each.kind === 'session')?.origin, 'loaded')
      assert.match(JSON.stringify(server.scripted.at(-1)?.body), /remember cucumber/)
      assertReplays(second)
    })

    test('reports that a session does not exist', async (setup) => {
      await setup.serve([{ text: 'First.' }])
      let bench: AgentBench
      try {
        bench = setup.start({ session_id: '00000000-0000-4000-8000-000000000000' })
      } catch (error) {
        // The agent knows it before its program is started.
        assert.equal((error as ErrandError).code, 'invalid_argument')
        return
      }
      await bench.until(() => bench.failure !== undefined || bench.exit !== undefined || bench.readyCount > 0)
      // An agent that finds out with the first prompt reports it as the end of that turn.
      if (bench.readyCount > 0 && bench.failure === undefined && bench.exit === undefined) {
        const end = (await bench.turn('One.')).at(-1)
        assert.ok(end?.kind === 'turn_ended' && end.stop_reason === 'error', bench.describe())
      }
    })

    const failures = [
      [401, 'auth'],
      [429, 'rate_limit'],
      [500, 'server_error'],
    ] as const
    for (const [status, failure] of failures) {
      test(`a model service that answers ${status} is a failure, never a success`, async (setup) => {
        await setup.serve(() => ({ fail: { status, headers: soon } }))
        const bench = setup.start()
        const updates = await bench.turn('Hello.')
        assertEnd(updates, 'error', failure === 'server_error' ? [failure, 'overloaded'] : [failure])
        assertReplays(bench)
      })
    }

    test('reports that its model service failed and is tried again', async (setup) => {
      const { status, after } = subject.retries ?? { status: 429, after: 1 }
      await setup.serve(({ index }) => (index < after ? { fail: { status } } : { text: 'At last.' }))
      const bench = setup.start()
      const updates = await bench.turn('Hello.')
      assertEnd(updates, 'end_turn')
      assert.match(textOf(updates), /At last\./)
      assert.ok(
        updates.some((each) => each.kind === 'retry'),
        bench.describe(),
      )
      assertReplays(bench)
    })

    test("reports a model's refusal, not a success", async (setup) => {
      await setup.serve(() => ({ stop: 'refusal' }))
      const bench = setup.start()
      const end = (await bench.turn('Hello.')).at(-1)
      assert.ok(end?.kind === 'turn_ended' && end.stop_reason !== 'end_turn', bench.describe())
    })

    test('an unreachable model service is a failure, never a success', async (setup) => {
      const bench = setup.start({}, await closedPort())
      await bench.prompt('Hello.')
      if (subject.retriesForever === true) {
        // The inactivity budget ends it. Nothing of it may be left then.
        await bench.kill()
        assert.deepEqual(bench.processes(), [])
        return
      }
      const end = await bench.turnEnded()
      assert.equal(end.stop_reason, 'error', bench.describe())
      assert.equal(end.failure, 'unreachable', bench.describe())
    })

    test('a stream that breaks is a failure, never a success', async (setup) => {
      await setup.serve(() => ({
        text: 'This answer will never be whole. '.repeat(40),
        breakAfterBytes: 900,
      }))
      const bench = setup.start()
      await bench.prompt('Hello.')
      // An agent that never gives up must at least report its retries.
      const events_ = () =>
        subject.retriesForever === true && bench.updates.some((each) => each.kind === 'retry')
      await bench.until(() => events_() || bench.updates.some((each) => each.kind === 'turn_ended'))
      const end = bench.updates.find((each) => each.kind === 'turn_ended')
      if (end !== undefined) assert.equal(end.stop_reason, 'error', bench.describe())
      await bench.kill()
    })

    if (subject.unknownModel !== undefined) {
      const model = subject.unknownModel
      test("refuses an unknown model in the model service's words", async (setup) => {
        await setup.serve([{ text: 'Hello.' }])
        const bench = setup.start({ model })
        await bench.until(
          () => bench.failure !== undefined || bench.exit !== undefined || bench.readyCount > 0,
        )
        if (bench.failure === undefined && bench.exit === undefined) await bench.turn('Hello.')
        const end = bench.updates.findLast((each) => each.kind === 'turn_ended')
        assert.ok(bench.failure !== undefined || end?.failure === 'bad_model', bench.describe())
        assert.match(`${bench.failure?.message}${end?.message}`, new RegExp(model.split('/').at(-1)!))
      })
    }

    it('ignores lines that are not part of its protocol', (context) => {
      const { protocol, updates, failures } = bareProtocol(subject, context)
      protocol.begin()
      for (const line of [
        '',
        'garbage',
        '{',
        '[]',
        'null',
        '42',
        '"text"',
        '{"type":"nothing"}',
        '\u0000\u001b[2J',
      ])
        protocol.line(line)
      assert.deepEqual(
        updates.filter(({ kind }) => kind !== 'notice'),
        [],
      )
      assert.deepEqual(failures, [])
      protocol.exited({ code: 3, stderr: 'some last words' })
      const reported = JSON.stringify([failures, updates])
      assert.match(reported, /some last words/)
      assert.match(reported, /3/)
    })
  })
}

/**
 * Holds what one test of the suite needs: a server, folders, and its processes. All of it is removed after the test.
 */
class Setup {
  readonly cwd: string
  readonly #folder: BenchFolder
  readonly #subject: Subject
  readonly #program: Program
  #server: ModelServer | undefined

  constructor(subject: Subject, program: Program, context: TestContext) {
    this.#subject = subject
    this.#program = program
    this.#folder = benchFolder(context)
    this.cwd = this.#folder.cwd
  }

  async serve(script: Script): Promise<ModelServer> {
    const server = await startModelServer({ script })
    this.#folder.atEnd(() => server.stop())
    this.#server = server
    return server
  }

  start(change: Partial<SessionRequest> = {}, url = this.#server?.url ?? ''): AgentBench {
    const { agent } = this.#subject
    const request = {
      ...emptyRequest(this.cwd, this.#folder.home),
      ...this.#subject.point(url, 'test-key'),
      ...change,
    }
    const bench = new AgentBench(agent, this.#program, request)
    this.#folder.atEnd(() => bench.kill(0))
    return bench
  }
}

function emptyRequest(cwd: string, home: string): SessionRequest {
  return { cwd, home, extra_args: [], ask: 'allow', new_session_id: randomUUID(), env: {} }
}

function bareProtocol(subject: Subject, context: TestContext) {
  const folder = benchFolder(context)
  const updates: AgentUpdate[] = []
  const failures: unknown[] = []
  const request = {
    ...emptyRequest(folder.cwd, folder.home),
    ...subject.point('http://127.0.0.1:9', 'test-key'),
  }
  const protocol = subject.agent.protocol(request, {
    send: () => {},
    update: (update) => void updates.push(update),
    ready: () => {},
    failed: (failure) => void failures.push(failure),
  })
  return { protocol, updates, failures }
}

/** Shortens the retries of the agents that respect it. */
const soon = { 'retry-after-ms': '20' }

/** Returns the turn if its tool is offered: some agents do not even offer a tool that may not be used. */
function ifOffered(turn: Turn, request: ModelRequest): Turn {
  try {
    for (const wish of turn.toolCalls ?? []) chooseTool(wish, request.tools)
    return turn
  } catch {
    return { text: 'There is no such tool.' }
  }
}

/** Asserts that the last update ends the turn for this reason. */
function assertEnd(updates: readonly AgentUpdate[], reason: string, failures?: readonly string[]): void {
  const end = updates.at(-1)
  const reported = JSON.stringify(updates.slice(-6))
  assert.ok(end?.kind === 'turn_ended', reported)
  assert.equal(end.stop_reason, reason, reported)
  if (failures !== undefined) {
    assert.ok(failures.includes(end.failure ?? 'none'), reported)
    assert.ok((end.message ?? '') !== '', reported)
  }
}

/** Asserts that the same calls lead to the same lines and updates. */
function assertReplays(bench: AgentBench): void {
  const again = bench.replay()
  assert.deepEqual(again.sent, bench.sent)
  assert.deepEqual(again.updates, bench.updates)
}

/** Returns an address where no server listens. */
async function closedPort(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return `http://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 9}`
}
