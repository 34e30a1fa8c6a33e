import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alteredStore } from '../../../test/support/altered-store.ts'
import { scriptedEngine, statusesOf, step, until } from '../../../test/support/scripted-engine.ts'
import { ErrandError } from '../../contract/errors.ts'
import { MemoryRunStore } from '../../stores/runs/memory.ts'

const types = (events: { type: string }[]) =>
  events.map(({ type }) => type).filter((type) => type.startsWith('attempt.'))

test('a waiting attempt says why, and is assigned later', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  host.full = () => 'no runner is free'
  const runId = await submit([step('a')])
  assert.equal((await engine.get(runId))?.waiting, 'no runner is free')
  const seen = async () => {
    const { status, steps } = await engine.view(runId)
    const { status: ofStep, waiting, instances } = steps[0]!
    return [status, ofStep, waiting, instances[0]?.status, instances[0]?.waiting]
  }
  assert.deepEqual(await seen(), ['running', 'waiting', 'no runner is free', 'waiting', 'no runner is free'])
  const { sink } = host.of('a')
  sink.waiting('no runner is there')
  sink.waiting('no runner is there')
  await until(async () => (await engine.get(runId))?.waiting === 'no runner is there')
  assert.equal(await sink.assigned({ runner: 'r1', epoch: 1 }), true)
  const [attempt] = (await engine.view(runId)).steps[0]!.instances[0]!.attempts
  assert.deepEqual(
    [attempt?.runner, attempt?.waiting, (await engine.get(runId))?.waiting],
    ['r1', undefined, undefined],
  )
  await sink.report({ type: 'started' }, 1)
  await sink.report({ type: 'ended', outcome: 'success' }, 1)
  await engine.done(runId)
  assert.deepEqual(types(await events(runId)), [
    'attempt.created',
    'attempt.waiting',
    'attempt.assigned',
    'attempt.started',
    'attempt.finished',
  ])
})

test('the box provisioned for the run is recorded and shown, and the next try does not require it', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a', { retry: { max_attempts: 2, backoff: { delay_seconds: 0 } } })])
  await host.of('a').sink.report({ type: 'started', made_box: 'pod', network: 'all' }, 1)
  const started = (await events(runId)).find(({ type }) => type === 'attempt.started')
  assert.ok(started?.type === 'attempt.started')
  assert.deepEqual([started.isolation, started.made_box, started.network], [undefined, 'pod', 'all'])
  const [attempt] = (await engine.view(runId)).steps[0]!.instances[0]!.attempts
  assert.deepEqual([attempt?.isolation, attempt?.made_box, attempt?.network], [undefined, 'pod', 'all'])
  await host.end(host.begun[0]!.attempt_id, 'failed')
  await until(() => host.begun.length === 2)
  assert.deepEqual([host.begun[1]!.isolation, host.begun[1]!.network], [undefined, undefined])
})

test('the box that an attempt got, and what it was denied there, is recorded, counted and shown', async (t) => {
  const { submit, engine, host, again, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  const network = { allow: ['a.example'] }
  const refused = { type: 'network', kind: 'refused', host: 'x.org', port: 443, why: 'not allowed' } as const
  await sink.report({ type: 'started', isolation: 'sandbox', network }, 1)
  for (const count of [1, 4]) await sink.report({ ...refused, count }, 1)
  await sink.report({ ...refused, host: '10.0.0.1', port: undefined, why: 'a private address' }, 1)
  const used = {
    type: 'network',
    kind: 'used',
    host: 'a.example',
    sent_bytes: 10,
    received_bytes: 20,
  } as const
  await sink.report(used, 1)
  const log = await events(runId)
  assert.deepEqual(
    log.filter(({ type }) => type.startsWith('network.')).map(({ seq: _seq, time: _time, ...rest }) => rest),
    [
      { type: 'network.refused', attempt: 1, to: 'x.org', port: 443, why: 'not allowed', count: 1 },
      { type: 'network.refused', attempt: 1, to: 'x.org', port: 443, why: 'not allowed', count: 4 },
      {
        type: 'network.refused',
        attempt: 1,
        to: '10.0.0.1',
        port: undefined,
        why: 'a private address',
        count: 1,
      },
      {
        type: 'network.used',
        attempt: 1,
        to: 'a.example',
        port: undefined,
        sent_bytes: 10,
        received_bytes: 20,
      },
    ],
  )
  // Each committed report counts: after a restart none is requested again.
  await engine.close()
  const after = again()
  await after.resume()
  assert.equal(host.resumed[0]?.known.reports, 5)
  await host.endOf('a')
  await after.done(runId)
  const [attempt] = (await after.view(runId)).steps[0]!.instances[0]!.attempts
  assert.deepEqual([attempt?.isolation, attempt?.network], ['sandbox', network])
  assert.deepEqual(attempt?.refused, [
    { host: 'x.org', port: 443, why: 'not allowed', count: 5 },
    { host: '10.0.0.1', port: undefined, why: 'a private address', count: 1 },
  ])
})

test('the secrets given to an attempt are recorded once, and again if they change', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  const secretsOf = (updated_by: string) => ({
    TOKEN: { name: 'TOKEN', scope: 'tenant' as const, updated_by },
  })
  for (const by of ['boss', 'boss', 'ann']) sink.secrets!(secretsOf(by))
  await sink.report({ type: 'ended', outcome: 'success' }, 1)
  await engine.done(runId)
  sink.secrets!(secretsOf('late'))
  const reported = (await events(runId)).flatMap((event) =>
    event.type === 'attempt.secrets' ? [event.secrets] : [],
  )
  assert.deepEqual(reported, [secretsOf('boss'), secretsOf('ann')])
  const [attempt] = (await engine.view(runId)).steps[0]!.instances[0]!.attempts
  assert.deepEqual(attempt?.secrets, secretsOf('ann'))
})

