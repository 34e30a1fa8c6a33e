import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { builtinActionRegistry } from '../../src/actions/registry.ts'
import { checkQuestions } from '../../src/agents/ask-check/ask-check.ts'
import { agentsFolder } from '../../src/agents/install/native-binary.ts'
import { agentRegistry } from '../../src/agents/registry.ts'
import type { RunEvent } from '../../src/contract/events.ts'
import { Engine } from '../../src/engine/engine.ts'
import { openAttempts } from '../../src/runner/open-attempts.ts'
import type { Attempts } from '../../src/runner/ports.ts'
import { FileOutputStore } from '../../src/stores/outputs/files.ts'
import { FileRunStore } from '../../src/stores/runs/file.ts'
import { HubSetup, openRunner, type RunnerSetup, until } from '../link/setup.ts'
import { agentMissing } from '../support/agent-subjects.ts'
import { startModelServer, writeFileTurn } from '../support/model-server/server.ts'

const STAND_IN = join(import.meta.dirname, '../support/acp-agent-stand-in.ts')

/** An engine over a fleet, with a durable store, and a runner. Each can be ended and started again. */
class Spine {
  readonly folder = mkdtempSync(join(tmpdir(), 'errand-spine-'))
  readonly cwd = join(this.folder, 'work')
  hub!: HubSetup
  engine!: Engine
  #store!: FileRunStore
  #outputs!: FileOutputStore
  #runner: { link: RunnerSetup; attempts: Attempts } | undefined

  static async open(context: TestContext): Promise<Spine> {
    const spine = new Spine()
    mkdirSync(spine.cwd)
    spine.hub = await HubSetup.open()
    await spine.openEngine()
    await spine.openRunner()
    context.after(async () => {
      await spine.closeRunner()
      await spine.hub.fleet.close()
      await spine.engine.close()
      await spine.#outputs.close()
      await spine.#store.close()
      await spine.hub.close()
      rmSync(spine.folder, { recursive: true, force: true, maxRetries: 10 })
    })
    return spine
  }

