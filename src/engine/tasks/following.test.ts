import assert from 'node:assert/strict'
import test from 'node:test'
import { foldOf, testTask, time } from '../../../test/support/tasks/tasks-fixture.ts'
import type { NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { endTry } from './decide-task.ts'
import { foldTask } from './evolve-task.ts'
import { followView, isFollowed } from './following.ts'

const from = (seq: number, run_id = 'run_1') => ({ run_id, seq })
const reviewed: NewTaskEvent[] = [
  { type: 'task.try_started', run_id: 'run_1', number: 1, stage: 'check' },
  { type: 'task.pushed', from: from(1), sha: 'one', branch: 'b', forced: false },
  { type: 'task.pull_request', from: from(2), pull_request: { url: 'u', number: 1, state: 'open' } },
  { type: 'task.try_ended', from: from(3), run_id: 'run_1', status: 'success' },
  { type: 'task.state', from: from(3), state: 'in_review' },
]
const again: NewTaskEvent[] = [
  {
    ...{ type: 'task.follow', action: 'try', message: 'Try 1', prompt: 'mend it' },
    try: { sha: 'one', failure: 'unit', notes: ['7'] },
  },
  { type: 'task.state', state: 'pending', stage: 'implement', message: 'Try 1' },
]
const second: NewTaskEvent = { type: 'task.try_started', run_id: 'run_2', number: 2, stage: 'implement' }
const ended = (more: object) =>
  ({
    ...{ type: 'task.try_ended', from: from(9, 'run_2'), run_id: 'run_2', status: 'success' },
    ...more,
  }) as Extract<NewTaskEvent, { type: 'task.try_ended' }>
const task = testTask({ follow: true })

test('the prompt of a try is stored until that try has a verdict', () => {
  const prompt = (...events: NewTaskEvent[]) => foldOf(...reviewed, ...again, ...events).follow.prompt
  assert.equal(prompt(), 'mend it')
  assert.equal(prompt(second, ended({ status: 'interrupted', reason: 'lost', retry_at: time })), 'mend it')
  assert.equal(prompt(second, ended({})), undefined)
  // A try that a person ends and starts again answers nothing that was said.
  assert.equal(
    prompt({ type: 'task.state', state: 'canceled' }, { type: 'task.state', state: 'pending' }),
    undefined,
  )
})

test('a try without a result leaves the task in review, and is the last', () => {
  const fold = foldOf(...reviewed, ...again, second)
  const then = (more: object, no_change = false) => {
    const end = { event: ended(more), without_verdict: false, no_change }
    const events = endTry({ task, fold, now_ms: 0 }, end, { first_ms: 1, chance: 0 })
    const after = foldTask(
      events.map((event, index) => ({ ...event, seq: fold.seq + 1 + index, time })),
      fold,
    )
    return [after.state, after.follow.stopped?.why, isFollowed(task, after.follow)]
  }
  assert.deepEqual(then({ status: 'failed', reason: 'verify', message: 'no' }), [
    'in_review',
    'failed',
    false,
  ])
  assert.deepEqual(then({}, true), ['in_review', 'unchanged', false])
  assert.deepEqual(then({}), ['in_review', undefined, true])
  assert.deepEqual(then({ status: 'canceled' }), ['canceled', undefined, true])
})

test('a person can stop and restart following, with all tries, for what no try was given', () => {
  const off: NewTaskEvent = { type: 'task.follow', action: 'stop', why: 'off', message: 'ada', by: 'ada' }
  const on: NewTaskEvent = { type: 'task.follow', action: 'begin', message: 'ada', by: 'ada' }
  const view = (of: typeof task, ...events: NewTaskEvent[]) => {
    const { state, tries, why } = followView(of, foldOf(...reviewed, ...events).follow) ?? {}
    return [state, tries, why]
  }
  assert.deepEqual(view(testTask()), [undefined, undefined, undefined])
  assert.deepEqual(view(task, ...again), ['on', 1, undefined])
  assert.deepEqual(view(task, ...again, off), ['off', 1, 'off'])
  assert.deepEqual(view(testTask(), on), ['on', 0, undefined])
  assert.deepEqual(view(task, ...again, off, on), ['on', 0, undefined])
  assert.deepEqual(foldOf(...reviewed, ...again, off, on).follow.notes, ['7'])
})
