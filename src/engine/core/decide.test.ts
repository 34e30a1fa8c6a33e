import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inventory, scriptedEngine, statusesOf, step, until } from '../../../test/support/scripted-engine.ts'

test('steps run one after another, in the order in which they are written', async (t) => {
  const { play, host, events } = scriptedEngine(t)
  const view = await play([step('a'), step('b'), step('c')])
  assert.equal(view.status, 'success')
  assert.deepEqual(host.ran, ['a', 'b', 'c'])
  const order = (await events(view.run_id)).flatMap((event) =>
    event.type === 'step.started' || event.type === 'step.finished' ? [`${event.step} ${event.type}`] : [],
  )
  assert.deepEqual(
    order,
    ['a', 'b', 'c'].flatMap((name) => [`${name} step.started`, `${name} step.finished`]),
  )
  assert.deepEqual(host.endedRuns, [view.run_id])
})

test('after a step fails, the later ones are skipped for upstream, and the run fails with its reason', async (t) => {
  const { play, host } = scriptedEngine(t, ({ step }) =>
    step === 'b' ? { outcome: 'failed', reason: 'exit_code', message: 'it said 3' } : 'success',
  )
  const view = await play([step('a'), step('b'), step('c'), step('d')])
  assert.deepEqual(statusesOf(view), [
    'a: success',
    'b: failed exit_code',
    'c: skipped upstream',
    'd: skipped upstream',
  ])
  assert.deepEqual(
    [view.status, view.reason, view.message],
    ['failed', 'exit_code', 'Step "b" failed: it said 3'],
  )
  assert.deepEqual(host.ran, ['a', 'b'])
})

test('with needs, independent branches continue after a failure, and only dependent steps are skipped', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, ({ step }) =>
    step === 'bad' ? 'failed' : step === 'slow' ? 'hold' : 'success',
  )
  const runId = await submit([
    step('bad', { needs: [] }),
    step('after-bad', { needs: ['bad'] }),
    step('after-that', { needs: ['after-bad', 'slow'] }),
    step('slow', { needs: [] }),
    step('after-slow', { needs: ['slow'] }),
  ])
  await until(async () => (await engine.view(runId)).steps[1]!.status === 'skipped')
  await host.endOf('slow')
  await engine.done(runId)
  const view = await engine.view(runId)
  assert.deepEqual(statusesOf(view), [
    'bad: failed exit_code',
    'after-bad: skipped upstream',
    'after-that: skipped upstream',
    'slow: success',
    'after-slow: success',
  ])
  assert.equal(view.steps[1]!.message, '"bad" failed')
  assert.equal(view.status, 'failed')
})

test('a diamond joins only when both of its sides have ended', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, ({ step }) =>
    step === 'left' || step === 'right' ? 'hold' : 'success',
  )
  const runId = await submit([
    step('join', { needs: ['left', 'right'] }),
    step('left', { needs: ['top'] }),
    step('right', { needs: ['top'] }),
    step('top', { needs: [] }),
  ])
  await until(() => host.held.size === 2)
  await host.endOf('right')
  assert.deepEqual(host.ran, ['top', 'left', 'right'])
  await host.endOf('left')
  assert.equal((await engine.done(runId)).status, 'success')
  assert.equal(host.ran.at(-1), 'join')
})

test('a step whose condition is false is skipped for that reason, and later steps still run', async (t) => {
  const { play, host } = scriptedEngine(t)
  const view = await play([step('a', { when: '${OK} == "yes"' }), step('b')], {}, { vars: { OK: 'no' } })
  assert.deepEqual(statusesOf(view), ['a: skipped condition', 'b: success'])
  assert.equal(view.steps[0]!.message, 'when: ${OK} == "yes" is false (OK is "no")')
  assert.deepEqual([view.status, host.ran.length], ['success', 1])
})

