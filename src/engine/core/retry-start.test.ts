import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inventory, scriptedEngine, statusesOf, step } from '../../../test/support/scripted-engine.ts'
import type { RetryPlan } from '../../contract/runs/retry.ts'
import type { WorkflowFile } from '../../contract/workflow.ts'

const sub = (name: string, steps: WorkflowFile['steps'], more: object = {}, inputs = {}) =>
  step(name, {
    action: 'workflow.run',
    args: { inputs, workflow: { version: 'v0.1', name: `${name} inner`, steps, ...more } },
  })

const figures = ({ taken_over, again, kept, skipped }: RetryPlan) => [taken_over, again, kept, skipped]

test('a retry from a step runs it and all later steps, and takes over earlier ones with their exports', async (t) => {
  const { play, engine, host } = scriptedEngine(t, ({ step }) => ({ exports: { [`FROM_${step}`]: 'first' } }))
  const first = await play([step('a'), step('b'), step('c')])
  const plan = await engine.retryPlan(first.run_id, { from: 'b' })
  assert.deepEqual([figures(plan), plan.try], [[1, 2, 0, 0], 2])
  assert.equal(plan.cli, `errand runs retry ${first.run_id} --from b`)
  assert.equal(host.begun.length, 3)
  const { run_id } = await engine.retry(first.run_id, { from: 'b' })
  await engine.done(run_id)
  assert.deepEqual(host.ran.slice(3), ['b', 'c'])
  assert.equal(host.begun[3]?.env.FROM_a, 'first')
})

test('in a graph, only the steps that need the step run again, whatever is below it', async (t) => {
  const { play, engine, host } = scriptedEngine(t)
  const first = await play([
    step('c', { needs: ['a'] }),
    step('a', { needs: [] }),
    step('b', { needs: [] }),
    step('d', { needs: ['c', 'b'] }),
  ])
  const { run_id } = await engine.retry(first.run_id, { from: 'a' })
  assert.equal((await engine.done(run_id)).status, 'success')
  assert.deepEqual(host.ran.slice(4), ['a', 'c', 'd'])
})

test('one host of a step runs again with what needs it; another failed host stays unchanged', async (t) => {
  let broken = ['y', 'z']
  const { play, engine, host } = scriptedEngine(t, (spec) =>
    spec.step === 'b' && broken.includes(spec.host) ? 'failed' : 'success',
  )
  const first = await play(
    [step('a'), step('b', { targets: ['x', 'y', 'z'] }), step('c')],
    inventory('x', 'y', 'z'),
  )
  broken = []
  const plan = await engine.retryPlan(first.run_id, { step: 'b', hosts: ['y'] })
  assert.deepEqual(figures(plan), [2, 1, 2, 0])
  const before = host.begun.length
  const second = await engine.retry(first.run_id, { step: 'b', hosts: ['y'] })
  await engine.done(second.run_id)
  const view = await engine.view(second.run_id)
  assert.deepEqual(host.ran.slice(before), ['b@y'])
  assert.deepEqual(statusesOf(view), ['a: success', 'b: failed exit_code', 'c: skipped upstream'])
  assert.deepEqual(
    view.steps[1]!.instances.map(({ host, status, reason }) => [host, status, reason]),
    [
      ['x', 'success', undefined],
      ['y', 'success', undefined],
      ['z', 'failed', 'exit_code'],
    ],
  )
  const third = await engine.retry(second.run_id, { step: 'b', instances: [2] })
  assert.equal((await engine.done(third.run_id)).status, 'success')
  assert.deepEqual(host.ran.slice(before), ['b@y', 'b@z', 'c'])
})

test('identical items are each found once', async (t) => {
  let failing = 1
  const { play, engine, host } = scriptedEngine(t, () => (failing-- > 0 ? 'failed' : 'success'))
  const first = await play([step('a', { foreach: ['same', 'same'] })])
  const { run_id } = await engine.retry(first.run_id, { only: 'failed' })
  assert.equal((await engine.done(run_id)).status, 'success')
  assert.equal(host.begun.length, 3)
})

