import assert from 'node:assert/strict'
import test from 'node:test'
import type { Shown } from '../data/runs.ts'
import { routeOfStages, stagesOf } from './stages.ts'

const steps = (...states: [string, Shown][]) =>
  states.map(([step, shown]) => ({ step, shown, phase: 'main' }))

test('the steps of a try are stages, rounds belong to their stage, and skipped steps are left out', () => {
  const going = stagesOf(
    steps(
      ['check', 'success'],
      ['workspace', 'success'],
      ['setup', 'skipped'],
      ['implement', 'success'],
      ['carry', 'success'],
      ['test', 'ahead'],
      ['review.1', 'ahead'],
      ['fix.1', 'ahead'],
      ['test.2', 'ahead'],
      ['push', 'ahead'],
      ['pull_request', 'ahead'],
    ),
    false,
  )
  assert.deepEqual(
    going.map(({ name, shown }) => [name, shown]),
    [
      ['fetch', 'success'],
      ['implement', 'success'],
      ['test', 'running'],
      ['review', 'ahead'],
      ['push', 'ahead'],
      ['pull request', 'ahead'],
    ],
  )
  assert.deepEqual(stagesOf(steps(['plan', 'success'], ['plan_approval', 'asks']), false), [
    { name: 'plan', shown: 'asks' },
  ])
  const over = stagesOf(
    steps(['check', 'success'], ['implement', 'failed'], ['carry', 'skipped'], ['push', 'skipped']),
    true,
  )
  assert.equal(routeOfStages(over).stops, 'df')
})
