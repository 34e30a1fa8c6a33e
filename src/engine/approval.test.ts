import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, statusesOf, step, until } from '../../test/support/scripted-engine.ts'

const ask = (args: Record<string, unknown> = {}, more = {}) =>
  step('ask', { action: 'approval.wait', args, ...more })

test('an approval waits until it is answered, and then its run continues', async (t) => {
  const { submit, engine, host, clock } = scriptedEngine(t)
  const runId = await submit([ask({ message: 'Ship ${V}?' }), step('ship')], {}, { vars: { V: '1.2' } })
  const [waiting] = (await engine.view(runId)).steps
  assert.deepEqual(
    [waiting!.status, waiting!.approval?.message, clock.pendingMs],
    ['waiting', 'Ship 1.2?', []],
  )
  await engine.answer(runId, { step: 'ask', decision: 'approve', by: 'me' })
  assert.equal((await engine.done(runId)).status, 'success')
  assert.deepEqual(host.ran, ['ship'])
})

test('a rejected approval fails its step, and says who rejected it and why', async (t) => {
  const { submit, engine } = scriptedEngine(t)
  const runId = await submit([ask(), step('ship')])
  await engine.answer(runId, { step: 'ask', decision: 'reject', by: 'me', comment: 'not today' })
  assert.equal((await engine.done(runId)).reason, 'rejected')
  const view = await engine.view(runId)
  assert.deepEqual(statusesOf(view), ['ask: failed rejected', 'ship: skipped upstream'])
  assert.equal(view.steps[0]!.message, 'rejected by me: not today')
})

test('a run continues after a rejection with a comment if a variable takes the comment', async (t) => {
  const answered = async (...answers: { decision: 'approve' | 'reject'; comment?: string }[]) => {
    const { submit, engine, host } = scriptedEngine(t)
    const again = step('again', { when: '${CHANGE:-} != ""' })
    const runId = await submit([ask({ comment_as: 'CHANGE' }), again, step('ship')])
    for (const answer of answers) await engine.answer(runId, { step: 'ask', ...answer })
    const { status, reason } = await engine.done(runId)
    return [status, reason, ...host.ran]
  }
  assert.deepEqual(await answered({ decision: 'reject', comment: 'smaller' }), [
    ...['success', undefined, 'again', 'ship'],
  ])
  assert.deepEqual(await answered({ decision: 'approve', comment: 'good' }), ['success', undefined, 'ship'])
  for (const comment of [undefined, ' '])
    assert.deepEqual(await answered({ decision: 'reject', comment }), ['failed', 'rejected'])
})

test('the wait for a person counts toward the time limit of the run, unless only work counts', async (t) => {
  const limited = async (timeout_counts?: 'work') => {
    const world = scriptedEngine(t, () => 'hold')
    const steps = [ask(), ask({}, { name: 'more' }), step('ship')]
    const runId = await world.submit(steps, { timeout_seconds: 60, timeout_counts })
    return { ...world, runId }
  }
  assert.deepEqual((await limited()).clock.pendingMs, [60_000])
  const { engine, clock, runId } = await limited('work')
  assert.deepEqual(clock.pendingMs, [])
  for (const name of ['ask', 'more']) {
    clock.wake(clock.now() + 500_000, () => {})
    clock.advance()
    await engine.answer(runId, { step: name, decision: 'approve' })
  }
  await until(async () => (await engine.view(runId)).steps[2]!.status === 'running')
  assert.deepEqual(clock.pendingMs, [60_000])
  clock.advance()
  await until(async () => (await engine.view(runId)).steps[2]!.status !== 'running')
  assert.equal((await engine.done(runId)).reason, 'timeout')
})

test('refuses an answer to a step that waits for none, and says which steps do', async (t) => {
  const { submit, engine } = scriptedEngine(t)
  const runId = await submit([ask(), step('ship')])
  await assert.rejects(engine.answer(runId, { step: 'ship', decision: 'approve' }), {
    code: 'approval_not_pending',
    hint: 'Waiting: "ask".',
  })
  const [first, second] = await Promise.allSettled([
    engine.answer(runId, { step: 'ask', decision: 'approve' }),
    engine.answer(runId, { step: 'ask', decision: 'reject' }),
  ])
  assert.deepEqual([first.status, second.status], ['fulfilled', 'rejected'])
  assert.equal((await engine.done(runId)).status, 'success')
})

for (const [on_timeout, status] of [
  ['approve', 'success'],
  ['reject', 'failed'],
] as const)
  test(`an approval that nobody answers in time counts as ${on_timeout}`, async (t) => {
    const { submit, engine, clock } = scriptedEngine(t)
    const runId = await submit([ask({ timeout_seconds: 60, on_timeout })])
    assert.deepEqual(clock.pendingMs, [60_000])
    clock.advance()
    assert.equal((await engine.done(runId)).status, status)
  })

test('refuses a time beyond the calendar, for an approval and for the questions of an agent', async (t) => {
  const { submit } = scriptedEngine(t)
  const permissions = { mode: 'ask', ask_timeout_seconds: 1e13 }
  const agent = step('agent', { action: 'agent.run', args: { prompt: 'Hello', permissions } })
  for (const one of [ask({ timeout_seconds: 1e13 }), agent])
    await assert.rejects(submit([one]), { code: 'invalid_workflow' })
})

test('an approval that cannot be asked fails its step with the reason', async (t) => {
  const { play } = scriptedEngine(t)
  const unset = await play([ask({ message: 'Ship ${NOWHERE}?' })])
  assert.deepEqual(statusesOf(unset), ['ask: failed unset_variable'])
  assert.match(unset.message ?? '', /NOWHERE/)
})

test('a cancellation ends the wait, and nothing waits for an answer any more', async (t) => {
  const { submit, engine, clock } = scriptedEngine(t)
  const runId = await submit([ask({ timeout_seconds: 60 })], { finally: [ask({}, { name: 'last' })] })
  await engine.cancel(runId)
  await until(async () => (await engine.view(runId)).steps[1]!.status === 'waiting')
  const [step] = (await engine.view(runId)).steps
  assert.deepEqual([step!.status, step!.approval, clock.pendingMs], ['canceled', undefined, []])
  await assert.rejects(engine.answer(runId, { step: 'ask', decision: 'approve' }), {
    code: 'approval_not_pending',
  })
  await engine.answer(runId, { step: 'last', decision: 'approve' })
  assert.equal((await engine.done(runId)).status, 'canceled')
})

test('with max_parallel, one approval is asked for at a time', async (t) => {
  const { submit, engine, events } = scriptedEngine(t)
  const runId = await submit([ask({ message: '${ITEM}?' }, { foreach: ['a', 'b'], max_parallel: 1 })])
  const step = async () =>
    (await events(runId)).flatMap((event) => (event.type === 'approval.requested' ? [event.message] : []))
  assert.deepEqual(await step(), ['a?'])
  await engine.answer(runId, { step: 'ask', decision: 'approve' })
  assert.deepEqual(await step(), ['a?', 'b?'])
  await engine.answer(runId, { step: 'ask', decision: 'approve' })
  await engine.done(runId)
})
