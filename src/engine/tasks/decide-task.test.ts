import assert from 'node:assert/strict'
import test from 'node:test'
import { foldOf, testTask, time } from '../../../test/support/tasks/tasks-fixture.ts'
import type { TaskState } from '../../contract/tasks/task.ts'
import type { NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { budgetLeft, decideTask, endTry, type TaskFacts } from './decide-task.ts'
import type { TryEnd } from './try-reader.ts'

const now_ms = Date.parse(time)
const facts = (overrides: Partial<TaskFacts> = {}): TaskFacts => ({
  ...{ task: testTask(), fold: foldOf(), now_ms, dependencies: [], no_room: undefined },
  ...overrides,
})
const begun: NewTaskEvent = { type: 'task.try_started', run_id: 'run_1', number: 1, stage: 'check' }
const ended = (more: object = {}): Extract<NewTaskEvent, { type: 'task.try_ended' }> => ({
  ...{ type: 'task.try_ended', run_id: 'run_1', status: 'success', from: { run_id: 'run_1', seq: 9 } },
  ...more,
})
const to = (state: TaskState): NewTaskEvent => ({ type: 'task.state', state })

test('a task begins when nothing is in its way', () => {
  assert.deepEqual(decideTask(facts()), { type: 'start', number: 1, stage: 'check' })
  assert.equal(decideTask(facts({ elsewhere: true })), undefined)
  assert.equal(decideTask(facts({ fold: foldOf(begun) })), undefined)
})

test('the reason for a wait is recorded once', () => {
  const waits = facts({ no_room: 'full: 1' })
  assert.deepEqual(decideTask(waits), { type: 'tell', event: { type: 'task.waiting', why: 'full: 1' } })
  const fold = foldOf({ type: 'task.waiting', why: 'full: 1' })
  assert.equal(decideTask({ ...waits, fold }), undefined)
})

test('the dependencies of a task let it begin, make it wait, or block it', () => {
  const then = (state: TaskState | undefined, base: 'stacked' | 'merged' = 'stacked') => {
    const intent = decideTask(facts({ task: testTask({ base }), dependencies: [{ name: 'below', state }] }))
    if (intent?.type !== 'tell') return intent?.type
    return intent.event.type === 'task.state' ? intent.event.state : 'waits'
  }
  assert.deepEqual(
    (['done', 'no_change', 'in_review', 'running', 'pending', 'waiting'] as const).map((state) =>
      then(state),
    ),
    ['start', 'start', 'start', 'waits', 'waits', 'waits'],
  )
  assert.equal(then('in_review', 'merged'), 'waits')
  for (const state of ['failed', 'canceled', 'blocked', undefined] as const)
    assert.equal(then(state), 'blocked')
  const fold = foldOf({ type: 'task.state', state: 'blocked', message: 'x' })
  const freed = decideTask(facts({ fold, dependencies: [{ name: 'below', state: 'pending' }] }))
  assert.deepEqual(freed, { type: 'tell', event: to('pending') })
})

test('the run of a canceled task is canceled, and nothing follows it', () => {
  assert.deepEqual(decideTask(facts({ fold: foldOf(begun, to('canceled')) })), {
    type: 'cancel',
    run_id: 'run_1',
  })
  assert.equal(decideTask(facts({ fold: foldOf(begun, to('canceled'), ended()) })), undefined)
})

test('after a try without a verdict, another follows after a delay from the last saved work, up to a limit', () => {
  const end: TryEnd = {
    event: ended({ status: 'interrupted', reason: 'lost' }),
    without_verdict: true,
    no_change: false,
  }
  const task = testTask({ run_retries: 2 })
  const waits = (no_verdicts: number, chance: number) => {
    const [event, ...others] = endTry({ task, fold: { ...foldOf(begun), no_verdicts }, now_ms }, end, {
      first_ms: 30_000,
      chance,
    })
    assert.deepEqual(others, [])
    return event?.type === 'task.try_ended' ? Date.parse(event.retry_at!) - now_ms : undefined
  }
  assert.deepEqual([waits(0, 0.5), waits(1, 0.5), waits(0, 0), waits(1, 0)], [30_000, 60_000, 24_000, 48_000])
  const over = endTry({ task, fold: { ...foldOf(begun), no_verdicts: 2 }, now_ms }, end, {
    first_ms: 1,
    chance: 0,
  })
  assert.deepEqual(
    over.map((event) => ('state' in event ? [event.state, event.reason] : event.type)),
    [...['task.try_ended', ['failed', 'lost']]],
  )

  const retry_at = new Date(now_ms + 500).toISOString()
  const next = foldOf(begun, ended({ status: 'interrupted', retry_at }))
  assert.deepEqual(decideTask(facts({ fold: next })), { type: 'wake', at_ms: now_ms + 500 })
  assert.deepEqual(decideTask(facts({ fold: next, now_ms: now_ms + 500 })), {
    type: 'start',
    number: 2,
    stage: 'check',
  })
  const checkpoint = { start: 'a', tip: 'b', artifact_id: '1.1', run_id: 'run_1', next: 'push' } as const
  const from = { run_id: 'run_1', seq: 4 }
  const stored = foldOf(begun, { type: 'task.checkpoint', from, checkpoint }, ended({ retry_at: time }))
  assert.deepEqual(decideTask(facts({ fold: stored })), {
    type: 'start',
    number: 2,
    stage: 'push',
    checkpoint,
  })
})

test('the end of a try is the outcome of the task', () => {
  const outcome = (event: object, more: Partial<TryEnd> = {}, task = testTask(), ...log: NewTaskEvent[]) => {
    const end = { event: ended(event), without_verdict: false, no_change: false, ...more }
    const emitted = endTry({ task, fold: foldOf(begun, ...log), now_ms }, end, { first_ms: 1, chance: 0 })[1]
    return emitted?.type === 'task.state' ? [emitted.state, emitted.reason ?? emitted.message] : emitted
  }
  const from = { run_id: 'run_1', seq: 5 }
  const request = (state: 'open' | 'merged'): NewTaskEvent => ({
    ...{
      type: 'task.pull_request',
      from,
      pull_request: { url: 'https://forge.example/1', number: 1, state },
    },
  })
  assert.deepEqual(outcome({}), ['done', undefined])
  assert.deepEqual(outcome({}, {}, testTask(), request('open')), ['in_review', undefined])
  assert.deepEqual(outcome({}, {}, testTask(), request('merged')), ['done', undefined])
  assert.deepEqual(outcome({}, {}, testTask({ wait_for_merge: true })), ['in_review', undefined])
  assert.deepEqual(outcome({}, { no_change: true, answer: 'it is mended' }), ['no_change', 'it is mended'])
  assert.deepEqual(outcome({ status: 'failed', reason: 'test' }), ['failed', 'test'])
  assert.deepEqual(outcome({ status: 'canceled' }), ['canceled', 'canceled'])
})

test('a budget covers all tries', () => {
  const task = testTask({ budget: { tokens: 100, cost_usd: 2 } })
  const fold = foldOf(
    begun,
    ended({ status: 'interrupted', retry_at: time, spent: { seconds: 1, tokens: 60 } }),
  )
  assert.deepEqual(budgetLeft({ task, fold }), { tokens: 40, cost_usd: 2 })
  assert.equal(decideTask(facts({ task, fold }))?.type, 'start')
  const spent = foldOf(
    begun,
    ended({ status: 'interrupted', retry_at: time, spent: { seconds: 1, tokens: 100 } }),
  )
  const intent = decideTask(facts({ task, fold: spent }))
  assert.ok(intent?.type === 'tell' && intent.event.type === 'task.state' && intent.event.reason === 'budget')
})
