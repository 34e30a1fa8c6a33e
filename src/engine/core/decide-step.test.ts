import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inventory, scriptedEngine, statusesOf, step, until } from '../../../test/support/scripted-engine.ts'
import { builtinActions } from '../../contract/actions.ts'
import type { RunView } from '../../contract/run.ts'
import { Workflow } from '../../contract/workflow.ts'
import { evolve } from './evolve.ts'
import { plan } from './plan.ts'
import { initialState } from './state.ts'

const statuses = (view: RunView, at = 0) => view.steps[at]!.instances.map(({ status }) => status)

test('each host has its own exports, and a step runs only on the hosts where its condition holds', async (t) => {
  const { play, host } = scriptedEngine(t, (spec) =>
    spec.step === 'probe' ? { exports: { OLD: spec.host === 'x' ? 'yes' : 'no' } } : 'success',
  )
  const targets = ['x', 'y']
  const view = await play(
    [step('probe', { targets }), step('update', { targets, when: '${OLD} == yes' }), step('after')],
    inventory('x', 'y'),
  )
  assert.deepEqual(host.ran, ['probe@x', 'probe@y', 'update@x', 'after'])
  assert.deepEqual(
    [view.status, ...statusesOf(view)],
    ['success', 'probe: success', 'update: success', 'after: success'],
  )
  assert.deepEqual(
    view.steps[1]!.instances.map(({ host, status, reason }) => [host, status, reason]),
    [
      ['x', 'success', undefined],
      ['y', 'skipped', 'condition'],
    ],
  )
})

test('a condition sees the host, the step, its env, and the variables of a combination or an item', async (t) => {
  const { play, host } = scriptedEngine(t)
  const view = await play(
    [
      step('host', { targets: ['x', 'y'], when: '${ERRAND_HOST} == y && ${ERRAND_STEP} == host' }),
      step('matrix', { matrix: { N: [1, 2, 3], OS: ['a', 'b'] }, when: '${N} > 1 && ${OS} == b' }),
      step('item', { foreach: ['one', 'two'], when: '${ITEM} != one' }),
      step('env', { env: { A: '${B}!', C: '${A}' }, when: '${C} == "b!"' }),
    ],
    inventory('x', 'y'),
    { vars: { B: 'b' } },
  )
  assert.equal(view.status, 'success')
  assert.deepEqual(
    host.begun.map(({ step, host, env }) => [step, host, env.N ?? env.ITEM ?? '']),
    [
      ['host', 'y', ''],
      ['matrix', 'local', '2'],
      ['matrix', 'local', '3'],
      ['item', 'local', 'two'],
      ['env', 'local', ''],
    ],
  )
})

test('a step without an instance to run is skipped, whether its items and env can be evaluated or not', async (t) => {
  const { play } = scriptedEngine(t)
  const when = '${FILES:-} != ""'
  const view = await play([
    step('hosts', { matrix: { N: [1, 2] }, when: '${N} > 2' }),
    step('items', { foreach: '${FILES}', when }),
    step('env', { env: { FIRST: '${FILES}' }, when }),
    step('none', { foreach: [], when: 'false' }),
    step('nothing', { foreach: [], when: '${ITEM} == a' }),
  ])
  assert.deepEqual(statusesOf(view), [
    'hosts: skipped condition',
    'items: skipped condition',
    'env: skipped condition',
    'none: skipped condition',
    'nothing: success',
  ])
  assert.equal(view.steps[0]!.message, 'when: ${N} > 2 is false')
})

