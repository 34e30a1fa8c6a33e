import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median } from '../../data/clock.ts'
import { criticalPath, partsOf, ticksOf } from './bars.ts'

const time = (second: number) => new Date(second * 1000).toISOString()

test('tries of an instance are parts, with what it waited between them', () => {
  const tried = (number: number, created: number, started: number, ended?: number) => ({
    ...{ attempt_id: `run_a.${number}`, number, try: number },
    ...{ created_at: time(created), started_at: time(started) },
    ...(ended === undefined ? {} : { finished_at: time(ended), outcome: 'failed' as const }),
  })
  const found = partsOf({ attempts: [tried(1, 0, 2, 5), tried(2, 9, 10)] })
  assert.deepEqual(
    found.map(({ kind, from, to }) => [kind, from / 1000, to === undefined ? undefined : to / 1000]),
    [
      ['waits', 0, 2],
      ['failed', 2, 5],
      ['waits', 5, 10],
      ['running', 10, undefined],
    ],
  )
})

test('the critical path goes back by what each step waited for longest', () => {
  const node = (name: string, from: number, to: number | undefined, ...needs: string[]) => ({
    id: name,
    needs,
    step: {
      step: name,
      phase: 'main' as const,
      action: 'noop',
      status: to === undefined ? ('running' as const) : ('success' as const),
      started_at: time(from),
      ...(to === undefined ? {} : { finished_at: time(to) }),
      instances: [],
    },
  })
  const all = [node('a', 0, 1), node('b', 1, 5, 'a'), node('c', 1, 3, 'a'), node('d', 5, 6, 'b', 'c')]
  assert.deepEqual([...criticalPath([...all, node('e', 1, 2, 'a')])], ['d', 'b', 'a'])
  assert.deepEqual([...criticalPath([...all, node('e', 1, undefined, 'c')])], ['e', 'c', 'a'])
})

test('an axis has few places, with round words', () => {
  assert.deepEqual(
    ticksOf(50 * 60_000).map(({ word }) => word),
    ['10 min', '20 min', '30 min', '40 min', '50 min'],
  )
  for (const ms of [5, 80, 4000, 61_000, 3_000_000, 1e8, 3e9]) assert.ok(ticksOf(ms).length <= 7, String(ms))
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([]), undefined)
})
