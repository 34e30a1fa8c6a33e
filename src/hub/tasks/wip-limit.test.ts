import assert from 'node:assert/strict'
import test from 'node:test'
import { foldOf, testTaskSpec } from '../../../test/support/tasks/tasks-fixture.ts'
import type { NewTaskEvent } from '../../contract/tasks/task-log.ts'
import { WipLimit } from './wip-limit.ts'

const from = { run_id: 'run_1', seq: 1 }
const reviewed: NewTaskEvent[] = [
  { type: 'task.try_started', run_id: 'run_1', number: 1, stage: 'check' },
  { type: 'task.pull_request', from, pull_request: { url: 'u', number: 1, state: 'open' } },
  { type: 'task.try_ended', from, run_id: 'run_1', status: 'success' },
  { type: 'task.state', from, state: 'in_review' },
]
const again: NewTaskEvent = { type: 'task.state', state: 'pending', stage: 'implement' }

test('a task that is retried for its pull request keeps its place among those that wait for a merge', () => {
  const proposed = { spec: testTaskSpec('a'), fold: foldOf(...reviewed, again) }
  const other = { spec: testTaskSpec('b'), fold: foldOf() }
  const wipLimit = new WipLimit({ inReviewPerRepository: 1 }, [proposed, other])
  assert.equal(wipLimit.refusal(proposed), undefined)
  assert.match(wipLimit.refusal(other) ?? '', /tasks that wait to be merged/)
  const full = new WipLimit({ perOwner: 1 }, [proposed, other])
  full.take(other)
  assert.match(full.refusal(proposed) ?? '', /tasks in progress for ada/)
})