test('a false condition shows the values of its variables, and hides those of credentials', async (t) => {
  const { play } = scriptedEngine(t)
  const view = await play(
    [
      step('vars', { when: '${STAGE} == prod || ${STAGE} == "${NOT_SET:-}x"' }),
      step('hidden', { when: '${API_TOKEN} == x' }),
      step('long', { when: '${LONG} == x' }),
      step('own', { env: { STAGE: 'own' }, when: '${STAGE} == prod && ${ERRAND_STEP} == own' }),
      step('never', { when: 'false' }),
    ],
    {},
    { vars: { STAGE: 'dev', API_TOKEN: 'abcdefghijkl', LONG: 'y'.repeat(1000) } },
  )
  assert.deepEqual(
    view.steps.map(({ message }) => message),
    [
      'when: ${STAGE} == prod || ${STAGE} == "${NOT_SET:-}x" is false (STAGE is "dev")',
      'when: ${API_TOKEN} == x is false (API_TOKEN is ***)',
      `when: \${LONG} == x is false (LONG is "${'y'.repeat(59)}…")`,
      'when: ${STAGE} == prod && ${ERRAND_STEP} == own is false (STAGE is "own", ERRAND_STEP is "own")',
      'when: false',
    ],
  )
})

test('if a condition cannot be evaluated, that instance fails with the reason, and the others run', async (t) => {
  const { play, host } = scriptedEngine(t, (spec) =>
    spec.step === 'probe'
      ? { exports: { N: spec.host === 'y' ? 'many' : spec.host === 'z' ? '0' : '2' } }
      : 'success',
  )
  const targets = ['x', 'y', 'z']
  const view = await play(
    [step('probe', { targets }), step('a', { targets, when: '${N} > 1' }), step('b')],
    inventory(...targets),
  )
  assert.deepEqual(statusesOf(view), ['probe: success', 'a: failed when_error', 'b: skipped upstream'])
  assert.deepEqual(statuses(view, 1), ['success', 'failed', 'skipped'])
  assert.match(view.steps[1]!.instances[1]!.message ?? '', /"many" is not a number/)
  assert.match(view.message ?? '', /1 of 3 instances failed; y: "many" is not a number/)
  assert.deepEqual(host.ran, ['probe@x', 'probe@y', 'probe@z', 'a@x'])
})

test('skipped instances use no place of max_parallel, export nothing, and are not rolled back', async (t) => {
  const rollback = { action: 'vars.set', args: { vars: {} } }
  const { submit, engine, host } = scriptedEngine(t, ({ step, action }) =>
    step === 'bad' ? 'failed' : step === 'a' && action === 'noop' ? 'hold' : 'success',
  )
  const runId = await submit([
    step('a', {
      foreach: ['0', '1', '2', '3', '4'],
      max_parallel: 2,
      when: '${ITEM} != 0 && ${ITEM} != 2',
      rollback,
    }),
    step('bad', { env: { SEEN: '${V}' } }),
  ])
  await until(() => host.held.size === 2)
  assert.deepEqual(statuses(await engine.view(runId)), ['skipped', 'running', 'skipped', 'running', 'queued'])
  for (let ended = 0; ended < 3; ended++) {
    await until(() => host.held.size > 0)
    await host.endOf('a', { exports: { V: 'set' } })
  }
  await engine.done(runId)
  assert.equal(host.begun.find(({ step }) => step === 'bad')?.env.SEEN, 'set')
  const undone = host.begun.filter(({ action }) => action === 'vars.set').map(({ env }) => env.ITEM)
  assert.deepEqual(undone, ['1', '3', '4'])
})

test('a retry of failed instances takes over successful ones, and evaluates the condition of the others again', async (t) => {
  let bad = true
  const { play, engine, host } = scriptedEngine(t, ({ env }) =>
    bad && env.ITEM === 'b' ? 'failed' : 'success',
  )
  const view = await play([step('a', { foreach: ['a', 'b', 'c'], when: '${ITEM} != c' })])
  assert.deepEqual(statuses(view), ['success', 'failed', 'skipped'])
  bad = false
  const again = await engine.retry(view.run_id, { only: 'failed' })
  await engine.done(again.run_id)
  assert.deepEqual(statuses(await engine.view(again.run_id)), ['success', 'success', 'skipped'])
  assert.deepEqual(
    host.begun.map(({ env }) => env.ITEM),
    ['a', 'b', 'b'],
  )
})

