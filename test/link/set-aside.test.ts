import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { AttemptSpec } from '../../src/contract/attempt.ts'
import type { WorkflowFile } from '../../src/contract/workflow.ts'
import { Engine } from '../../src/engine/engine.ts'
import type { RunStore } from '../../src/engine/ports.ts'
import type { Fleet } from '../../src/hub/fleet/fleet.ts'
import { MemoryRunStore } from '../../src/stores/runs/memory.ts'
import { alteredStore } from '../support/altered-store.ts'
import { SimulatedOutputs } from '../support/simulated-world.ts'
import { AttemptsStandIn, type Script } from './attempts-stand-in.ts'
import { HubSetup, openRunner, type RunnerSetup, until } from './setup.ts'

const hello: Script = { chunks: [{ stream: 'stdout', bytes: Buffer.from('hello\n') }] }
const forever: Script = { chunks: [], forever: true }

const step = (name: string, needs: string[] = []): WorkflowFile['steps'][number] => ({
  name,
  action: 'cmd.run',
  args: { cmd: 'true' },
  needs,
})

/** Opens an engine on a fleet with a runner of one slot. `restart` restarts the hub. */
async function openWorld(t: TestContext, script: (spec: AttemptSpec) => Script) {
  const hub = await HubSetup.open()
  const store = new MemoryRunStore()
  const outputs = new SimulatedOutputs()
  const start = (fleet: Fleet, of: RunStore = store) => new Engine({ store: of, host: fleet, outputs })
  const attempts = new AttemptsStandIn(script)
  const runners: RunnerSetup[] = []
  const world = {
    hub,
    store,
    attempts,
    engine: start(hub.fleet),
    get runner() {
      return hub.fleet.runners.list()[0]
    },
    async submit(runId: string, ...steps: WorkflowFile['steps']) {
      const workflow = { version: 'v0.1', name: 'flow', steps }
      await world.engine.submit({ run_id: runId, workflow, tenant: 'acme' })
    },
    connect() {
      runners.push(openRunner(hub.url, attempts, { slots: 1 }))
    },
    async disconnect() {
      runners.at(-1)!.link.close()
      await until('it is away', () => world.runner?.status === 'disconnected')
    },
    async restart(of?: RunStore) {
      await hub.fleet.close()
      await world.engine.close()
      world.engine = start(hub.newFleet(), of)
      await world.engine.resume()
      hub.fleet.ready()
    },
  }
  t.after(async () => {
    for (const { link } of runners) link.close()
    await Promise.all(runners.map(({ done }) => done.catch(() => {})))
    await world.engine.close()
    await hub.close()
  })
  hub.fleet.ready()
  world.connect()
  await until('it is connected', () => world.runner?.status === 'connected')
  return world
}

test('a report that sets its run aside stays with its runner, whose slot is free, and counts after a resume', async (t) => {
  const world = await openWorld(t, () => hello)
  const { hub, attempts, engine } = world
  // The decision that follows the end of its first step throws.
  const place = hub.fleet.place.bind(hub.fleet)
  hub.fleet.place = (spec) => {
    if (spec.step === 'b') throw new TypeError('place is broken')
    return place(spec)
  }
  await world.submit('r', step('a'), step('b', ['a']))
  await until('it is set aside', () => engine.setAside().length === 1)
  assert.equal(world.runner!.running, 0)
  assert.deepEqual([attempts.all().length, attempts.released], [1, []])
  await world.submit('other', step('a'))
  assert.equal((await engine.done('other')).status, 'success')
  // The runner's welcome does not mention the attempt either, and its workspace stays.
  await world.disconnect()
  world.connect()
  await until('it is back', () => world.runner?.status === 'connected')
  await world.submit('third', step('a'))
  assert.equal((await engine.done('third')).status, 'success')
  assert.ok(attempts.held.has('r.1'))
  assert.ok(!attempts.forgotten.includes('r'))
  hub.fleet.place = place
  await engine.resumeRun('r')
  assert.equal((await engine.done('r')).status, 'success')
  assert.deepEqual(
    attempts.begun.filter((id) => id.startsWith('r.')),
    ['r.1/1', 'r.2/1'],
  )
  await until('all is let go of', () => attempts.held.size === 0)
})

test('a run set aside at the start of the hub keeps its attempt on the runner, and its cancel ends that', async (t) => {
  const world = await openWorld(t, () => forever)
  const { store, attempts } = world
  await world.submit('r', step('a'))
  await until('it runs', () => attempts.all().length === 1)
  await world.restart(alteredStore(store, { events: async () => [] }))
  await until('the runner is back', () => world.runner?.status === 'connected')
  assert.deepEqual(world.engine.setAside(), ['r'])
  await world.submit('other', step('a'))
  await until('another one runs beside it', () => attempts.all().length === 2)
  assert.deepEqual(attempts.released, [])
  await world.engine.cancel('r')
  await until('it is ended', () => attempts.released.includes('r.1') && attempts.forgotten.includes('r'))
  assert.ok(attempts.held.has('other.1'))
})
