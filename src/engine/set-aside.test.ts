import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { alteredStore } from '../../test/support/altered-store.ts'
import { inventory, scriptedEngine, statusesOf, step, until } from '../../test/support/scripted-engine.ts'
import type { AttemptReport } from '../contract/attempt.ts'
import { MemoryRunStore } from '../stores/runs/memory.ts'
import type { EngineOptions } from './api.ts'

const again: AttemptReport = { type: 'ended', outcome: 'success' }

/** Makes an engine whose host lists the runs that it was to set aside and to take back. */
function asideWorld(t: TestContext, options: Partial<EngineOptions> = {}) {
  const log: string[] = []
  const world = scriptedEngine(t, () => 'hold', { log: (message) => log.push(message), ...options })
  const requests: string[] = []
  Object.assign(world.host, {
    setAside: (runId: string) => requests.push(`aside ${runId}`),
    takeBack: (runId: string) => requests.push(`back ${runId}`),
  })
  return { ...world, log, asked: requests }
}
type World = ReturnType<typeof asideWorld>

/** Makes an attempt report something that its state does not allow: a start, while it waits for a machine again. */
async function refuse({ host }: World, name: string): Promise<void> {
  const { sink } = host.of(name)
  sink.waiting('runner "scripted" is draining')
  await assert.rejects(sink.report({ type: 'started', pid: 7 }, 1), { code: 'run_set_aside' })
}

test('an invalid report sets its run aside: it stays open, is reported, and nothing of the report is stored', async (t) => {
  const world = asideWorld(t)
  const { submit, engine, store, events, log, asked } = world
  const runId = await submit([step('a')])
  await refuse(world, 'a')
  await until(async () => (await engine.get(runId))?.set_aside !== undefined)
  const { status, set_aside } = (await engine.get(runId))!
  assert.equal(status, 'running')
  assert.match(set_aside!.why, /moves attempt 1 from waiting to started/)
  assert.deepEqual(engine.setAside(), [runId])
  assert.deepEqual(asked, [`aside ${runId}`])
  assert.match(log.join('\n'), new RegExp(`Run ${runId} is set aside: The event log moves attempt 1`))
  assert.deepEqual((await engine.view(runId)).set_aside, set_aside)
  assert.deepEqual(await store.open(), [runId])
  assert.ok((await events(runId)).every(({ type }) => type !== 'attempt.started' && type !== 'run.finished'))
  for (const refused of [
    engine.input(runId, { kind: 'prompt', text: 'Hello' } as never),
    engine.answer(runId, { step: 'a', decision: 'approve' }),
    engine.done(runId),
  ])
    await assert.rejects(refused, { code: 'run_set_aside' })
  assert.equal(engine.isOpen(runId), false)
})

test('a run set aside continues from its log once an admin resumes it, and ends as usual', async (t) => {
  const world = asideWorld(t)
  const { submit, engine, host, events, asked } = world
  const runId = await submit([
    step('a', { needs: [] }),
    step('b', { needs: [] }),
    step('c', { needs: ['b'] }),
  ])
  const b = host.of('b')
  await b.sink.report({ type: 'started', pid: 8 }, 1)
  await refuse(world, 'a')
  // Reports that come meanwhile are refused, so that the machine retains them.
  await assert.rejects(b.sink.report(again, 1))
  await assert.rejects(b.sink.output('stdout', 0, Buffer.from('lost?')))
  const record = await engine.resumeRun(runId)
  assert.deepEqual([record.status, record.set_aside], ['running', undefined])
  assert.deepEqual(asked, [`aside ${runId}`, `back ${runId}`])
  assert.deepEqual(
    host.resumed.map(({ spec, placement, known }) => [spec.step, placement?.epoch, known.started]),
    [
      ['a', 1, false],
      ['b', 1, true],
    ],
  )
  await host.endOf('b', { outcome: 'success', writes: 'here\n' })
  await host.endOf('a')
  await until(() => host.ran.includes('c'))
  await host.endOf('c')
  assert.equal((await engine.done(runId)).status, 'success')
  assert.deepEqual(host.ran, ['a', 'b', 'c'])
  const log = await events(runId)
  assert.deepEqual(
    log.map(({ seq }) => seq),
    log.map((_, index) => index + 1),
  )
  await assert.rejects(engine.resumeRun(runId), { code: 'run_ended' })
})

