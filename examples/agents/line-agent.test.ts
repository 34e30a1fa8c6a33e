import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { builtinActionRegistry } from '../../src/actions/registry.ts'
import { agentRegistry } from '../../src/agents/registry.ts'
import { agentRun, continuationRun, type FoundSession, findSession } from '../../src/blueprints/agent.ts'
import type { AgentUpdate } from '../../src/contract/agent.ts'
import type { AgentRequestInput } from '../../src/contract/agent-api.ts'
import type { RunEvent } from '../../src/contract/events.ts'
import { Engine } from '../../src/engine/engine.ts'
import { AttemptsHost } from '../../src/runner/local/attempts-host.ts'
import { openAttempts } from '../../src/runner/open-attempts.ts'
import { BoundedOutputStore } from '../../src/stores/outputs/bounded.ts'
import { MemoryRunStore } from '../../src/stores/runs/memory.ts'
import { lineAgent } from './line-agent.ts'

/** An engine on this machine that knows the example beside all other agents. */
function setup(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-line-agent-'))
  const agents = {
    known: [...agentRegistry, lineAgent],
    folder: join(folder, 'agents'),
    sessionsDir: join(folder, 'sessions'),
    allowedDirs: 'any',
  } as const
  const host = new AttemptsHost({
    root: join(folder, 'attempts'),
    open: async (dir) =>
      openAttempts({ dir, workspaceDir: join(folder, 'work'), registry: builtinActionRegistry, agents }),
  })
  const outputs = new BoundedOutputStore({ spillDir: join(folder, 'output') })
  const engine = new Engine({ store: new MemoryRunStore(), host, outputs })
  t.after(async () => {
    await host.close()
    await engine.close()
    await outputs.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  })
  const ask = (request: Partial<AgentRequestInput>) =>
    engine.submit(agentRun({ prompt: 'hello there', agent: 'line_agent', cwd: folder, ...request }))
  const until = async (runId: string, fits: (update: AgentUpdate) => boolean) => {
    for await (const event of engine.watch(runId, 0))
      if (event.type === 'agent.update' && fits(event.update)) return
    throw new Error('it did not come')
  }
  const said = async (runId: string) => {
    const length = await engine.outputLength(runId, 1, 'stdout')
    return (await engine.output(runId, 1, 'stdout', 0, length)).toString()
  }
  return { engine, ask, until, said }
}

test('an agent of one file and one line answers, and counts', async (t) => {
  const { engine, ask, said } = setup(t)
  const { run_id } = await ask({})
  const { status, outputs } = await engine.done(run_id)
  assert.equal(status, 'success')
  assert.equal(outputs?.ANSWER, 'HELLO THERE ')
  assert.equal(await said(run_id), 'HELLO THERE \n')
})

test('a follow-up goes to the same session, in the same run and in a later one', async (t) => {
  const { engine, ask, until } = setup(t)
  const { run_id } = await ask({ interactive: true })
  await until(run_id, ({ kind }) => kind === 'idle')
  await engine.input(run_id, { type: 'prompt', text: 'and again' })
  await until(run_id, (update) => update.kind === 'usage' && update.session.output_tokens === 20)
  await engine.input(run_id, { type: 'close' })
  const record = await engine.done(run_id)
  assert.equal(record.outputs?.ANSWER, 'AND AGAIN ')

  const found: FoundSession = {}
  const events: RunEvent[] = []
  for await (const event of engine.watch(run_id, 0)) findSession(found, event)
  const next = await engine.submit(continuationRun(record, found, { prompt: 'later', interactive: false }))
  await engine.done(next.run_id)
  for await (const event of engine.watch(next.run_id, 0)) events.push(event)
  const session = events.find((event) => event.type === 'agent.update' && event.update.kind === 'session')
  assert.deepEqual(session?.type === 'agent.update' && session.update, {
    kind: 'session',
    agent: 'line_agent',
    session_id: found.session_id,
    origin: 'loaded',
  })
})

test('a turn is canceled, and the run with it', async (t) => {
  const { engine, ask, until } = setup(t)
  const { run_id } = await ask({ prompt: 'slowly now' })
  await until(run_id, ({ kind }) => kind === 'message')
  await engine.cancel(run_id)
  assert.equal((await engine.done(run_id)).status, 'canceled')
})
