import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Run } from '../data/runs.ts'
import { failureGroups } from './failure-groups.ts'

const failed = (id: string, workflow: string, step: string | undefined, reason: string, at: number) =>
  ({
    run_id: id,
    workflow_name: workflow,
    status: 'failed',
    created_at: '2026-01-01T00:00:00Z',
    finished_at: new Date(Date.UTC(2026, 0, 1, 1, at)).toISOString(),
    ...(step === undefined ? { reason } : { now: { failure: { step, reason, message: '' } } }),
  }) as Run

test('failures are grouped by workflow, step and reason, with the newest first in each group', () => {
  const groups = failureGroups([
    failed('a1', 'nightly', 'dump', 'exit_code', 1),
    failed('a3', 'nightly', 'dump', 'exit_code', 9),
    failed('b1', 'nightly', 'dump', 'oom', 5),
    failed('c1', 'nightly', 'check', 'exit_code', 4),
    failed('d1', 'weekly', 'dump', 'exit_code', 3),
    failed('a2', 'nightly', 'dump', 'exit_code', 2),
    failed('e1', 'nightly', undefined, 'rejected', 8),
  ])
  const ids = groups.map(({ runs }) => runs.map(({ run_id }) => run_id).join(' '))
  assert.deepEqual(ids, ['a3 a2 a1', 'e1', 'b1', 'c1', 'd1'])
  assert.equal(new Set(groups.map(({ key }) => key)).size, 5)
  assert.deepEqual(failureGroups([]), [])
})

test('names that contain separators are not confused', () => {
  const groups = failureGroups([
    failed('a', 'x","y', 'z', 'exit_code', 1),
    failed('b', 'x', 'y","z', 'exit_code', 2),
  ])
  assert.equal(groups.length, 2)
})
