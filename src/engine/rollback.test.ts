import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alteredStore } from '../../test/support/altered-store.ts'
import { inventory, scriptedEngine, statusesOf, step } from '../../test/support/scripted-engine.ts'
import { MemoryRunStore } from '../stores/runs/memory.ts'

const rollback = { action: 'vars.set', args: { vars: {} } }
const undone = (of: { step: string; host: string; action: string }[]) =>
  of.filter(({ action }) => action === 'vars.set').map(({ step, host }) => `${step}@${host}`)

test('after a failure, successful steps are undone in reverse, also on hosts that succeeded where others failed', async (t) => {
  const { play, host } = scriptedEngine(t, (spec) =>
    spec.step === 'c' && spec.host === 'y' ? 'failed' : 'success',
  )
  const on = { targets: ['x', 'y'], rollback }
  const view = await play([step('a', on), step('b', { targets: ['x'] }), step('c', on), step('d', on)], {
    ...inventory('x', 'y'),
    finally: [step('clean')],
  })
  assert.equal(view.status, 'failed')
  assert.deepEqual(undone(host.begun), ['c@x', 'a@x', 'a@y'])
  assert.deepEqual(statusesOf(view).slice(4), [
    'rollback a: success',
    'rollback c: success',
    'finally clean: success',
  ])
  assert.equal(host.begun.at(-1)?.env.ERRAND_RUN_STATUS, 'failed')
})

test('a success and a cancellation undo nothing', async (t) => {
  const { play, submit, engine, host } = scriptedEngine(t, ({ step }) =>
    step === 'hold' ? 'hold' : 'success',
  )
  await play([step('a', { rollback })])
  const runId = await submit([step('a', { rollback }), step('hold')])
  await engine.cancel(runId)
  await engine.done(runId)
  assert.deepEqual(undone(host.begun), [])
})

test('a failing rollback does not stop the other rollbacks', async (t) => {
  const { play, host } = scriptedEngine(t, ({ step, action }) =>
    step === 'c' || (step === 'b' && action === 'vars.set') ? 'failed' : 'success',
  )
  const view = await play([step('a', { rollback }), step('b', { rollback }), step('c')])
  assert.deepEqual(undone(host.begun), ['b@local', 'a@local'])
  assert.deepEqual(statusesOf(view).slice(3), ['rollback a: success', 'rollback b: failed exit_code'])
  assert.match(view.message ?? '', /Step "c" failed/)
})

test('a failing finally step fails a successful run, and the other finally steps still run', async (t) => {
  const { play } = scriptedEngine(t, ({ step }) => (step === 'f1' ? 'failed' : 'success'))
  const view = await play([step('a')], { finally: [step('f1'), step('f2')] })
  assert.deepEqual(
    [view.status, view.reason, ...statusesOf(view)],
    ['failed', 'exit_code', 'a: success', 'finally f1: failed exit_code', 'finally f2: success'],
  )
  const forgiven = await play([step('a')], { finally: [step('f1', { continue_on_error: true })] })
  assert.equal(forgiven.status, 'success')
})

test('on demand, a separate run undoes a successful run in reverse, with the variables that each host saw', async (t) => {
  const { play, engine, host } = scriptedEngine(t, (spec) =>
    spec.step === 'a' ? { exports: { V: `\${x} of ${spec.host}` } } : 'success',
  )
  const both = {
    targets: ['x', 'y'],
    rollback: { action: 'file.write', args: { path: '/tmp/${ITEM}', content: '${V}' } },
  }
  const done = await play(
    [step('a', { ...both, foreach: ['i'] }), step('b', { targets: ['y'], rollback, env: { E: '${V}!' } })],
    inventory('x', 'y'),
  )
  const { run_id, retry_of } = await engine.rollback(done.run_id, { owner: 'me' })
  const ended = await engine.done(run_id)
  assert.deepEqual([ended.status, ended.owner, retry_of], ['success', 'me', done.run_id])
  const undo = host.begun.filter((spec) => spec.run_id === run_id)
  assert.deepEqual(
    undo.map((spec) => spec.host),
    ['y', 'x', 'y'],
  )
  assert.equal(undo[0]!.env.E, '${x} of y!')
  assert.deepEqual(undo[1]!.args, { path: '/tmp/i', content: '${x} of x', mode: '644' })
  assert.equal(undo[2]!.args.content, '${x} of y')
})

test('a run can be undone only once, even for simultaneous requests, another engine, or a retry', async (t) => {
  const { play, engine, host, again } = scriptedEngine(t, ({ action }) =>
    action === 'vars.set' ? 'hold' : 'success',
  )
  const { run_id } = await play([step('a', { rollback })])
  const results = await Promise.allSettled([1, 2, 3].map(() => engine.rollback(run_id)))
  const begun = results.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
  assert.equal(begun.length, 1)
  const undo = begun[0]!.run_id
  for (const one of results)
    if (one.status === 'rejected') {
      assert.equal(one.reason.code, 'conflict')
      assert.match(one.reason.message, new RegExp(`${run_id} is being rolled back by run ${undo}`))
    }
  assert.deepEqual((await engine.view(run_id)).rollback, { run_id: undo, status: 'running' })
  await host.endOf('a')
  await engine.done(undo)
  const next = again()
  const already = { code: 'conflict', message: `Run ${run_id} was already rolled back by run ${undo}.` }
  await assert.rejects(next.rollback(run_id), already)
  await assert.rejects(next.retry(undo, { only: 'all' }), already)
  assert.deepEqual((await next.view(run_id)).rollback, { run_id: undo, status: 'success' })
  assert.equal(undone(host.begun).length, 1)
})

