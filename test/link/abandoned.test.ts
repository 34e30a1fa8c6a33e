import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Engine } from '../../src/engine/engine.ts'
import { MemoryRunStore } from '../../src/stores/runs/memory.ts'
import { SimulatedOutputs } from '../support/simulated-world.ts'
import { AttemptsStandIn } from './attempts-stand-in.ts'
import { HubSetup, openRunner, until } from './setup.ts'

/** Opens a real engine whose store others also write to, a fleet, and a runner that does one step at a time. */
async function openWorld(t: TestContext) {
  const hub = await HubSetup.open()
  const store = new MemoryRunStore()
  const engine = new Engine({ store, host: hub.fleet, outputs: new SimulatedOutputs() })
  const attempts = new AttemptsStandIn(() => ({ chunks: [], forever: true }))
  const runner = openRunner(hub.url, attempts, { slots: 1 })
  t.after(async () => {
    runner.link.close()
    await runner.done
    await attempts.close()
    await engine.close()
    await hub.close()
  })
  hub.fleet.ready()
  await until('it is connected', () => hub.fleet.runners.list().length === 1)
  const submit = async () => {
    const steps = [{ name: 'a', action: 'cmd.run', args: { cmd: 'true' } }]
    const workflow = { version: 'v0.1', name: 'test', steps }
    return (await engine.submit({ workflow, tenant: 'acme' })).run_id
  }
  // The runner may reject it once, while it still has the attempt before.
  const begun = (runId: string) =>
    until(`${runId} began`, () => attempts.begun.some((each) => each.startsWith(`${runId}.1/`)))
  return { hub, store, engine, attempts, submit, begun }
}

test('the runner releases a run that is given up', async (t) => {
  const { store, engine, attempts, submit, begun } = await openWorld(t)
  const first = await submit()
  await begun(first)
  await store.markInterrupted('Ended by hand.', [first])
  await assert.rejects(engine.cancel(first), { code: 'run_ended' })
  await until('the runner has let go of it', () => attempts.released.includes(`${first}.1`))
  await begun(await submit())
})

test('a run that is given up while its step is sent to a runner leaves the slot to the next run', async (t) => {
  const { store, engine, hub, submit, begun } = await openWorld(t)
  const first = await submit()
  await begun(first)
  const second = await submit()
  const third = await submit()
  await store.markInterrupted('Ended by hand.', [second])
  await engine.cancel(first)
  await begun(third)
  assert.equal(hub.fleet.runners.list()[0]!.running, 1)
})