test('a step can be forced past its condition, and a left-out step does not block the others', async (t) => {
  const { play, engine, host } = scriptedEngine(t, ({ step }) => (step === 'b' ? 'failed' : 'success'))
  const first = await play([step('a', { when: "${GO} == 'yes'" }), step('b'), step('c')], {
    env: { GO: 'no' },
  })
  assert.deepEqual(statusesOf(first), ['a: skipped condition', 'b: failed exit_code', 'c: skipped upstream'])
  const retry = { only: 'failed', run_anyway: ['a'], skip: ['b'] } as const
  const request = { ...retry, run_anyway: [...retry.run_anyway], skip: [...retry.skip] }
  const plan = await engine.retryPlan(first.run_id, request)
  assert.deepEqual(figures(plan), [0, 2, 0, 1])
  assert.equal(plan.cli, `errand runs retry ${first.run_id} --failed --run-anyway a --skip b`)
  const { run_id } = await engine.retry(first.run_id, request)
  assert.equal((await engine.done(run_id)).status, 'success')
  assert.deepEqual(statusesOf(await engine.view(run_id)), ['a: success', 'b: skipped left_out', 'c: success'])
  assert.deepEqual(host.ran, ['b', 'a', 'c'])
})

test('the hosts of a left-out step that succeeded are taken over', async (t) => {
  const { play, engine, host } = scriptedEngine(t, ({ step, host }) =>
    step === 'a' && host === 'y' ? 'failed' : { exports: { OF: host } },
  )
  const first = await play([step('a', { targets: ['x', 'y'] }), step('b')], inventory('x', 'y'))
  const { run_id } = await engine.retry(first.run_id, { only: 'failed', skip: ['a'] })
  assert.equal((await engine.done(run_id)).status, 'success')
  assert.equal(host.begun.at(-1)?.env.OF, 'x')
  const { steps } = await engine.view(run_id)
  assert.deepEqual(
    steps[0]!.instances.map(({ status }) => status),
    ['success', 'skipped'],
  )
})

test('a failed sub-run is retried itself, unless its inputs have changed', async (t) => {
  let broken = true
  const { play, engine, host } = scriptedEngine(t, ({ step }) =>
    step === 'two' && broken ? 'failed' : { exports: { V: broken ? 'first' : 'second' } },
  )
  const inputs = { inputs: { IN: { type: 'string' } } }
  const steps = [
    step('before'),
    sub('outer', [step('one'), step('two')], inputs, { IN: '${V}' }),
    step('after'),
  ]
  const first = await play(steps)
  broken = false
  const plan = await engine.retryPlan(first.run_id, { only: 'failed' })
  assert.deepEqual(
    plan.steps.map(({ step, taken_over, again }) => [step, taken_over, again]),
    [
      ['before', 1, 0],
      ['outer', 0, 1],
      ['outer > one', 1, 0],
      ['outer > two', 0, 1],
      ['after', 0, 1],
    ],
  )
  assert.deepEqual(figures(plan), [1, 2, 0, 0])
  let begun = host.begun.length
  const { run_id } = await engine.retry(first.run_id, { only: 'failed' })
  assert.equal((await engine.done(run_id)).status, 'success')
  assert.deepEqual(host.ran.slice(begun), ['two', 'after'])
  const view = await engine.view(run_id)
  const child = await engine.view(view.steps[1]!.child_run_ids![0]!)
  assert.deepEqual([child.retry_of, child.try], [first.steps[1]!.child_run_ids![0], 2])

  begun = host.begun.length
  const within = await engine.retry(run_id, { from: 'outer > two' })
  await engine.done(within.run_id)
  assert.deepEqual(host.ran.slice(begun), ['two', 'after'])

  // Although it was taken over twice and left unchanged, its original run is still known.
  const ship = await engine.retry(run_id, { from: 'after' })
  await engine.done(ship.run_id)
  begun = host.begun.length
  const later = await engine.retry(ship.run_id, { from: 'outer > two' })
  await engine.done(later.run_id)
  assert.deepEqual(host.ran.slice(begun), ['two', 'after'])
  broken = true
  const failed = await engine.retry(run_id, { from: 'outer > two' })
  await engine.done(failed.run_id)
  const beside = await engine.retry(failed.run_id, { step: 'before' })
  await engine.done(beside.run_id)
  broken = false
  begun = host.begun.length
  const retried = await engine.retry(beside.run_id, { step: 'outer > two' })
  assert.equal((await engine.done(retried.run_id)).status, 'success')
  assert.deepEqual(host.ran.slice(begun), ['two', 'after'])

  begun = host.begun.length
  const restarted = await engine.retry(first.run_id, { from: 'before' })
  await engine.done(restarted.run_id)
  assert.deepEqual(host.ran.slice(begun), ['before', 'one', 'two', 'after'])
})

