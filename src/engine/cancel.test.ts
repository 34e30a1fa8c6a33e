import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, statusesOf, step, until } from '../../test/support/scripted-engine.ts'

test('a canceled run ends its attempts, skips the remaining steps, and runs its finally steps', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, ({ step }) => (step === 'a' ? 'hold' : 'success'))
  const runId = await submit([step('a'), step('b')], {
    finally: [step('clean', { env: { HOW: '${ERRAND_RUN_STATUS}' } })],
  })
  await engine.cancel(runId, { by: 'me', message: 'enough' })
  const { status, reason, message } = await engine.done(runId)
  assert.deepEqual([status, reason, message], ['canceled', 'canceled', 'enough'])
  assert.deepEqual(statusesOf(await engine.view(runId)), [
    'a: canceled canceled',
    'b: skipped canceled',
    'finally clean: success',
  ])
  assert.deepEqual(host.canceled, [{ id: `${runId}.1`, reason: 'canceled', force: false }])
  assert.deepEqual(
    [host.begun.at(-1)?.env.HOW, host.begun.at(-1)?.env.ERRAND_RUN_STATUS],
    ['canceled', 'canceled'],
  )
})

test('a second, forced cancellation ends running finally steps and skips the others', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')], { finally: [step('clean'), step('tell')] })
  await engine.cancel(runId)
  await until(() => host.ran.includes('clean'))
  await engine.cancel(runId)
  assert.equal(host.held.size, 1)
  await engine.cancel(runId, { force: true })
  await engine.done(runId)
  assert.deepEqual(statusesOf(await engine.view(runId)), [
    'a: canceled canceled',
    'finally clean: canceled canceled',
    'finally tell: skipped canceled',
  ])
  assert.ok(host.canceled.some(({ id, force }) => id === `${runId}.2` && force))
})

test('a run that is canceled by force from the start runs no finally step', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')], { finally: [step('clean')] })
  await engine.cancel(runId, { force: true })
  assert.equal((await engine.done(runId)).status, 'canceled')
  assert.deepEqual(host.ran, ['a'])
})

test('refuses to cancel a run that has ended or does not exist, and changes nothing', async (t) => {
  const { play, engine, events } = scriptedEngine(t)
  const { run_id } = await play([step('a')])
  const before = await events(run_id)
  await assert.rejects(engine.cancel(run_id), { code: 'run_ended' })
  await assert.rejects(engine.cancel('nowhere'), { code: 'run_not_found' })
  assert.deepEqual(await events(run_id), before)
})

test('a rollback continues despite a cancellation, and the failure stays the cause', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, ({ step, action }) =>
    step === 'b' ? 'failed' : action === 'vars.set' ? 'hold' : 'success',
  )
  const rollback = { action: 'vars.set', args: { vars: {} } }
  const runId = await submit([step('a', { rollback }), step('b')], { finally: [step('clean')] })
  await until(() => host.held.size === 1)
  await engine.cancel(runId)
  assert.equal((await engine.get(runId))?.status, 'running')
  await host.endOf('a')
  assert.deepEqual(await engine.done(runId).then(({ status, reason }) => [status, reason]), [
    'failed',
    'exit_code',
  ])
  assert.deepEqual(statusesOf(await engine.view(runId)), [
    'a: success',
    'b: failed exit_code',
    'rollback a: success',
    'finally clean: success',
  ])
})

test('running finally steps continue despite a cancellation, and the run is canceled', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, ({ step }) => (step === 'clean' ? 'hold' : 'success'))
  const runId = await submit([step('a')], { finally: [step('clean'), step('tell')] })
  await until(() => host.held.size === 1)
  await engine.cancel(runId)
  await host.endOf('clean')
  assert.equal((await engine.done(runId)).status, 'canceled')
  assert.equal(host.begun.at(-1)?.env.ERRAND_RUN_STATUS, 'success')
})

test('a run that takes too long is ended for that reason, rolled back and cleaned up', async (t) => {
  const { submit, engine, host, clock } = scriptedEngine(t, ({ step, action }) =>
    step === 'b' && action === 'noop' ? 'hold' : 'success',
  )
  const rollback = { action: 'vars.set', args: { vars: {} } }
  const more = { timeout_seconds: 90, finally: [step('clean')] }
  const runId = await submit([step('a', { rollback }), step('b'), step('c')], more)
  await until(() => host.held.size === 1)
  assert.deepEqual(clock.pendingMs, [90_000])
  clock.advance()
  const { status, reason, message } = await engine.done(runId)
  assert.deepEqual([status, reason, message], ['failed', 'timeout', 'The run took longer than 90 s.'])
  assert.deepEqual(statusesOf(await engine.view(runId)), [
    'a: success',
    'b: failed timeout',
    'c: skipped timeout',
    'rollback a: success',
    'finally clean: success',
  ])
  assert.deepEqual(clock.pendingMs, [])
})

test('a run that ends in time leaves no timer behind', async (t) => {
  const { play, clock } = scriptedEngine(t)
  await play([step('a')], { timeout_seconds: 3600 })
  assert.deepEqual(clock.pendingMs, [])
})

test('a cancellation after the timeout does not hide the timeout', async (t) => {
  const { submit, engine, host, clock } = scriptedEngine(t, () => 'hold')
  host.obeys = false
  const runId = await submit([step('a')], { timeout_seconds: 5 })
  clock.advance()
  await until(() => host.canceled.length === 1)
  await engine.cancel(runId)
  await host.endOf('a', { outcome: 'canceled' })
  assert.equal((await engine.done(runId)).reason, 'timeout')
})
