import assert from 'node:assert/strict'
import test from 'node:test'
import { asLog, foldOf, time } from '../../../test/support/tasks/tasks-fixture.ts'
import type { Checkpoint, NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { evolveTask, isOver, openTry, spentOf, stageOf, standOf } from './evolve-task.ts'

const begun = (run_id: string, number = 1): NewTaskEvent => ({
  type: 'task.try_started',
  run_id,
  number,
  stage: 'check',
})
const ended = (run_id: string, more: object = {}): NewTaskEvent => ({
  ...{ type: 'task.try_ended', run_id, status: 'success', from: { run_id, seq: 9 } },
  ...more,
})
const state = (
  to: 'canceled' | 'done' | 'failed' | 'pending' | 'waiting',
  more: object = {},
): NewTaskEvent => ({
  ...{ type: 'task.state', state: to },
  ...more,
})
const checkpoint: Checkpoint = {
  ...{ start: 'a'.repeat(40), tip: 'b'.repeat(40), artifact_id: '4.1', run_id: 'run_1', next: 'push' },
}

test('a canceled task stays canceled, and is over only once its run has ended', () => {
  const canceled = foldOf(begun('run_1'), state('canceled'))
  assert.equal(isOver(canceled), false)
  const over = foldOf(begun('run_1'), state('canceled'), ended('run_1', { status: 'failed' }))
  assert.deepEqual([over.state, isOver(over), openTry(over)], ['canceled', true, undefined])
})

test('a crashed try leaves the task running, and its status shows the time of the next one', () => {
  const retry_at = '2026-01-31T10:00:30.000Z'
  const fold = foldOf(
    begun('run_1'),
    state('waiting'),
    ended('run_1', { status: 'interrupted', reason: 'lost', retry_at }),
  )
  assert.deepEqual([fold.state, fold.retry_at, fold.no_verdicts], ['running', retry_at, 1])
  assert.match(standOf(fold).why!, /the next try starts at .*: lost/)
  const next = foldOf(begun('run_1'), ended('run_1', { retry_at }), begun('run_2', 2))
  assert.deepEqual([next.no_verdicts, next.retry_at, openTry(next)?.run_id], [1, undefined, 'run_2'])
})

test('a retry resets the crash count; before the agent it drops the saved work, otherwise it uses it', () => {
  const stored: NewTaskEvent = { type: 'task.checkpoint', from: { run_id: 'run_1', seq: 5 }, checkpoint }
  const before = [
    begun('run_1'),
    stored,
    ended('run_1', { retry_at: time }),
    state('failed', { reason: 'test' }),
  ]
  const again = foldOf(...before, state('pending', { stage: 'implement' }))
  assert.deepEqual([again.from, again.checkpoint?.next, again.no_verdicts], ['implement', 'implement', 0])
  const reported = [...before, state('pending', { stage: 'implement', prompt: 'smaller' }), begun('run_2', 2)]
  assert.equal(foldOf(...reported).follow.prompt, 'smaller')
  assert.equal(foldOf(...reported, ended('run_2')).follow.prompt, undefined)
  const restarted = foldOf(...before, state('pending', { stage: 'workspace' }))
  assert.deepEqual([restarted.from, restarted.checkpoint], ['workspace', undefined])
  const asBefore = foldOf(...before, state('pending'))
  assert.deepEqual([asBefore.from, asBefore.checkpoint], [undefined, checkpoint])
})

test('a repeated state of a task adds its details and changes nothing else', () => {
  const failed = state('failed', { reason: 'test', message: 'two failed' })
  const fold = foldOf(
    failed,
    state('failed', { metadata: { a: 1 } }),
    state('failed', { metadata: { b: 2 } }),
  )
  assert.deepEqual([fold.message, fold.metadata], ['two failed', { a: 1, b: 2 }])
})

test('the total spent is the sum over all tries', () => {
  const fold = foldOf(
    ...[begun('run_1'), ended('run_1', { spent: { seconds: 2, tokens: 10 }, retry_at: time })],
    ...[begun('run_2', 2), ended('run_2', { spent: { seconds: 3, tokens: 5, cost_usd: 0.5 } })],
  )
  assert.deepEqual(spentOf(fold), { seconds: 5, tokens: 15, cost_usd: 0.5 })
})

test('results of a suite are stored once, and so is how far a run was read', () => {
  const tests = (failed: number, seq: number): NewTaskEvent => ({
    ...{ type: 'task.tests', from: { run_id: 'run_1', seq } },
    tests: { suite: 'unit', passed: 3, failed, skipped: 0, failed_names: [] },
  })
  const fold = foldOf(begun('run_1'), tests(1, 4), tests(0, 7))
  assert.deepEqual(
    fold.tests.map(({ failed }) => failed),
    [0],
  )
  assert.deepEqual(fold.read, { run_1: 7 })
})

test('refuses a log with a transition that is not in the table', () => {
  const done = foldOf(state('done'))
  const [wrong] = asLog([state('canceled')], 3)
  assert.throws(() => evolveTask(done, wrong!), { code: 'internal', message: /from done to canceled/ })
})

test('repeated steps belong to the same stage', () => {
  assert.deepEqual(['carry', 'carry.2', 'test_3', 'fix.1', 'pull_request'].map(stageOf), [
    ...['carry', 'carry', 'test', undefined, 'pull_request'],
  ])
})
