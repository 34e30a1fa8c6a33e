import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, statusesOf, step, until } from '../../../test/support/scripted-engine.ts'
import { ALL_OUTPUT, type OutputStore } from '../ports.ts'
import { OutputQuota } from './output-quota.ts'

const run = (run_id: string, owner = 'ann', tenant = 'default') => ({ run_id, owner, tenant })
type User = { tenant: string; owner: string }
const tenA = Buffer.from('a'.repeat(10))

test('accepts what fits, and names the limit that rejects the rest', () => {
  const quota = new OutputQuota({ perRunBytes: 10, perUserBytes: 15 })
  const first = quota.ofRun(run('run_a'))
  assert.deepEqual(first.take(10), { fitting: 10, message: undefined })
  assert.deepEqual([first.take(0).message, first.take(1).fitting], [undefined, 0])
  assert.match(first.take(1).message!, /^Run run_a .* 10 bytes .*ERRAND_MAX_OUTPUT_RUN/)
  const second = quota.ofRun(run('run_b'))
  const { fitting, message } = second.take(8)
  assert.equal(fitting, 5)
  assert.match(message!, /^The runs of ann .* 15 bytes .*ERRAND_MAX_OUTPUT_USER/)
  assert.equal(quota.ofRun(run('run_c', 'bob')).take(8).fitting, 8)
  assert.equal(quota.ofRun(run('run_c', 'ann', 'other')).take(8).fitting, 8)
  second.giveBack(2)
  assert.equal(quota.ofRun(run('run_d')).take(8).fitting, 2)
})

test('has no limit if none is given', () => {
  assert.deepEqual(new OutputQuota({}).ofRun(run('run_a')).take(1e15), { fitting: 1e15, message: undefined })
})

test('refuses a run of a user who has no room left, until some output is removed', () => {
  const [ann, bob] = ['ann', 'bob'].map((owner) => ({ tenant: 'default', owner })) as [User, User]
  const quota = new OutputQuota({ perUserBytes: 10 }, [
    { ...ann, bytes: 10 },
    { ...bob, bytes: 9 },
  ])
  const parent = { run_id: 'run_a', step: 'x', phase: 'main', instance: 0, depth: 1 } as const
  assert.throws(() => quota.admit(ann), {
    code: 'quota_exceeded',
    hint: /errand runs delete .* ERRAND_MAX_OUTPUT_USER/,
  })
  quota.admit(bob)
  quota.admit({ ...ann, parent })
  quota.release({ ...ann, output_bytes: 1 })
  quota.admit(ann)
  quota.release({ ...ann, output_bytes: 1000 })
  assert.equal(quota.ofRun(run('run_b')).take(11).fitting, 10)
})

test('a step over the limit of its run is ended, earlier output is kept, and its failure says so', async (t) => {
  const outputQuota = new OutputQuota({ perRunBytes: 25 })
  const { submit, engine, host, outputs, events } = scriptedEngine(t, () => 'hold', { outputQuota })
  host.obeys = false
  const runId = await submit([
    step('a', { retry: { max_attempts: 3, backoff: { delay_seconds: 1 } } }),
    step('never'),
  ])
  const { sink, spec } = host.of('a')
  assert.equal(await sink.output('stdout', 0, tenA), 10)
  assert.equal(await sink.output('stderr', 0, tenA), 10)
  // Sent again, as after a reconnect, they count once.
  assert.equal(await sink.output('stdout', 0, tenA), 10)
  assert.deepEqual(host.canceled, [])
  assert.equal(await sink.output('stdout', 10, tenA), ALL_OUTPUT)
  assert.equal(await sink.output('stdout', 20, tenA), ALL_OUTPUT)
  assert.equal(await sink.output('stderr', 10, tenA), ALL_OUTPUT)
  await sink.report({ type: 'phase', phase: 'being ended' }, 1)
  assert.deepEqual(host.canceled, [{ id: spec.attempt_id, reason: 'output_limit', force: false }])
  const streams = { stdout: { length: 30, sha256: 'x' }, stderr: { length: 20, sha256: 'y' } }
  await host.end(spec.attempt_id, { outcome: 'canceled', reason: 'output_limit', streams })
  assert.equal((await engine.done(runId)).status, 'failed')
  const view = await engine.view(runId)
  assert.deepEqual(statusesOf(view), ['a: failed output_limit', 'never: skipped upstream'])
  assert.match(view.steps[0]!.message!, /^Run .* 25 bytes .*ERRAND_MAX_OUTPUT_RUN.* is stored/)
  assert.equal(outputs.kept.get(`${runId}.1/stdout`)!.length, 15)
  assert.equal(outputs.kept.get(`${runId}.1/stderr`)!.length, 10)
  let reportedBytes = 0
  for (const event of await events(runId)) if (event.type === 'output') reportedBytes += event.length
  assert.equal(reportedBytes, 25)
  const [attempt] = view.steps[0]!.instances[0]!.attempts
  assert.deepEqual(
    [
      attempt!.streams!.stdout!.length,
      attempt!.streams!.stderr!.length,
      (await engine.get(runId))?.output_bytes,
    ],
    [15, 10, 25],
  )
})

