import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { alteredStore } from '../../test/support/altered-store.ts'
import { scriptedEngine, statusesOf, step, until } from '../../test/support/scripted-engine.ts'
import { MemoryRunStore } from '../stores/runs/memory.ts'

test('a running attempt resumes where it is, with what the log knows of it', async (t) => {
  const { submit, engine, host, again, store } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a'), step('b')])
  const { sink } = host.of('a')
  await sink.report({ type: 'started', pid: 7 }, 1)
  await sink.report({ type: 'phase', phase: 'pulling' }, 1)
  await engine.close()
  await assert.rejects(sink.report({ type: 'ended', outcome: 'success' }, 1), { code: 'unavailable' })
  await assert.rejects(sink.output('stdout', 0, Buffer.from('x')), { code: 'unavailable' })
  const after = again()
  await after.resume()
  assert.deepEqual(
    host.resumed.map(({ known, placement }) => [known, placement]),
    [
      [
        { started: true, reports: 2, streams: {} },
        { runner: 'scripted', storage_id: 'storage', epoch: 1 },
      ],
    ],
  )
  await host.endOf('a')
  await host.endOf('b')
  assert.equal((await after.done(runId)).status, 'success')
  assert.deepEqual(host.ran, ['a', 'b'])
  assert.equal((await store.events(runId, 0, 100)).filter(({ type }) => type === 'attempt.created').length, 2)
})