test('the run shows the attempt that has waited longest', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  host.full = ({ step }) => `no runner for ${step}`
  const runId = await submit(['a', 'b', 'c'].map((name) => step(name, { needs: [] })))
  assert.equal((await engine.get(runId))?.waiting, 'no runner for a')
  await host.of('a').sink.assigned({ epoch: 1 })
  assert.equal((await engine.get(runId))?.waiting, 'no runner for b')
})

test('an attempt canceled while it waited is no longer wanted', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  host.full = () => 'full'
  host.obeys = false
  const runId = await submit([step('a')])
  const { sink, spec } = host.of('a')
  await engine.cancel(runId)
  assert.equal(await sink.assigned({ epoch: 1 }), false)
  await host.end(spec.attempt_id, { outcome: 'canceled' })
  assert.equal((await engine.done(runId)).status, 'canceled')
  assert.equal(await sink.assigned({ epoch: 1 }), false)
})

test('a host that must not start an attempt has learned of its cancellation by then', async (t) => {
  const store = new MemoryRunStore()
  const keeping = Promise.withResolvers<void>()
  const keep = Promise.withResolvers<void>()
  const slow = alteredStore(store, {
    update: async (...args) => {
      keeping.resolve()
      await keep.promise
      await store.update(...args)
    },
  })
  const { submit, engine, host } = scriptedEngine(t, () => 'hold', { store: slow })
  host.full = () => 'full'
  const runId = await submit([step('a')])
  const { sink, spec } = host.of('a')
  const canceled = engine.cancel(runId)
  await keeping.promise
  const assigned = sink.assigned({ epoch: 1 })
  keep.resolve()
  assert.equal(await assigned, false)
  assert.deepEqual(
    host.canceled.map(({ id }) => id),
    [spec.attempt_id],
  )
  await canceled
  assert.equal((await engine.done(runId)).status, 'canceled')
})

test('after an attempt is handed out again, reports of the older epoch change nothing', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  await sink.report({ type: 'started', pid: 1 }, 1)
  await sink.assigned({ runner: 'other', epoch: 2 })
  await sink.report({ type: 'phase', phase: 'old' }, 1)
  await sink.report({ type: 'ended', outcome: 'failed' }, 1)
  await sink.report({ type: 'started', pid: 2 }, 2)
  await sink.report({ type: 'started', pid: 2 }, 2)
  await sink.report({ type: 'ended', outcome: 'success' }, 2)
  assert.equal((await engine.done(runId)).status, 'success')
  assert.deepEqual(types(await events(runId)), [
    'attempt.created',
    'attempt.started',
    'attempt.assigned',
    'attempt.started',
    'attempt.finished',
  ])
})