test('a step that succeeded before the limit was noticed does not count as successful', async (t) => {
  const outputQuota = new OutputQuota({ perRunBytes: 5 })
  const script = () => ({ writes: tenA, streams: { stdout: { length: 10, sha256: 'x' } } })
  const { play, host } = scriptedEngine(t, script, { outputQuota })
  host.obeys = false
  assert.deepEqual(statusesOf(await play([step('a')])), ['a: failed output_limit'])
})

test('a step that failed by itself or was canceled keeps its reason, and says that output is missing', async (t) => {
  const outputQuota = new OutputQuota({ perRunBytes: 5 })
  const failing = () => ({ writes: tenA, outcome: 'failed' as const, message: 'It broke.' })
  const first = scriptedEngine(t, failing, { outputQuota })
  first.host.obeys = false
  const view = await first.play([step('a')])
  assert.deepEqual(statusesOf(view), ['a: failed exit_code'])
  assert.match(view.steps[0]!.message!, /^It broke\. Run .*ERRAND_MAX_OUTPUT_RUN/)

  const second = scriptedEngine(t, () => 'hold', { outputQuota })
  second.host.obeys = false
  const runId = await second.submit([step('a')])
  const { sink, spec } = second.host.of('a')
  await second.engine.cancel(runId)
  await sink.output('stdout', 0, tenA)
  await second.host.end(spec.attempt_id, { outcome: 'canceled', reason: 'canceled' })
  assert.equal((await second.engine.done(runId)).status, 'canceled')
  assert.match((await second.engine.view(runId)).steps[0]!.instances[0]!.message!, /ERRAND_MAX_OUTPUT_RUN/)
})

test('cleanup steps continue over the limit to their own end, which is a failure', async (t) => {
  const outputQuota = new OutputQuota({ perRunBytes: 5 })
  const { play, host } = scriptedEngine(t, () => ({ writes: tenA }), { outputQuota })
  host.obeys = false
  const view = await play([step('a')], { finally: [step('tidy')] })
  assert.deepEqual(statusesOf(view), ['a: failed output_limit', 'finally tidy: failed output_limit'])
  assert.deepEqual(
    host.canceled.map(({ id }) => id),
    host.begun.filter(({ step }) => step === 'a').map(({ attempt_id }) => attempt_id),
  )
})

test('a user at the limit is stopped in all runs, other users in none; removal makes room', async (t) => {
  const outputQuota = new OutputQuota({ perUserBytes: 15 })
  const { submit, engine, host, store } = scriptedEngine(t, () => 'hold', { outputQuota })
  const [first, second, other] = [
    await submit([step('first')], {}, { owner: 'ann' }),
    await submit([step('second')], {}, { owner: 'ann' }),
    await submit([step('other')], {}, { owner: 'bob' }),
  ]
  await host.of('first').sink.output('stdout', 0, tenA)
  await host.of('second').sink.output('stdout', 0, tenA)
  assert.equal((await engine.done(second)).status, 'failed')
  await host.endOf('first')
  await host.of('other').sink.output('stdout', 0, tenA)
  await host.endOf('other')
  assert.equal((await engine.done(first)).status, 'success')
  assert.equal((await engine.done(other)).status, 'success')
  await assert.rejects(submit([step('a')], {}, { owner: 'ann' }), { code: 'quota_exceeded' })
  assert.equal((await store.list({ limit: 10 })).runs.length, 3)
  await engine.remove([first])
  const again = await submit([step('again')], {}, { owner: 'ann' })
  await host.of('again').sink.output('stdout', 0, tenA)
  await host.endOf('again')
  assert.equal((await engine.done(again)).status, 'success')
})

