import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type SessionPlace, sessionPlace } from '../../../test/support/runner/session-fixture.ts'
import { builtinActionRegistry } from '../../actions/registry.ts'
import type { RunEvent } from '../../contract/events.ts'
import { Engine } from '../../engine/engine.ts'
import { BoundedOutputStore } from '../../stores/outputs/bounded.ts'
import { FileRunStore } from '../../stores/runs/file.ts'
import { openAttempts } from '../open-attempts.ts'
import { AttemptsHost } from './attempts-host.ts'
import { LocalHost } from './local-host.ts'

function open(here: SessionPlace) {
  const cwd = join(here.path, 'work')
  mkdirSync(cwd, { recursive: true })
  const sessions = new AttemptsHost({
    root: join(here.path, 'local'),
    graceMs: 200,
    open: async (folder) =>
      openAttempts({
        dir: join(folder, 'attempts'),
        workspaceDir: join(folder, 'workspaces'),
        registry: builtinActionRegistry,
        agents: here.agents,
      }),
  })
  const host = new LocalHost({ registry: builtinActionRegistry, cwd, graceMs: 200, sessions })
  const outputs = new BoundedOutputStore({ spillDir: join(here.path, 'spill') })
  const store = new FileRunStore({ dir: join(here.path, 'store') })
  const engine = new Engine({ store, host, outputs })
  const close = async () => {
    await host.close()
    await engine.close()
    await outputs.close()
    await store.close()
  }
  return { engine, close, cwd }
}

const flow = (here: SessionPlace, prompt: string, args: object = {}) => {
  const { args: own, env } = here.spec(prompt, { cwd: join(here.path, 'work'), ...args })
  return {
    version: 'v0.1',
    name: 'flow',
    steps: [
      { name: 'talk', action: 'agent.run', args: own, env, outputs: { ANSWER: 'answer' } },
      { name: 'after', action: 'cmd.run', args: { cmd: 'printf %s "$ANSWER" >after.txt' } },
    ],
  }
}

async function waitFor(engine: Engine, runId: string, fits: (event: RunEvent) => boolean): Promise<RunEvent> {
  for await (const event of engine.watch(runId, 0)) if (fits(event)) return event
  throw new Error('it did not come')
}

const isPermission = (event: RunEvent) => event.type === 'agent.update' && event.update.kind === 'permission'

test('an agent is a step of a local workflow: it asks, gets its answer, and passes it to the next step', async () => {
  using here = sessionPlace()
  const { engine, close, cwd } = open(here)
  const { run_id } = await engine.submit({
    workflow: flow(here, 'ask a.txt\nsay It is done.', { permissions: 'ask' }),
  })
  const event = await waitFor(engine, run_id, isPermission)
  assert.ok(event.type === 'agent.update' && event.update.kind === 'permission')
  const { request_id } = event.update
  const answer = { type: 'permission', request_id, decision: 'allow' } as const
  await assert.rejects(engine.input(run_id, { ...answer, request_id: 'other' }), { code: 'conflict' })
  const { input_id } = await engine.input(run_id, answer, { by: 'ann' })
  await engine.input(run_id, { ...answer, input_id })
  await assert.rejects(engine.input(run_id, answer), { code: 'conflict' })
  const record = await engine.done(run_id)
  assert.equal(record.status, 'success', record.message)
  assert.ok(existsSync(join(cwd, 'a.txt')))
  assert.ok(existsSync(join(cwd, 'after.txt')))
  await assert.rejects(engine.input(run_id, { type: 'prompt', text: 'more' }), { code: 'run_ended' })
  await close()
  assert.deepEqual(readdirSync(join(here.path, 'local')), [])
})

test('prompts and a close reach an interactive session; a cancel ends one', async () => {
  using here = sessionPlace()
  const { engine, close } = open(here)
  const { run_id } = await engine.submit({ workflow: flow(here, 'say one', { interactive: true }) })
  await engine.input(run_id, { type: 'prompt', text: 'say two' })
  await waitFor(engine, run_id, (event) => event.type === 'agent.update' && event.update.kind === 'idle')
  await engine.input(run_id, { type: 'close' })
  await assert.rejects(engine.input(run_id, { type: 'prompt', text: 'late' }), { code: 'no_input' })
  assert.equal((await engine.done(run_id)).status, 'success')
  const other = await engine.submit({ workflow: flow(here, 'hang') })
  await waitFor(engine, other.run_id, (event) => event.type === 'attempt.started')
  await engine.cancel(other.run_id)
  assert.equal((await engine.done(other.run_id)).status, 'canceled')
  await close()
})

test('a step that is not an agent accepts no input', async () => {
  using here = sessionPlace()
  const { engine, close, cwd } = open(here)
  const steps = [{ name: 'wait', action: 'cmd.run', args: { cmd: 'while [ ! -e go ]; do sleep 0.02; done' } }]
  const { run_id } = await engine.submit({ workflow: { version: 'v0.1', name: 'flow', steps } })
  await waitFor(engine, run_id, (event) => event.type === 'attempt.started')
  await assert.rejects(engine.input(run_id, { type: 'prompt', text: 'x' }), { code: 'no_input' })
  writeFileSync(join(cwd, 'go'), '')
  await engine.done(run_id)
  await close()
})