test('finally steps, approvals and sub-workflows are also decided per instance, and a restart keeps decisions', async (t) => {
  const { submit, engine, host, again, events } = scriptedEngine(t, () => 'hold')
  const items = { foreach: ['a', 'b'], when: '${ITEM} == b' }
  const inner = {
    version: 'v0.1',
    name: 'inner',
    steps: [{ name: 'in', action: 'vars.set', args: { vars: {} } }],
  }
  const runId = await submit(
    [
      step('ask', { ...items, action: 'approval.wait', args: { message: 'go ${ITEM}?' } }),
      step('sub', { ...items, action: 'workflow.run', args: { workflow: inner } }),
      step('work', items),
    ],
    { finally: [step('end', { foreach: ['success', 'failed'], when: '${ITEM} == ${ERRAND_RUN_STATUS}' })] },
  )
  await until(async () => (await engine.view(runId)).steps[0]!.status === 'waiting')
  await engine.answer(runId, { step: 'ask', decision: 'approve' })
  await until(() => host.held.size === 1)
  await host.endOf('in')
  await until(async () => (await engine.view(runId)).steps[2]!.status === 'running')
  await engine.close()
  const next = again()
  await next.resume()
  await host.endOf('work')
  await until(() => host.held.size === 1)
  await host.endOf('end')
  await next.done(runId)
  const view = await next.view(runId)
  assert.deepEqual(
    [0, 1, 2].map((at) => statuses(view, at)),
    [
      ['skipped', 'success'],
      ['skipped', 'success'],
      ['skipped', 'success'],
    ],
  )
  assert.deepEqual(statuses(view, 3), ['success', 'skipped'])
  assert.equal(view.status, 'success')
  assert.ok((await events(runId)).filter(({ type }) => type === 'child.started').length === 1)
})

test('a log from before conditions were decided per instance folds to the same state', () => {
  const workflow = Workflow.parse({
    version: 'v0.1',
    name: 'old',
    inventory: { hosts: { x: {}, y: {} } },
    steps: [
      { name: 'a', action: 'noop', when: '1 > 2', targets: ['x', 'y'] },
      { name: 'b', action: 'noop', when: '${N} > 2', continue_on_error: true },
      { name: 'c', action: 'noop', when: '1 < 2', targets: ['x', 'y'] },
    ],
  })
  const state = initialState(plan(workflow, builtinActions))
  const c = { step: 'c', phase: 'main' } as const
  const log = [
    { type: 'run.created', workflow_name: 'old', vars: {} },
    { type: 'run.started' },
    { type: 'step.skipped', step: 'a', phase: 'main', reason: 'condition', message: 'when: 1 > 2 is false' },
    { type: 'step.started', step: 'b', phase: 'main', instances: [] },
    {
      type: 'step.finished',
      step: 'b',
      phase: 'main',
      status: 'failed',
      reason: 'when_error',
      message: 'no number',
    },
    { type: 'step.started', ...c, instances: [{ host: 'x' }, { host: 'y' }] },
    { type: 'attempt.created', attempt: 1, ...c, instance: 0, host: 'x', try: 1, epoch: 1 },
    { type: 'attempt.created', attempt: 2, ...c, instance: 1, host: 'y', try: 1, epoch: 1 },
    { type: 'attempt.finished', attempt: 1, step: 'c', host: 'x', outcome: 'success' },
    { type: 'attempt.finished', attempt: 2, step: 'c', host: 'y', outcome: 'success' },
    { type: 'step.finished', ...c, status: 'success' },
    { type: 'run.finished', status: 'success' },
  ] as const
  const time = '2026-01-01T00:00:00.000Z'
  for (const [index, event] of log.entries()) evolve(state, { seq: index + 1, time, ...event } as never)
  assert.deepEqual(
    state.main.map(({ status, reason, instances }) => [
      status,
      reason,
      instances.map(({ status }) => status),
    ]),
    [
      ['skipped', 'condition', []],
      ['failed', 'when_error', []],
      ['success', undefined, ['success', 'success']],
    ],
  )
  assert.equal(state.status, 'success')
})