test('the first end counts; later reports change nothing', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a'), step('b')])
  const { sink } = host.of('a')
  const ends = (['success', 'failed'] as const).map((outcome) => sink.report({ type: 'ended', outcome }, 1))
  await Promise.all(ends)
  await sink.report({ type: 'phase', phase: 'late' }, 1)
  assert.equal(await sink.output('stdout', 0, Buffer.from('late')), 4)
  await host.endOf('b')
  await sink.report({ type: 'ended', outcome: 'failed' }, 1)
  await engine.done(runId)
  assert.deepEqual(statusesOf(await engine.view(runId)), ['a: success', 'b: success'])
  assert.equal((await events(runId)).at(-1)?.type, 'run.finished')
})

test('a success whose output differs at the two sides is a failure, and says so', async (t) => {
  const { play } = scriptedEngine(t, () => ({
    writes: 'abc',
    streams: { stdout: { length: 5, sha256: 'x' } },
  }))
  const view = await play([step('a')])
  assert.deepEqual(statusesOf(view), ['a: failed output_mismatch'])
  assert.match(view.message ?? '', /stdout is 5 bytes on the machine that produced it and 3 bytes here/)
})

test('a failure keeps its own reason even if the output differs', async (t) => {
  const { play } = scriptedEngine(t, () => ({
    outcome: 'failed',
    reason: 'oom',
    streams: { stdout: { length: 5, sha256: 'x' } },
  }))
  assert.deepEqual(statusesOf(await play([step('a')])), ['a: failed oom'])
})

test('output that cannot be sealed fails the attempt instead of keeping it open forever', async (t) => {
  const { play, outputs } = scriptedEngine(t, () => ({ writes: 'abc' }))
  outputs.seal = async () => Promise.reject(new ErrandError('disk_full', 'The disk is full.'))
  const view = await play([step('a')])
  assert.deepEqual(statusesOf(view), ['a: failed output_failed'])
  assert.match(view.message ?? '', /stdout could not be stored: The disk is full/)
})

test('output is recorded once it is durable, and later output with the next event', async (t) => {
  const { submit, engine, host, events, outputs } = scriptedEngine(t, () => 'hold')
  const syncs: PromiseWithResolvers<void>[] = []
  outputs.sync = () => {
    syncs.push(Promise.withResolvers())
    return syncs.at(-1)!.promise
  }
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  const reportedLengths = async () =>
    (await events(runId)).flatMap((event) => (event.type === 'output' ? [event.length] : []))
  await sink.output('stdout', 0, Buffer.from('first'))
  await until(() => syncs.length === 1)
  await sink.output('stdout', 5, Buffer.from(' and more'))
  await sink.report({ type: 'phase', phase: 'later' }, 1)
  assert.deepEqual(await reportedLengths(), [])
  syncs[0]!.resolve()
  await until(() => syncs.length === 2)
  await sink.report({ type: 'phase', phase: 'even later' }, 1)
  assert.deepEqual(await reportedLengths(), [5])
  const ended = sink.report({ type: 'ended', outcome: 'success' }, 1)
  syncs[1]!.resolve()
  await ended
  await engine.done(runId)
  assert.deepEqual(await reportedLengths(), [5, 9])
})

test('output that may not be durable is recorded only at the end, which waits for it', async (t) => {
  const { submit, engine, host, events, outputs } = scriptedEngine(t, () => 'hold')
  let failed = false
  outputs.sync = async () => {
    failed = true
    throw new ErrandError('store_failed', 'The disk is broken.')
  }
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  await sink.output('stdout', 0, Buffer.from('first'))
  await until(() => failed)
  await sink.output('stdout', 5, Buffer.from(' and more'))
  await sink.report({ type: 'ended', outcome: 'success' }, 1)
  await engine.done(runId)
  const types = (await events(runId)).map(({ type }) => type).filter((type) => /output|finished/.test(type))
  assert.deepEqual(types, ['output', 'attempt.finished', 'step.finished', 'run.finished'])
})

test('output that cannot be started fails the attempt, and frees its place', async (t) => {
  const { play, outputs, host } = scriptedEngine(t)
  outputs.begin = () => {
    throw new ErrandError('disk_full', 'The folder cannot be made.')
  }
  assert.deepEqual(statusesOf(await play([step('a')])), ['a: failed output_failed'])
  assert.deepEqual([host.ran, host.placed.size], [[], 0])
})

test('an end that is reported several times is committed once', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  await Promise.all([1, 2, 3].map(() => sink.report({ type: 'ended', outcome: 'success' }, 1)))
  await engine.done(runId)
  assert.deepEqual(types(await events(runId)), ['attempt.created', 'attempt.finished'])
})