test('a condition that cannot be evaluated fails its step with the reason', async (t) => {
  const { play } = scriptedEngine(t)
  const unset = await play([step('a', { when: '${NOWHERE} == "x"' }), step('b')])
  assert.deepEqual(statusesOf(unset), ['a: failed unset_variable', 'b: skipped upstream'])
  assert.match(unset.message ?? '', /NOWHERE/)
  const wrong = await play(
    [step('a', { when: '${N} > 1', continue_on_error: true }), step('b')],
    {},
    { vars: { N: 'many' } },
  )
  assert.deepEqual(statusesOf(wrong), ['a: failed when_error', 'b: success'])
  assert.equal(wrong.status, 'success')
})

test('a variable that was never set fails the step that uses it, before anything is placed', async (t) => {
  const { play, host } = scriptedEngine(t)
  const view = await play([step('a', { env: { X: '${NOWHERE}' }, continue_on_error: true }), step('b')])
  assert.deepEqual(statusesOf(view), ['a: failed unset_variable', 'b: success'])
  assert.deepEqual([host.ran, host.placed.size], [['b'], 0])
})

test('a step that does not export a required variable fails at once, unless failures are allowed', async (t) => {
  const { play } = scriptedEngine(t, () => ({ exports: { OTHER: '1' } }))
  const must = { action: 'vars.set', args: { vars: { OTHER: '1' } }, expect_vars: ['TOKEN'] }
  const view = await play([step('a', must), step('b')])
  assert.deepEqual(statusesOf(view), ['a: failed expect_vars', 'b: skipped upstream'])
  assert.match(view.message ?? '', /did not export TOKEN, which expect_vars requires/)
  const may = await play([step('a', { ...must, continue_on_error: true }), step('b')])
  assert.deepEqual([may.status, ...statusesOf(may)], ['success', 'a: failed expect_vars', 'b: success'])
})

test('a step on several hosts runs on all at once, and fails if one of them fails', async (t) => {
  const { play, host } = scriptedEngine(t, (spec) => (spec.host === 'y' ? 'failed' : 'success'))
  const view = await play([step('a', { targets: ['x', 'y', 'z'] })], inventory('x', 'y', 'z'))
  assert.deepEqual(host.ran, ['a@x', 'a@y', 'a@z'])
  assert.deepEqual(
    view.steps[0]!.instances.map(({ status }) => status),
    ['success', 'failed', 'success'],
  )
  assert.match(view.message ?? '', /1 of 3 instances failed; y/)
})

test('a target that is not in the inventory fails the step', async (t) => {
  const { play } = scriptedEngine(t)
  const view = await play([step('a', { targets: ['${WHERE}'] })], inventory('x'), {
    vars: { WHERE: 'nowhere' },
  })
  assert.deepEqual(statusesOf(view), ['a: failed invalid_argument'])
  assert.match(view.message ?? '', /"nowhere" is not in inventory\.hosts.*Known hosts: x/)
})

test('a lost attempt makes the run interrupted, and an attempt canceled by the host makes it fail', async (t) => {
  const { play } = scriptedEngine(t, ({ step }) => ({
    outcome: step === 'gone' ? 'interrupted' : 'canceled',
    reason: 'lost',
  }))
  assert.equal((await play([step('gone')])).status, 'interrupted')
  assert.equal((await play([step('stopped')])).status, 'failed')
})

test('outputs of the workflow are filled in at the end; an invalid one fails a successful run', async (t) => {
  const { play, store } = scriptedEngine(t, () => ({ exports: { V: '7' } }))
  const good = await play([step('a')], { outputs: { RESULT: 'v${V}', STATUS: '${ERRAND_RUN_STATUS}' } })
  assert.deepEqual(good.outputs, { RESULT: 'v7', STATUS: 'success' })
  assert.deepEqual((await store.get(good.run_id))?.outputs, good.outputs)
  const bad = await play([step('a')], { outputs: { RESULT: '${NOWHERE}' } })
  assert.deepEqual([bad.status, bad.reason], ['failed', 'unset_variable'])
  assert.match(bad.message ?? '', /^Output RESULT: .*NOWHERE/)
})