test('a failed rollback can be repeated, and undoes nothing twice', async (t) => {
  let broken = true
  const { play, engine, host } = scriptedEngine(t, ({ step, action }) =>
    action === 'vars.set' && step === 'a (2)' && broken ? 'failed' : 'success',
  )
  const { run_id } = await play(
    [step('a', { targets: ['x', 'y'], rollback }), step('b', { rollback })],
    inventory('x', 'y'),
  )
  const first = await engine.rollback(run_id)
  assert.equal((await engine.done(first.run_id)).status, 'failed')
  assert.deepEqual(undone(host.begun), ['b@local', 'a (1)@x', 'a (2)@y'])
  assert.deepEqual((await engine.view(run_id)).rollback, { run_id: first.run_id, status: 'failed' })
  const before = host.begun.length
  const retried = await engine.retry(run_id, { only: 'failed' })
  await engine.done(retried.run_id)
  assert.deepEqual(
    host.begun.slice(before).map(({ step, host }) => `${step}@${host}`),
    ['a@x', 'b@local'],
  )
  broken = false
  const second = await engine.retry(first.run_id, { only: 'all' })
  assert.equal((await engine.done(second.run_id)).status, 'success')
  assert.deepEqual([second.retry_of, second.rolls_back], [run_id, run_id])
  assert.deepEqual(undone(host.begun.slice(before)), ['a (2)@y'])
  await assert.rejects(engine.rollback(run_id), { code: 'conflict', message: /was already rolled back/ })
})

test('a run that has undone part of itself is rolled back on the remaining hosts', async (t) => {
  let broken = true
  const { play, engine, host } = scriptedEngine(t, ({ step, host, action }) =>
    step === 'bad' || (action === 'vars.set' && host === 'y' && broken) ? 'failed' : 'success',
  )
  const { run_id } = await play(
    [step('a', { targets: ['x', 'y'], rollback }), step('bad')],
    inventory('x', 'y'),
  )
  broken = false
  const before = host.begun.length
  await engine.done((await engine.rollback(run_id)).run_id)
  assert.deepEqual(undone(host.begun.slice(before)), ['a (2)@y'])
})

test('on demand, there may be nothing to undo, or it may be too early', async (t) => {
  const { play, submit, engine } = scriptedEngine(t, ({ step }) =>
    step === 'hold' ? 'hold' : step === 'bad' ? 'failed' : 'success',
  )
  const plain = await play([step('a')])
  await assert.rejects(engine.rollback(plain.run_id), { code: 'conflict', hint: /rollback:/ })
  const already = await play([step('a', { rollback }), step('bad')])
  await assert.rejects(engine.rollback(already.run_id), { code: 'conflict' })
  const open = await submit([step('hold', { rollback })])
  await assert.rejects(engine.rollback(open), { code: 'run_not_ended' })
  await assert.rejects(engine.rollback('nowhere'), { code: 'run_not_found' })
})

test('what an earlier release has undone under a numbered name is not undone again', async (t) => {
  let earlier = ''
  const stored = new MemoryRunStore()
  const store = alteredStore(stored, {
    list: async (query) =>
      query?.rolls_back === undefined
        ? stored.list(query)
        : { runs: [(await stored.get(earlier))!].filter(Boolean) },
  })
  const { play, engine, host } = scriptedEngine(
    t,
    ({ step }) => (step.startsWith('bad') ? 'failed' : 'success'),
    { store },
  )
  const { run_id } = await play([step('a', { rollback }), step('b', { rollback })])
  earlier = (await play([step('b (1)'), step('bad (1)')])).run_id
  await engine.done((await engine.rollback(run_id)).run_id)
  assert.deepEqual(undone(host.begun), ['a@local'])
})

test('steps whose names look like a numbered name are undone under names of their own', async (t) => {
  const { play, engine, host } = scriptedEngine(t)
  const on = { targets: ['x', 'y'], rollback }
  const { run_id } = await play([step('a', on), step('a (1)', { rollback })], inventory('x', 'y'))
  await engine.done((await engine.rollback(run_id)).run_id)
  assert.deepEqual(undone(host.begun), ['a (1)@local', 'a (1) (1)@x', 'a (2)@y'])
})

test('a run whose steps have long names with the same beginning can be rolled back', async (t) => {
  const { play, engine } = scriptedEngine(t)
  const steps = [1, 2].map((number) => step('n'.repeat(160) + number, { rollback: { action: 'noop' } }))
  const { run_id } = await play(steps)
  const undo = await engine.rollback(run_id)
  await engine.done(undo.run_id)
  assert.deepEqual(
    (await engine.view(undo.run_id)).steps.map(({ status }) => status),
    ['success', 'success'],
  )
})