test('a failed sub-run with changed inputs starts from the beginning', async (t) => {
  let broken = true
  const { play, engine, host } = scriptedEngine(t, ({ step }) =>
    step === 'two' && broken ? 'failed' : { exports: { V: broken ? 'first' : 'second' } },
  )
  const rollback = { action: 'vars.set', args: { vars: {} } }
  const first = await play([
    step('before', { rollback }),
    sub('outer', [step('one'), step('two')], { inputs: { IN: { type: 'string' } } }, { IN: '${V}' }),
  ])
  broken = false
  const begun = host.begun.length
  const { run_id } = await engine.retry(first.run_id, { only: 'failed' })
  assert.equal((await engine.done(run_id)).status, 'success')
  assert.deepEqual(host.ran.slice(begun), ['before', 'one', 'two'])
})

test('tries form a chain, which each of them shows', async (t) => {
  const { play, engine } = scriptedEngine(t)
  const first = await play([step('a')])
  assert.deepEqual([first.try, first.chain], [undefined, undefined])
  const [second, third] = await Promise.all([
    engine.retry(first.run_id, { only: 'all' }),
    engine.retry(first.run_id, { only: 'failed' }),
  ])
  await engine.done(third.run_id)
  const fourth = await engine.retry(third.run_id, {})
  await engine.done(fourth.run_id)
  const ids = [first, second, third, fourth].map(({ run_id }) => run_id)
  for (const [index, id] of ids.entries()) {
    const { chain, try: number, tries } = await engine.view(id)
    assert.deepEqual([chain?.map(({ run_id }) => run_id), number, tries], [ids, index + 1, 4])
  }
  assert.equal((await engine.view(first.run_id)).retried_as, third.run_id)
  assert.equal((await engine.view(third.run_id)).retried_as, fourth.run_id)
  const { runs } = await engine.list({ latest: true, limit: 10 })
  assert.deepEqual(
    runs.map(({ run_id }) => run_id),
    [fourth.run_id],
  )
})

test('refuses a retry that makes no sense, and says what to do', async (t) => {
  const { play, engine } = scriptedEngine(t)
  const { run_id } = await play([step('a'), step('b', { when: "'x' == 'x'" })], inventory('x'))
  const refused: [Parameters<typeof engine.retryPlan>[1], RegExp][] = [
    [{ from: 'nowhere' }, /no main step "nowhere"/],
    [{ from: 'a > x' }, /"a" is not a sub-workflow/],
    [{ only: 'failed', from: 'a' }, /cannot be combined/],
    [{ hosts: ['x'] }, /apply to one step/],
    [{ step: 'a', hosts: ['x'] }, /no instance on "x"/],
    [{ step: 'a', instances: [1] }, /no instance 1/],
    [{ step: 'a', hosts: ['local'], instances: [0] }, /cannot be combined/],
    [{ skip: ['b'], run_anyway: ['b'] }, /both skip and run_anyway/],
    [{ from: 'a', skip: ['a'] }, /cannot be skipped/],
    [{ only: 'failed', skip: ['a'] }, /takes over the result/],
    [{ run_anyway: ['a'] }, /has no "when"/],
  ]
  for (const [request, message] of refused) {
    const isRefused = (error: { code?: string; hint?: string; message: string }) =>
      error.code === 'invalid_argument' && message.test(error.message) && (error.hint ?? '') !== ''
    await assert.rejects(engine.retryPlan(run_id, request), isRefused)
    await assert.rejects(engine.retry(run_id, request), isRefused)
  }
})
