import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { alteredStore } from '../../test/support/altered-store.ts'
import { scriptedEngine, statusesOf, step, until } from '../../test/support/scripted-engine.ts'
import { MemoryRunStore } from '../stores/runs/memory.ts'

test('a run has the id that it is given, once', async (t) => {
  const { submit, engine, host } = scriptedEngine(t)
  const both = await Promise.allSettled([1, 2].map(() => submit([step('a')], {}, { run_id: 'mine' })))
  assert.deepEqual(both.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  await engine.done('mine')
  await assert.rejects(submit([step('b')], {}, { run_id: 'mine' }), { code: 'run_exists' })
  await assert.rejects(submit([step('b')], {}, { run_id: '../up' }), { code: 'invalid_argument' })
  assert.deepEqual([host.ran, host.placed.size], [['a'], 0])
})

test('refuses an invalid workflow with every problem, and creates no run', async (t) => {
  const { engine } = scriptedEngine(t)
  const yaml =
    'version: v0.1\nname: x\nsteps:\n  - name: a\n    action: cmd.rum\n  - name: a\n    action: noop\n'
  await assert.rejects(
    engine.submit({ yaml }),
    (error: { code: string; details: { problems: unknown[] } }) => {
      assert.equal(error.code, 'invalid_workflow')
      assert.ok(error.details.problems.length >= 2)
      return true
    },
  )
  await assert.rejects(engine.submit({}), { code: 'bad_request' })
  assert.deepEqual((await engine.list({ limit: 10 })).runs, [])
})

test('a run can be canceled while it is being created', async (t) => {
  const stored = new MemoryRunStore()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  let creating = false
  const store = alteredStore(stored, {
    create: async (...args) => {
      creating = true
      await released
      await stored.create(...args)
    },
  })
  const { submit, engine, host } = scriptedEngine(t, () => 'hold', { store })
  const submitted = submit([step('a')], {}, { run_id: 'r' })
  await until(() => creating)
  const canceled = engine.cancel('r')
  release()
  await Promise.all([submitted, canceled])
  assert.equal((await engine.done('r')).status, 'canceled')
  assert.deepEqual([statusesOf(await engine.view('r')), host.held.size], [['a: canceled canceled'], 0])
})

test('refuses to wait for a run that does not exist, and returns at once for an ended one', async (t) => {
  const { play, engine } = scriptedEngine(t)
  await assert.rejects(engine.done('nowhere'), { code: 'run_not_found' })
  await assert.rejects(engine.view('nowhere'), { code: 'run_not_found' })
  const { run_id } = await play([step('a')])
  const [one, two] = await Promise.all([engine.done(run_id), engine.done(run_id)])
  assert.deepEqual(one, two)
})

test('without setting aside, an error in deciding ends the run with its text, and leaves no process and no gap', async (t) => {
  const reported: string[] = []
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold', {
    log: (message) => reported.push(message),
    onStoreFailure: 'abandon',
  })
  const runId = await submit([
    step('a', { needs: [] }),
    step('b', { needs: [] }),
    step('c', { needs: ['a'] }),
  ])
  const { sink } = host.of('b')
  host.obeys = false
  host.place = () => {
    throw new TypeError('place is broken')
  }
  await host.endOf('a')
  const record = await engine.done(runId)
  assert.deepEqual([record.status, record.reason, record.message], ['failed', 'internal', 'place is broken'])
  assert.match(reported[0]!, /is aborted: place is broken/)
  assert.deepEqual(host.canceled, [{ id: `${runId}.2`, reason: 'internal', force: true }])
  await sink.report({ type: 'ended', outcome: 'canceled' }, 1)
  const log = await events(runId)
  assert.deepEqual(
    log.map(({ seq }) => seq),
    log.map((_, index) => index + 1),
  )
  assert.equal(log.at(-1)?.type, 'run.finished')
  assert.deepEqual(host.endedRuns, [runId])
  assert.equal((await engine.view(runId)).steps[2]!.status, 'interrupted')
})

test('a host that throws unexpectedly delays no other run', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'success', { log: () => {} })
  host.runEnded = () => {
    throw new Error('runEnded is broken')
  }
  for (const id of ['r1', 'r2']) {
    await submit([step('a')], { concurrency: { group: 'g' } }, { run_id: id })
    assert.equal((await engine.done(id)).status, 'success')
  }
})

test('a closed engine starts nothing, and closing it again does no harm', async (t) => {
  const { submit, engine } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const done = assert.rejects(engine.done(runId), { code: 'unavailable' })
  await Promise.all([engine.close(), engine.close()])
  await engine.close()
  await done
  await assert.rejects(submit([step('b')]), { code: 'unavailable' })
  await assert.rejects(engine.cancel(runId), { code: 'unavailable' })
  assert.equal((await engine.get(runId))?.status, 'running')
})

test('a program exits by itself once it has closed the engine', async () => {
  const program = `
    import { Engine } from './src/engine/engine.ts'
    import { MemoryRunStore } from './src/stores/runs/memory.ts'
    import { ScriptedHost } from './test/support/scripted-host.ts'
    import { SimulatedOutputs } from './test/support/simulated-world.ts'
    const host = new ScriptedHost(({ step }) => (step === 'b' ? 'hold' : 'success'))
    const engine = new Engine({ store: new MemoryRunStore(), host, outputs: new SimulatedOutputs(), notifier: { notify: () => new Promise(() => {}) } })
    const steps = (name) => [{ name, action: 'noop' }]
    const workflow = { version: 'v0.1', name: 'w', timeout_seconds: 3600 }
    await engine.submit({ workflow: { ...workflow, steps: steps('a') } })
    await engine.submit({ workflow: { ...workflow, steps: steps('b') } })
    await host.of('b').sink.output('stdout', 0, Buffer.from('x'))
    host.of('b').sink.waiting('a while')
    await engine.close()
    console.log('closed')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.on('data', (text) => (out += text))
  const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(180_000) })
  assert.deepEqual([code, out], [0, 'closed\n'])
})
