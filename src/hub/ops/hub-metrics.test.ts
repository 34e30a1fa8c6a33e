import assert from 'node:assert/strict'
import test from 'node:test'
import type { RunEvent } from '../../contract/events.ts'
import { Metrics } from '../../platform/metrics.ts'
import { PlacementDelays } from './hub-metrics.ts'

const at = (second: number) => new Date(second * 1000).toISOString()

/** Returns an event of the run's first attempt. */
function event(type: 'attempt.created' | 'attempt.assigned' | 'attempt.finished', second: number, epoch = 0) {
  return { seq: 1, time: at(second), type, attempt: 1, epoch } as unknown as RunEvent
}

function delays() {
  const metrics = new Metrics()
  const tested = new PlacementDelays(metrics.histogram('delay', 'Delay.', [1, 10]))
  return {
    tested,
    lines: () =>
      metrics
        .text()
        .split('\n')
        .filter((line) => /_(count|sum)/.test(line)),
  }
}

test('the delay runs from creation until a runner is there; an immediate runner means no delay', () => {
  const { tested, lines } = delays()
  tested.seen('run_a', event('attempt.created', 100))
  tested.seen('run_a', event('attempt.assigned', 105, 1))
  tested.seen('run_b', event('attempt.created', 100, 1))
  assert.deepEqual(lines(), ['delay_sum 5', 'delay_count 2'])
})

test('a step that waits since before the start counts with its whole wait; one that had its runner does not', () => {
  const { tested, lines } = delays()
  tested.restore('waits', [event('attempt.created', 100)])
  tested.restore('had', [event('attempt.created', 100), event('attempt.assigned', 101, 1)])
  tested.restore('over', [event('attempt.created', 100), event('attempt.finished', 101)])
  assert.deepEqual(lines(), ['delay_sum 0', 'delay_count 0'])
  for (const run of ['waits', 'had', 'over']) tested.seen(run, event('attempt.assigned', 160, 2))
  assert.deepEqual(lines(), ['delay_sum 60', 'delay_count 1'])
})