for (const [when, expected] of [
  ['before its end was requested', false],
  ['after its end was requested', true],
] as const)
  test(`a restart over the limit, ${when}, has the same result`, async (t) => {
    const limits = { perRunBytes: 15 }
    const world = scriptedEngine(t, () => 'hold', { outputQuota: new OutputQuota(limits) })
    const { submit, engine, host, again, outputs, events } = world
    host.obeys = false
    const runId = await submit([step('done'), step('a')])
    await host.of('done').sink.output('stdout', 0, Buffer.from('done'))
    await host.endOf('done')
    await host.of('a').sink.output('stdout', 0, expected ? Buffer.concat([tenA, tenA]) : tenA)
    if (expected) await host.of('a').sink.report({ type: 'phase', phase: 'later' }, 1)
    await engine.close()
    // More room does not help once the end was requested: the bytes in between are not sent again.
    const after = again({ outputQuota: new OutputQuota(expected ? { perRunBytes: 1000 } : limits) })
    await after.resume()
    assert.deepEqual(host.resumed[0]!.known.streams, { stdout: expected ? 11 : 10 })
    const { sink, spec } = host.of('a')
    assert.equal(await sink.output('stdout', expected ? 11 : 10, tenA), ALL_OUTPUT)
    await sink.report({ type: 'phase', phase: 'later' }, 1)
    assert.deepEqual(host.canceled.at(-1), { id: spec.attempt_id, reason: 'output_limit', force: false })
    await host.end(spec.attempt_id, { outcome: 'canceled' })
    assert.equal((await after.done(runId)).reason, 'output_limit')
    const view = await after.view(runId)
    assert.match(view.steps[1]!.message!, /15 bytes/)
    assert.equal(outputs.kept.get(`${runId}.2/stdout`)!.length, 11)
    const cancels = (await events(runId)).filter(({ type }) => type === 'attempt.cancel_requested')
    assert.equal(cancels.length, 1)
    assert.equal((await after.get(runId))?.output_bytes, 15)
  })

test('output that is over the limit and not sent again is synced before it counts, and resumes whole', async (t) => {
  const outputQuota = new OutputQuota({ perRunBytes: 15 })
  const { submit, engine, host, outputs, events, again } = scriptedEngine(t, () => 'hold', { outputQuota })
  host.obeys = false
  const runId = await submit([step('a')])
  const isCancelRequested = async () =>
    (await events(runId)).some(({ type }) => type === 'attempt.cancel_requested')
  let synced = 0
  const store: OutputStore = outputs
  store.sync = async (id, stream) => {
    if (!(await isCancelRequested())) synced = await outputs.length(id, stream)
  }
  await host.of('a').sink.output('stdout', 0, Buffer.concat([tenA, tenA]))
  await until(isCancelRequested)
  assert.equal(synced, 15)
  await engine.close()
  store.recover = () => Promise.reject(new Error('it was cut'))
  await again().resume()
  assert.deepEqual(host.resumed[0]!.known.streams, { stdout: 15 })
})

test('after a restart, the host is asked again for everything that no event has recorded', async (t) => {
  const { submit, engine, host, outputs, again } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  await host.of('a').sink.output('stdout', 0, tenA)
  await engine.close()
  const store: OutputStore = outputs
  store.recover = async (id, stream, synced) => {
    const stored = outputs.kept.get(`${id}/${stream}`)
    if (stored) outputs.kept.set(`${id}/${stream}`, stored.subarray(0, synced))
    return outputs.length(id, stream)
  }
  const after = again()
  await after.resume()
  assert.deepEqual(host.resumed[0]!.known.streams, {})
  await host.of('a').sink.output('stdout', 0, tenA)
  await host.endOf('a')
  assert.equal((await after.done(runId)).status, 'success')
  assert.equal(outputs.kept.get(`${runId}.1/stdout`)!.length, 10)
})

test('bytes that could not be stored are not counted', async (t) => {
  const outputQuota = new OutputQuota({ perRunBytes: 15 })
  const { submit, engine, host, outputs } = scriptedEngine(t, () => 'hold', { outputQuota })
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  const { append } = outputs
  outputs.append = async () => Promise.reject(new Error('no room'))
  await assert.rejects(sink.output('stdout', 0, tenA), /no room/)
  outputs.append = append
  assert.equal(await sink.output('stdout', 0, tenA), 10)
  await host.endOf('a')
  assert.equal((await engine.done(runId)).status, 'success')
})
