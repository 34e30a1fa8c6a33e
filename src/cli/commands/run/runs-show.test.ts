import assert from 'node:assert/strict'
import test from 'node:test'
import type { StepView } from '../../../contract/run.ts'
import { stepRows } from './runs-show.ts'

const step = (count: number, statusOf: (item: number) => string, more: object = {}): StepView =>
  ({
    ...{ step: 'build', phase: 'main', action: 'cmd.run', status: 'running', ...more },
    instances: Array.from({ length: count }, (_, item) => ({
      ...{ host: 'ci', vars: { ITEM: String(item) }, status: statusOf(item), attempts: [] },
      ...(statusOf(item) === 'failed' && { reason: 'exit_code', exit_code: 2, duration_ms: 1500 }),
    })),
  }) as unknown as StepView

test('many instances of a step share a row with counts, behind the first that have failed', () => {
  const steps = [step(3000, (item) => (item < 2970 ? 'success' : item < 2995 ? 'failed' : 'queued'))]
  const rows = stepRows(steps, false)
  assert.equal(rows.length, 11)
  assert.deepEqual(rows[0], ['build', 'ci [ITEM=2970]', 'failed', '1.5 s', '', '', 'exit code 2'])
  const counts = '2,970 succeeded, 25 failed, 5 queued'
  assert.deepEqual(rows[10], ['build', '3,000 instances', 'running', '', '', '', counts])
  assert.equal(stepRows(steps, true).length, 3000)
})

test('few instances have a row each, and many say why the first of them waits', () => {
  assert.equal(stepRows([step(20, () => 'success')], false).length, 20)
  const [row] = stepRows([step(21, () => 'waiting', { waiting: 'all runners are busy' })], false)
  assert.equal(row![6], '21 waiting; all runners are busy')
})
