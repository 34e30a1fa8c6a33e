import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inventory, scriptedEngine, statusesOf, step } from '../../../test/support/scripted-engine.ts'

test('a full retry runs every step again, with the same variables', async (t) => {
  const { play, engine, host } = scriptedEngine(t)
  const first = await play([step('a'), step('b')], { env: { E: '1' } }, { vars: { V: 'x' }, owner: 'me' })
  const again = await engine.retry(first.run_id, { only: 'all' })
  assert.deepEqual([again.retry_of, again.owner], [first.run_id, 'me'])
  await engine.done(again.run_id)
  assert.deepEqual(host.ran, ['a', 'b', 'a', 'b'])
  assert.deepEqual([host.begun.at(-1)?.env.V, host.begun.at(-1)?.env.E], ['x', '1'])
})

test('a retry of failures takes over the steps and single hosts that succeeded, with their exports', async (t) => {
  let broken = true
  const { play, engine, host } = scriptedEngine(t, (spec) =>
    spec.step === 'b' && spec.host === 'y' && broken
      ? 'failed'
      : { exports: { [`FROM_${spec.step}`]: spec.host } },
  )
  const on = { targets: ['x', 'y'] }
  const first = await play([step('a'), step('b', on), step('c', on)], inventory('x', 'y'))
  broken = false
  const before = host.begun.length
  const { run_id } = await engine.retry(first.run_id, { only: 'failed' })
  await engine.done(run_id)
  const view = await engine.view(run_id)
  assert.deepEqual(statusesOf(view), ['a: success', 'b: success', 'c: success'])
  assert.deepEqual(host.ran.slice(before), ['b@y', 'c@x', 'c@y'])
  const { FROM_a, FROM_b } = host.begun.at(-2)!.env
  assert.deepEqual([FROM_a, FROM_b], ['local', 'x'])
})

test('a retry distinguishes items, and runs rolled-back steps again', async (t) => {
  let broken = true
  const rollback = { action: 'vars.set', args: { vars: {} } }
  const { play, engine, host } = scriptedEngine(t, ({ step, env }) =>
    step === 'b' && env.ITEM === '2' && broken ? 'failed' : 'success',
  )
  const first = await play([step('a', { rollback }), step('b', { foreach: [1, 2, 3] })])
  broken = false
  const before = host.begun.length
  const { run_id } = await engine.retry(first.run_id, { only: 'failed' })
  assert.equal((await engine.done(run_id)).status, 'success')
  assert.deepEqual(
    host.begun.slice(before).map(({ step, env }) => `${step} ${env.ITEM ?? ''}`),
    ['a ', 'b 2'],
  )
})

test('a retry of a retry takes over results from both', async (t) => {
  let fails = 'b'
  const { play, engine, host } = scriptedEngine(t, ({ step }) => (step === fails ? 'failed' : 'success'))
  const first = await play([step('a'), step('b'), step('c')])
  fails = 'c'
  const second = await engine.retry(first.run_id, { only: 'failed' })
  await engine.done(second.run_id)
  fails = ''
  const third = await engine.retry(second.run_id, { only: 'failed' })
  assert.equal((await engine.done(third.run_id)).status, 'success')
  assert.deepEqual(host.ran, ['a', 'b', 'b', 'c', 'c'])
})

test('refuses to retry a run that has not ended or does not exist', async (t) => {
  const { submit, engine } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  await assert.rejects(engine.retry(runId, { only: 'all' }), { code: 'run_not_ended' })
  await assert.rejects(engine.retry('nowhere', { only: 'all' }), { code: 'run_not_found' })
})