  async openEngine(): Promise<void> {
    this.#store = new FileRunStore({ dir: join(this.folder, 'store') })
    this.#outputs = new FileOutputStore({ dir: join(this.folder, 'output') })
    this.engine = new Engine({ store: this.#store, host: this.hub.fleet, outputs: this.#outputs })
    await this.engine.resume()
    this.hub.fleet.ready()
  }

  async restartHub(): Promise<void> {
    await this.hub.fleet.close()
    await this.engine.close()
    await this.#outputs.close()
    await this.#store.close()
    this.hub.newFleet()
    await this.openEngine()
  }

  async openRunner(): Promise<void> {
    const attempts = openAttempts({
      dir: join(this.folder, 'attempts'),
      workspaceDir: join(this.folder, 'workspaces'),
      registry: builtinActionRegistry,
      agents: {
        known: agentRegistry,
        folder: agentsFolder(process.env),
        sessionsDir: join(this.folder, 'sessions'),
        allowedDirs: [this.cwd],
        checkQuestions,
      },
    })
    await attempts.recover()
    this.#runner = { attempts, link: openRunner(this.hub.url, attempts, {}, { heartbeatMs: 200 }) }
  }

  async closeRunner(): Promise<void> {
    this.#runner?.link.link.close()
    await this.#runner?.link.done
    await this.#runner?.attempts.close()
    this.#runner = undefined
  }

  async submit(args: object, step: object = {}): Promise<string> {
    const steps = [{ name: 'talk', action: 'agent.run', args: { cwd: this.cwd, ...args }, ...step }]
    return (await this.engine.submit({ workflow: { version: 'v0.1', name: 'flow', steps }, tenant: 'acme' }))
      .run_id
  }

  /** Returns the first event that fits. It reads the log from its beginning each time. */
  async event(runId: string, fits: (event: RunEvent) => boolean): Promise<RunEvent> {
    for await (const event of this.engine.watch(runId, 0)) if (fits(event)) return event
    throw new Error(`it did not come: ${JSON.stringify(await this.engine.get(runId))}`)
  }

  async question(runId: string): Promise<string> {
    const event = await this.event(
      runId,
      (each) => each.type === 'agent.update' && each.update.kind === 'permission',
    )
    assert.ok(event.type === 'agent.update' && event.update.kind === 'permission')
    return event.update.request_id
  }

  async log(runId: string): Promise<RunEvent[]> {
    return await this.#store.events(runId, 0, 10_000)
  }
}

const command = [process.execPath, STAND_IN]
const kinds = (log: readonly RunEvent[]) =>
  log.flatMap((event) => (event.type === 'agent.update' ? [event.update.kind] : []))

test('a question survives a restart of the hub and of the runner, and is answered afterwards', async (context) => {
  const spine = await Spine.open(context)
  const runId = await spine.submit({
    agent: 'acp',
    command,
    prompt: 'ask a.txt\nsay end',
    permissions: 'ask',
  })
  const request_id = await spine.question(runId)
  await spine.restartHub()
  await spine.closeRunner()
  await spine.openRunner()
  assert.equal(await spine.question(runId), request_id)
  const answer = { type: 'permission', request_id, decision: 'allow', input_id: 'once' } as const
  await spine.engine.input(runId, answer, { by: 'ann' })
  await spine.engine.input(runId, answer, { by: 'ann' }).catch(() => undefined)
  const record = await spine.engine.done(runId)
  assert.equal(record.status, 'success', record.message)
  assert.ok(existsSync(join(spine.cwd, 'a.txt')))
  const log = await spine.log(runId)
  assert.equal(log.filter(({ type }) => type === 'input.given').length, 1)
  assert.equal(log.filter(({ type }) => type === 'input.taken').length, 1)
  assert.equal(kinds(log).filter((kind) => kind === 'permission').length, 1)
})

test('inputs that arrive while the runner is away reach the session when it is back', async (context) => {
  const spine = await Spine.open(context)
  const runId = await spine.submit({ agent: 'acp', command, prompt: 'say one', interactive: true })
  await spine.event(runId, (event) => event.type === 'agent.update' && event.update.kind === 'idle')
  await spine.closeRunner()
  await until('it is gone', () => spine.hub.fleet.runners.list()[0]?.status === 'disconnected')
  await spine.engine.input(runId, { type: 'prompt', text: 'say two' })
  await spine.restartHub()
  await spine.engine.input(runId, { type: 'prompt', text: 'say three' })
  await spine.engine.input(runId, { type: 'close' })
  await spine.openRunner()
  const record = await spine.engine.done(runId)
  assert.equal(record.status, 'success', record.message)
  assert.equal((await spine.engine.output(runId, 1, 'stdout', 0, 1000)).toString(), 'one\ntwo\nthree\n')
  assert.equal((await spine.log(runId)).filter(({ type }) => type === 'input.taken').length, 3)
})

const subjects = [
  {
    name: 'claude_code',
    model: 'claude-sonnet-4-5',
    env: (url: string) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'k' }),
  },
  {
    name: 'codex',
    model: 'gpt-5.5',
    env: (url: string) => ({ OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: 'k' }),
  },
  {
    name: 'opencode',
    model: 'anthropic/claude-sonnet-4-5',
    env: (url: string) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'k' }),
  },
  {
    name: 'copilot',
    model: 'test-model',
    env: (url: string) => ({ COPILOT_PROVIDER_BASE_URL: `${url}/v1`, COPILOT_PROVIDER_API_KEY: 'k' }),
  },
  {
    name: 'builtin',
    model: 'gpt-4.1',
    env: (url: string) => ({ OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: 'k' }),
  },
]
for (const { name, model, env } of subjects) {
  test(`${name} through hub and runner: asks, is answered after both restarted, and the answer is stored`, {
    timeout: 240_000,
  }, async (context) => {
    const agent = agentRegistry.find((each) => each.name === name)!
    const located = await agent.locate({ folder: agentsFolder(process.env), env: process.env })
    if (located.type !== 'found') return context.skip(agentMissing(agent, located))
    const spine = await Spine.open(context)
    const file = join(spine.cwd, 'made.txt')
    const server = await startModelServer({
      script: [writeFileTurn(file, 'made\n'), { text: 'It is made.' }],
    })
    context.after(() => server.stop())
    const runId = await spine.submit(
      { agent: name, model, prompt: 'Make the file made.txt.', permissions: 'ask' },
      { env: env(server.url), outputs: { ANSWER: 'answer', FILES: 'files' } },
    )
    const request_id = await spine.question(runId)
    assert.equal(existsSync(file), false)
    await spine.restartHub()
    await spine.closeRunner()
    await spine.openRunner()
    await spine.engine.input(runId, { type: 'permission', request_id, decision: 'allow' })
    const record = await spine.engine.done(runId)
    const log = await spine.log(runId)
    assert.equal(record.status, 'success', `${record.message} ${JSON.stringify(log.slice(-8))}`)
    assert.ok(existsSync(file))
    const end = log.find((event) => event.type === 'attempt.finished')
    assert.equal(end?.exports?.ANSWER, 'It is made.')
    assert.equal(end?.exports?.FILES, '["made.txt"]')
    assert.equal(kinds(log).filter((kind) => kind === 'permission').length, 1)
  })
}

test('a program that never asks is refused if it must ask or must use no tools', async (context) => {
  const spine = await Spine.open(context)
  for (const permissions of ['ask', 'deny']) {
    const args = { agent: 'acp', command, prompt: 'say x', permissions }
    const runId = await spine.submit(args, { env: { STAND_IN_UNASKED: 'write' } })
    const { status, reason, message } = await spine.engine.done(runId)
    assert.deepEqual([status, reason], ['failed', 'permission'])
    assert.match(message!, /it wrote a file without asking/)
    assert.equal((await spine.engine.done(await spine.submit(args))).status, 'success')
  }
})
