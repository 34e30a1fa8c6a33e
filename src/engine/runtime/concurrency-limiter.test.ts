import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, step, until } from '../../../test/support/scripted-engine.ts'

const deploys = (limit?: number) => ({ concurrency: { group: 'deploy ${WHERE}', limit } })
const at = (run_id: string, WHERE = 'here') => ({ run_id, vars: { WHERE } })

test('runs of a group wait for their turn in order, and say what they wait for', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  for (const id of ['r1', 'r2', 'r3']) await submit([step(id)], deploys(), at(id))
  await submit([step('other')], deploys(), at('r4', 'there'))
  assert.deepEqual(host.ran, ['r1', 'other'])
  assert.equal(
    (await engine.get('r3'))?.waiting,
    'concurrency group "deploy here" runs 1 of 1; 1 ahead in line',
  )
  await host.endOf('r1')
  await until(() => host.ran.includes('r2'))
  const second = await engine.get('r2')
  assert.deepEqual([second?.status, second?.waiting], ['running', undefined])
  await host.endOf('r2', 'failed')
  await until(() => host.ran.includes('r3'))
  await host.endOf('r3')
  assert.equal((await engine.done('r3')).status, 'success')
})

test('as many runs run at once as the limit allows', async (t) => {
  const { submit, host } = scriptedEngine(t, () => 'hold')
  for (const id of ['r1', 'r2', 'r3']) await submit([step(id)], deploys(2), at(id))
  assert.deepEqual(host.ran, ['r1', 'r2'])
})

test('a later run with a higher limit lets waiting runs in, in order', async (t) => {
  const { submit, host } = scriptedEngine(t, () => 'hold')
  for (const id of ['r1', 'r2']) await submit([step(id)], deploys(), at(id))
  await submit([step('r3')], deploys(3), at('r3'))
  await until(() => host.ran.length === 3)
  assert.deepEqual(host.ran.toSorted(), ['r1', 'r2', 'r3'])
})

test('a queued run that is canceled never runs, and does not delay the others', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  for (const id of ['r1', 'r2', 'r3'])
    await submit([step(id)], { ...deploys(), finally: [step('last')] }, at(id))
  await engine.cancel('r2', { message: 'no' })
  const canceled = await engine.done('r2')
  assert.deepEqual([canceled.status, canceled.message, canceled.waiting], ['canceled', 'no', undefined])
  await host.endOf('r1')
  await host.endOf('last')
  await until(() => host.ran.includes('r3'))
  assert.deepEqual(host.ran, ['r1', 'last', 'r3'])
})

test('a turn that comes at the moment of a cancellation harms neither run', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  for (const id of ['r1', 'r2', 'r3']) await submit([step(id)], deploys(), at(id))
  await Promise.all([host.endOf('r1'), engine.cancel('r2').catch(() => {})])
  await until(() => host.ran.includes('r3') || host.held.size === 1)
  await engine.done('r2')
  await until(() => host.ran.includes('r3'))
  await host.endOf('r3')
  assert.deepEqual(
    (await Promise.all(['r1', 'r2', 'r3'].map((id) => engine.done(id)))).map(({ status }) => status),
    ['success', 'canceled', 'success'],
  )
})

test('a restart keeps the order, and running runs stay inside their group', async (t) => {
  const { submit, engine, host, again } = scriptedEngine(t, () => 'hold')
  for (const id of ['r1', 'r2', 'r3']) await submit([step(id)], deploys(), at(id))
  await engine.close()
  const after = again()
  await after.resume()
  assert.deepEqual(
    host.resumed.map(({ spec }) => spec.step),
    ['r1'],
  )
  assert.deepEqual(host.ran, ['r1'])
  for (const id of ['r1', 'r2', 'r3']) {
    await until(() => [...host.held.values()].some(({ spec }) => spec.step === id))
    await host.endOf(id)
  }
  await after.done('r3')
  assert.deepEqual(host.ran, ['r1', 'r2', 'r3'])
})

test('a sub-workflow of the same group shares the place of the run that waits for it', async (t) => {
  const { play, submit, host, engine } = scriptedEngine(t)
  const concurrency = { group: 'one' }
  const workflow = { version: 'v0.1', name: 'inner', concurrency, steps: [step('work')] }
  assert.equal(
    (await play([step('child', { action: 'workflow.run', args: { workflow } })], { concurrency })).status,
    'success',
  )
  await engine.done(await submit([step('next')], { concurrency }))
  assert.deepEqual(host.ran, ['work', 'next'])
})

test('refuses a run whose group name cannot be evaluated, and holds nothing', async (t) => {
  const { submit, engine } = scriptedEngine(t)
  await assert.rejects(submit([step('a')], deploys(), { run_id: 'r1' }), { code: 'unset_variable' })
  assert.equal(await engine.get('r1'), undefined)
  assert.equal((await engine.done(await submit([step('a')], deploys(), at('r1')))).status, 'success')
})
