import assert from 'node:assert/strict'
import test from 'node:test'
import type { StepView } from '../../../contract/run.ts'
import { waitedText, withoutEmpty, workedText } from '../../render/summary.ts'
import { stepRows } from './runs-show.ts'

const step = (count: number, statusOf: (item: number) => string, more: object = {}): StepView =>
  ({
    ...{ step: 'build', phase: 'main', action: 'cmd.run', status: 'running', ...more },
    instances: Array.from({ length: count }, (_, item) => ({
      ...{ host: 'ci', vars: { ITEM: String(item) }, status: statusOf(item), attempts: [] },
      ...(statusOf(item) === 'failed' && { reason: 'exit_code', exit_code: 2, duration_ms: 1500 }),
    })),
  }) as unknown as StepView

test('many instances of a step share a row with counts, after rows for the first failed ones', () => {
  const steps = [step(3000, (item) => (item < 2970 ? 'success' : item < 2995 ? 'failed' : 'queued'))]
  const rows = stepRows(steps, false)
  assert.equal(rows.length, 11)
  assert.deepEqual(rows[0], ['build', 'ci [ITEM=2970]', 'failed', '1.5 s', '', '', '', 'exit code 2'])
  const counts = '2,970 succeeded, 25 failed, 5 queued'
  assert.deepEqual(rows[10], ['build', '3,000 instances', 'running', '', '', '', '', counts])
  assert.equal(stepRows(steps, true).length, 3000)
})

test('a few instances have a row each, and a shared row says why the first of them waits', () => {
  assert.equal(stepRows([step(20, () => 'success')], false).length, 20)
  const [row] = stepRows([step(21, () => 'waiting', { waiting: 'all runners are busy' })], false)
  assert.equal(row![7], '21 waiting; all runners are busy')
})

test('the time that a run and its steps waited is shown separately from the time they worked', () => {
  const times = {
    created_at: '2026-01-01T00:00:00.000Z',
    started_at: '2026-01-01T00:00:00.000Z',
    finished_at: '2026-01-01T00:10:05.000Z',
    waited_ms: 600_000,
  }
  assert.deepEqual([workedText(times), waitedText(times)], ['5.0 s', '10 m 00 s'])
  const waits = { waited_ms: 0, waiting_since: times.created_at }
  assert.equal(waitedText(waits, Date.parse(times.finished_at)), '10 m 05 s')
  const one = [step(1, () => 'success')]
  one[0]!.instances[0]!.waited_ms = 2000
  const head = ['STEP', 'HOST', 'STATUS', 'TIME', 'WAITED', 'MEMORY', 'CPU', 'WHY']
  assert.deepEqual(withoutEmpty('WAITED', head, stepRows(one, false))[1][0]![4], '2.0 s')
  assert.deepEqual(withoutEmpty('WAITED', head, stepRows([step(1, () => 'success')], false))[0][4], 'MEMORY')
})