test('only a run that is set aside can be resumed', async (t) => {
  const { submit, engine } = asideWorld(t)
  const runId = await submit([step('a')])
  await assert.rejects(engine.resumeRun(runId), { code: 'conflict' })
  await assert.rejects(engine.resumeRun('nothing'), { code: 'run_not_found' })
})

test('a run set aside holds no place in its concurrency group, and resumes only if there is one', async (t) => {
  const world = asideWorld(t)
  const { submit, engine, host } = world
  const group = { concurrency: { group: 'g' } }
  const first = await submit([step('a')], group)
  const second = await submit([step('b')], group)
  assert.equal((await engine.get(second))!.status, 'queued')
  await refuse(world, 'a')
  await until(() => host.ran.includes('b'))
  await assert.rejects(engine.resumeRun(first), { code: 'conflict', message: /group "g" runs 1 of 1/ })
  assert.deepEqual(engine.setAside(), [first])
  const third = await submit([step('c')], group)
  await host.endOf('b')
  assert.equal((await engine.done(second)).status, 'success')
  await until(() => host.ran.includes('c'))
  await host.endOf('c')
  assert.equal((await engine.done(third)).status, 'success')
  assert.equal((await engine.resumeRun(first)).status, 'running')
})

test('a run set aside can be canceled: it and its children end, and its machines learn of that', async (t) => {
  const world = asideWorld(t)
  const { submit, engine, host, events } = world
  const workflow = { version: 'v0.1', name: 'inner', steps: [step('work')] }
  const runId = await submit(
    [step('a', { needs: [] }), step('child', { action: 'workflow.run', args: { workflow }, needs: [] })],
    { finally: [step('tidy')] },
  )
  await until(() => host.held.size === 2)
  const [childId] = (await engine.view(runId)).steps[1]!.child_run_ids!
  await refuse(world, 'a')
  await engine.cancel(runId, { by: 'ann', message: 'enough' })
  const { status, reason, message, set_aside, list_row } = (await engine.get(runId))!
  assert.deepEqual([status, reason, message, set_aside], ['canceled', 'canceled', 'enough', undefined])
  assert.match(list_row!, /"stops":"i/)
  assert.deepEqual(engine.setAside(), [])
  assert.ok(host.endedRuns.includes(runId))
  assert.equal((await engine.done(childId!)).status, 'canceled')
  assert.deepEqual(
    (await events(runId)).slice(-2).map(({ type }) => type),
    ['run.cancel_requested', 'run.finished'],
  )
  assert.deepEqual((await engine.view(runId)).cancel, { by: 'ann', message: 'enough', force: false })
  await assert.rejects(engine.cancel(runId), { code: 'run_ended' })
  await engine.remove([runId])
})

test('a child that is set aside keeps its parent waiting, and canceling it ends the step', async (t) => {
  const world = asideWorld(t)
  const { submit, engine, host } = world
  const workflow = { version: 'v0.1', name: 'inner', steps: [step('work')] }
  const runId = await submit([step('child', { action: 'workflow.run', args: { workflow } })])
  await until(() => host.held.size === 1)
  await refuse(world, 'work')
  const [childId] = engine.setAside()
  assert.equal((await engine.get(runId))!.status, 'running')
  await engine.cancel(childId!)
  assert.equal((await engine.done(runId)).status, 'failed')
  assert.deepEqual(statusesOf(await engine.view(runId)), ['child: canceled canceled'])
})

test('a parent that is set aside continues with the end of its child', async (t) => {
  const world = asideWorld(t)
  const { submit, engine, host } = world
  const workflow = { version: 'v0.1', name: 'inner', steps: [step('work')] }
  const runId = await submit([
    step('a', { needs: [] }),
    step('child', { action: 'workflow.run', args: { workflow }, needs: [] }),
  ])
  await until(() => host.held.size === 2)
  await refuse(world, 'a')
  await host.endOf('work')
  await engine.resumeRun(runId)
  await host.endOf('a')
  assert.equal((await engine.done(runId)).status, 'success')
})

test('an error in deciding also sets the run aside, and another release resumes it at its start', async (t) => {
  const world = asideWorld(t)
  const { submit, engine, host, store, again: newEngine, log } = world
  const runId = await submit([
    step('a', { needs: [] }),
    step('b', { needs: [] }),
    step('c', { needs: ['a'] }),
  ])
  const place = host.place.bind(host)
  host.place = () => {
    throw new TypeError('place is broken')
  }
  await assert.rejects(host.endOf('a'), { code: 'run_set_aside' })
  await assert.rejects(
    engine.resumeRun(runId).then(() => host.end(`${runId}.1`, 'success')),
    {
      code: 'run_set_aside',
    },
  )
  await engine.close()
  assert.match((await store.get(runId))!.set_aside!.why, /place is broken/)
  const since = (await store.get(runId))!.set_aside!.since
  const broken = newEngine()
  await broken.resume()
  // The refused report comes again.
  await assert.rejects(host.end(`${runId}.1`, 'success'), { code: 'run_set_aside' })
  await broken.close()
  assert.ok((await store.get(runId))!.set_aside!.since >= since)
  host.place = place
  const fixed = newEngine()
  await fixed.resume()
  assert.equal((await store.get(runId))!.set_aside, undefined)
  await host.endOf('a')
  await until(() => host.ran.includes('c'))
  await host.endOf('b')
  await host.endOf('c')
  assert.equal((await fixed.done(runId)).status, 'success')
  assert.equal(log.filter((line) => line.includes('is set aside')).length, 3)
})

test('if one of several simultaneous events is refused, none of them is stored', async (t) => {
  const world = asideWorld(t)
  const { submit, engine, host, events } = world
  const runId = await submit([step('a', inventoryTargets)], inventory('x', 'y'))
  const before = (await events(runId)).length
  const { sink } = host.of('a', 'x')
  // Lazy, so it is not committed when the refusal comes: its machine sends it again.
  const phase = sink.report({ type: 'phase', phase: 'pulling' }, 1)
  phase.catch(() => {})
  host.of('a', 'y').sink.waiting('busy')
  await assert.rejects(host.of('a', 'y').sink.report({ type: 'started' }, 1), { code: 'run_set_aside' })
  await assert.rejects(phase, { code: 'run_set_aside' })
  await until(async () => (await engine.get(runId))?.set_aside !== undefined)
  assert.equal((await events(runId)).length, before)
  assert.equal((await engine.get(runId))!.last_seq, before)
})
const inventoryTargets = { targets: ['x', 'y'] }

test('the fact that a run is set aside is stored once the store works again', async (t) => {
  const stored = new MemoryRunStore()
  let fails = false
  const store = alteredStore(stored, {
    update: async (...args) => {
      if (fails && args[1].patch?.set_aside) {
        fails = false
        throw new Error('The disk is full.')
      }
      return await stored.update(...args)
    },
  })
  const world = asideWorld(t, { store })
  const runId = await world.submit([step('a')])
  fails = true
  await refuse(world, 'a')
  await until(async () => (await stored.get(runId))?.set_aside !== undefined)
  assert.match(world.log.join('\n'), /is set aside, but this cannot be stored: The disk is full/)
})

for (const [what, missing, message] of [
  ['has a gap', 3, /Run bad is set aside: Event 4 follows event 2/],
  ['lacks its end', 4, /Run bad is set aside: The log of run bad has 3 events, but its record says 4/],
] as const)
  test(`a run whose log ${what} is set aside at the start, can be read and canceled, and the others continue`, async (t) => {
    const stored = new MemoryRunStore()
    const store = alteredStore(stored, {
      events: async (id, ...args) =>
        (await stored.events(id, ...args)).filter(({ seq }) => id !== 'bad' || seq !== missing),
    })
    const { submit, engine, host, log, asked, again: newEngine } = asideWorld(t, { store })
    const group = { concurrency: { group: 'g' } }
    await submit([step('a')], group, { run_id: 'bad' })
    await submit([step('b')], {}, { run_id: 'good' })
    await submit([step('c')], group, { run_id: 'next' })
    await engine.close()
    const after = newEngine()
    await after.resume()
    assert.deepEqual(after.setAside(), ['bad'])
    assert.deepEqual(asked, ['aside bad'])
    assert.match(log.join('\n'), message)
    const view = await after.view('bad')
    assert.deepEqual(
      [view.status, statusesOf(view)],
      ['running', [missing === 3 ? 'a: queued' : 'a: running']],
    )
    await assert.rejects(after.resumeRun('bad'), { code: 'run_set_aside', message })
    await host.endOf('b')
    assert.equal((await after.done('good')).status, 'success')
    await until(() => host.ran.includes('c'))
    await after.cancel('bad')
    assert.equal((await after.done('bad')).status, 'canceled')
    assert.equal((await after.view('bad')).status, 'canceled')
  })