test('an attempt that waits again when the engine stops has no machine, and gets its next epoch', async (t) => {
  const { submit, engine, host, again, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  // Its machine began to drain between the commit of its placement and its start.
  host.of('a').sink.waiting('runner "scripted" is draining')
  await engine.close()
  const after = again()
  await after.resume()
  assert.deepEqual(
    host.resumed.map(({ known, placement }) => [known, placement]),
    [[{ started: false, reports: 0, streams: {}, epoch: 1 }, undefined]],
  )
  const { sink } = host.of('a')
  assert.equal(await sink.assigned({ runner: 'scripted', epoch: 2 }), true)
  await sink.report({ type: 'started', pid: 7 }, 2)
  await sink.report({ type: 'ended', outcome: 'success' }, 2)
  assert.equal((await after.done(runId)).status, 'success')
  const epochs = (await events(runId)).flatMap((event) => ('epoch' in event ? [event.epoch] : []))
  assert.deepEqual(epochs, [1, 2])
})

test("the box that the runner's group required is stored with the placement, even if it changes later", async (t) => {
  const { submit, engine, host, again } = scriptedEngine(t, () => 'hold')
  const ofGroup = { isolation: 'sandbox', network: { allow: ['a.example'] } } as const
  const place = host.place.bind(host)
  host.place = (spec) => ({ ...place(spec), ...ofGroup }) as never
  await submit([step('a')])
  host.full = () => 'no runner is free'
  host.place = place
  await submit([step('b')])
  assert.equal(await host.of('b').sink.assigned({ runner: 'r1', epoch: 1, isolation: 'container' }), true)
  await engine.close()
  const after = again()
  await after.resume()
  const storage = { runner: 'scripted', storage_id: 'storage', epoch: 1 }
  assert.deepEqual(
    host.resumed.map(({ placement }) => placement),
    [
      { ...storage, ...ofGroup },
      { runner: 'r1', storage_id: undefined, epoch: 1, isolation: 'container' },
    ],
  )
})

test('output that is stored but not in the log is recorded, without splitting a character', async (t) => {
  const { submit, engine, host, again, outputs, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const text = Buffer.from('one é two €\n')
  await host.of('a').sink.output('stdout', 0, text.subarray(0, 5))
  await engine.close()
  // Output that arrived just before the end, up to the middle of the last character.
  await outputs.append(`${runId}.1`, 'stdout', 5, text.subarray(5, text.length - 2))
  const after = again()
  await after.resume()
  assert.deepEqual(host.resumed[0]!.known.streams, { stdout: text.length - 2 })
  const { sink } = host.of('a')
  const reader = after.watch(runId, 0)
  assert.equal(await sink.output('stdout', text.length - 4, text.subarray(text.length - 4)), text.length)
  await host.endOf('a')
  const texts: string[] = []
  for await (const event of reader) if (event.type === 'output') texts.push(event.text!)
  assert.equal(texts.join(''), text.toString())
  let reported = 0
  for (const event of await events(runId))
    if (event.type === 'output') {
      assert.equal(event.offset, reported)
      reported += event.length
    }
  assert.equal(reported, text.length)
})

test('if stored output was lost, no byte is recorded twice', async (t) => {
  const { submit, engine, host, again, outputs, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  await host.of('a').sink.output('stdout', 0, Buffer.from('0123456789'))
  await until(async () => (await events(runId)).some(({ type }) => type === 'output'))
  await engine.close()
  outputs.kept.delete(`${runId}.1/stdout`)
  const after = again()
  await after.resume()
  assert.deepEqual(host.resumed[0]!.known.streams, { stdout: 0 })
  await host.of('a').sink.output('stdout', 0, Buffer.from('0123456789abc'))
  await host.endOf('a')
  await after.done(runId)
  const ranges = (await events(runId)).flatMap((event) =>
    event.type === 'output' ? [[event.offset, event.length]] : [],
  )
  assert.deepEqual(ranges, [
    [0, 10],
    [10, 3],
  ])
})

test('what happens while outputs are looked up is not handled a second time', async (t) => {
  const world = scriptedEngine(t, () => 'hold')
  const { submit, engine, host, again, outputs } = world
  const runId = await submit([
    step('ask', { action: 'approval.wait', needs: [] }),
    step('after', { needs: ['ask'] }),
    step('a', { needs: [] }),
  ])
  await engine.close()
  host.held.clear()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const length = outputs.length.bind(outputs)
  outputs.length = async (...args) => released.then(() => length(...args))
  const after = again()
  const resumed = after.resume()
  await until(() =>
    after.answer(runId, { step: 'ask', decision: 'approve' }).then(
      () => true,
      () => false,
    ),
  )
  assert.deepEqual(host.ran, ['a', 'after'])
  release()
  await resumed
  assert.deepEqual(
    host.resumed.map(({ spec }) => spec.step),
    ['a'],
  )
  await host.endOf('a')
  await host.endOf('after')
  assert.equal((await after.done(runId)).status, 'success')
})

test('a committed cancellation is passed on again', async (t) => {
  const { submit, engine, host, again } = scriptedEngine(t, () => 'hold')
  host.obeys = false
  const runId = await submit([step('a')])
  await engine.cancel(runId)
  await engine.close()
  host.obeys = true
  const after = again()
  await after.resume()
  assert.equal((await after.done(runId)).status, 'canceled')
})

test('waiting tries and approvals continue to wait after a restart', async (t) => {
  const { submit, engine, host, again, clock } = scriptedEngine(t, ({ try: tries }) =>
    tries === 1 ? 'failed' : 'success',
  )
  const ask = step('ask', { action: 'approval.wait', args: { timeout_seconds: 90, on_timeout: 'approve' } })
  const runId = await submit([step('a', { retry: { max_attempts: 2, backoff: { delay_seconds: 30 } } }), ask])
  await until(() => clock.pendingMs.length === 1)
  await engine.close()
  assert.deepEqual(clock.pendingMs, [])
  const second = again()
  await second.resume()
  assert.deepEqual(clock.pendingMs, [30_000])
  clock.advance()
  await until(() => clock.pendingMs[0] === 90_000)
  await second.close()
  const third = again()
  await third.resume()
  clock.advance()
  assert.equal((await third.done(runId)).status, 'success')
  assert.equal(host.begun.length, 2)
})

test('a run submitted while others resume waits for the runs inside its concurrency group', async (t) => {
  const { submit, engine, host, again, outputs } = scriptedEngine(t, () => 'hold')
  const group = { concurrency: { group: 'g' } }
  await submit([step('plain')])
  await submit([step('inside')], group)
  await engine.close()
  const checked = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const length = outputs.length.bind(outputs)
  t.mock.method(outputs, 'length', async (...args: Parameters<typeof length>) => {
    checked.resolve()
    await held.promise
    return await length(...args)
  })
  const after = again()
  const resumed = after.resume()
  await checked.promise
  const workflow = { version: 'v0.1', name: 'test', ...group, steps: [step('next')] }
  const submitted = after.submit({ workflow })
  // Lets the engine get as far as it can.
  await new Promise(setImmediate)
  held.resolve()
  await resumed
  const { status, waiting } = await submitted
  assert.deepEqual([status, waiting], ['queued', 'concurrency group "g" runs 1 of 1; next in line'])
  await host.endOf('inside')
  await until(() => host.ran.includes('next'))
})

test('without setting aside, a run with a damaged log is interrupted, and the others continue', async (t) => {
  const stored = new MemoryRunStore()
  const store = alteredStore(stored, {
    events: async (id, ...args) =>
      (await stored.events(id, ...args)).filter(({ seq }) => id !== 'bad' || seq !== 3),
  })
  const log: string[] = []
  const { submit, engine, host, again } = scriptedEngine(t, () => 'hold', {
    store,
    log: (message) => log.push(message),
    onStoreFailure: 'abandon',
  })
  const group = { concurrency: { group: 'g' } }
  await submit([step('a')], group, { run_id: 'bad' })
  await submit([step('b')], {}, { run_id: 'good' })
  await submit([step('c')], group, { run_id: 'next' })
  await engine.close()
  const after = again()
  await after.resume()
  const bad = await after.done('bad')
  assert.deepEqual([bad.status, bad.reason], ['interrupted', 'interrupted'])
  assert.match(log[0]!, /bad: It could not be resumed: Event 4 follows event 2/)
  await host.endOf('b')
  assert.equal((await after.done('good')).status, 'success')
  await until(() => host.ran.includes('c'))
})

test('without setting aside, a sub-workflow that cannot resume fails the step that waits for it', async (t) => {
  const stored = new MemoryRunStore()
  let childId: string | undefined
  const store = alteredStore(stored, {
    events: async (id, ...args) =>
      id === childId && args[0] === 0
        ? (await stored.events(id, ...args)).slice(1)
        : stored.events(id, ...args),
  })
  const { submit, engine, again } = scriptedEngine(t, () => 'hold', { store, onStoreFailure: 'abandon' })
  const workflow = { version: 'v0.1', name: 'inner', steps: [step('work')] }
  const runId = await submit([step('child', { action: 'workflow.run', args: { workflow } })])
  await until(async () => (await engine.list({ limit: 5 })).runs.length === 2)
  childId = (await engine.view(runId)).steps[0]!.child_run_ids![0]!
  await engine.close()
  const after = again()
  await after.resume()
  assert.equal((await after.done(runId)).status, 'failed')
  assert.deepEqual(statusesOf(await after.view(runId)), ['child: failed child_failed'])
})

test('a run whose record cannot be read is set aside, and the others resume', async (t) => {
  const stored = new MemoryRunStore()
  const store = alteredStore(stored, {
    get: async (id) => (id === 'bad' ? Promise.reject(new Error('It is no JSON.')) : stored.get(id)),
  })
  const log: string[] = []
  const { engine, submit, host, again } = scriptedEngine(t, () => 'hold', { store: stored })
  await submit([step('a')], {}, { run_id: 'bad' })
  await submit([step('b')], {}, { run_id: 'good' })
  await engine.close()
  const after = again({ store, log: (message) => log.push(message) })
  await after.resume()
  assert.deepEqual(
    host.resumed.map(({ spec }) => spec.step),
    ['b'],
  )
  assert.deepEqual(after.setAside(), ['bad'])
  await until(async () => (await stored.get('bad'))?.set_aside?.why === 'It is no JSON.')
  assert.equal((await stored.get('bad'))?.status, 'running')
  assert.match(log[0]!, /Run bad is set aside: It is no JSON/)
})

test('only the requested runs resume, and none twice', async (t) => {
  const { submit, engine, host, again } = scriptedEngine(t, () => 'hold')
  await submit([step('a')], {}, { run_id: 'r1' })
  await submit([step('b')], {}, { run_id: 'r2' })
  await engine.resume()
  assert.equal(host.resumed.length, 0)
  await engine.close()
  const after = again()
  await after.resume(['r2'])
  await after.resume(['r2'])
  assert.deepEqual(
    host.resumed.map(({ spec }) => spec.step),
    ['b'],
  )
  await assert.rejects(after.cancel('r1'), { code: 'unavailable' })
})

test('the host learns which runners have the workspace of a resumed run', async (t) => {
  const { submit, engine, host, again } = scriptedEngine(t, ({ step }) => (step === 'a' ? 'success' : 'hold'))
  const inventory = { hosts: { gpu: { labels: { gpu: '1' } } } }
  const runId = await submit([step('a', { targets: ['gpu'] }), step('b', { targets: ['gpu'] })], {
    inventory,
  })
  await until(() => host.held.has(`${runId}.2`))
  await engine.close()
  await again().resume()
  const requires = { runner: undefined, group: undefined, labels: { gpu: '1' } }
  assert.deepEqual(host.remembered, [[{ run_id: runId, tenant: 'default', requires }, 'scripted']])
})

/** Makes open runs of a closed engine, in a store that either answers at once or takes its time. */
async function manyOpen(t: TestContext, count: number, more: object = {}) {
  const world = scriptedEngine(t, () => 'hold')
  const runIds: string[] = []
  for (let n = 0; n < count; n++) runIds.push(await world.submit([step('a')], more))
  await world.engine.close()
  const events = world.store.events.bind(world.store)
  const { promise: all, resolve: letAll } = Promise.withResolvers<void>()
  let requests = 0
  world.store.events = async (...args) => {
    // Only the first runs are resumed until the test releases the others.
    if (++requests > 3) await all
    return events(...args)
  }
  return { ...world, runIds, letAll, after: world.again() }
}

test('while open runs resume, a requested one comes first, and the progress is visible', async (t) => {
  const { runIds, letAll, after, store, host } = await manyOpen(t, 20)
  const held = store.events
  assert.equal(after.takingUp(), undefined)
  const resumed = after.resume()
  await until(() => after.takingUp()?.done === 4)
  assert.deepEqual(after.takingUp(), { done: 4, of: 20 })
  const last = runIds.at(-1)!
  const canceled = after.cancel(last)
  assert.equal((await after.get(last))!.status, 'running')
  letAll()
  await canceled
  assert.ok(host.resumed.findIndex(({ spec }) => spec.run_id === last) < 6, 'it did not wait for the others')
  await resumed
  assert.equal(after.takingUp(), undefined)
  assert.equal((await after.done(last)).status, 'canceled')
  assert.equal(host.resumed.length, 20, 'each resumed once')
  assert.equal(store.events, held)
})

test('a requested queued run does not pass the runs that are in its concurrency group', async (t) => {
  const { runIds, letAll, after, host } = await manyOpen(t, 5, { concurrency: { group: 'one' } })
  const begun = host.begun.length
  const resumed = after.resume()
  const canceled = after.cancel(runIds[4]!)
  letAll()
  await Promise.all([canceled, resumed])
  assert.equal((await after.done(runIds[4]!)).status, 'canceled')
  assert.equal((await after.get(runIds[1]!))!.status, 'queued')
  assert.equal(host.begun.length, begun, 'the first run is in the group, and holds it')
})

test('requests get their turn while open runs resume', async (t) => {
  const { letAll, after, store } = await manyOpen(t, 50)
  letAll()
  const events = store.events
  store.events = async (...args) => {
    for (const endMs = performance.now() + 2; performance.now() < endMs; );
    return events(...args)
  }
  let turns = 0
  let over = false
  const count = () => {
    turns++
    if (!over) setImmediate(count)
  }
  setImmediate(count)
  await after.resume()
  over = true
  assert.ok(turns >= 5, `${turns} turns in a hundred milliseconds`)
})
