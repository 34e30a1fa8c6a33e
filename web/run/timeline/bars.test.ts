import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median } from '../../data/clock.ts'
import { criticalPath, mergeParts, type Part, partsOf, stepParts, ticksOf } from './bars.ts'

const time = (second: number) => new Date(second * 1000).toISOString()

test('tries of an instance become parts, with the waits between them', () => {
  const tried = (number: number, created: number, started: number, ended?: number) => ({
    ...{ attempt_id: `run_a.${number}`, number, try: number },
    ...{ created_at: time(created), started_at: time(started) },
    ...(ended === undefined ? {} : { finished_at: time(ended), outcome: 'failed' as const }),
  })
  const found = partsOf({ status: 'running', attempts: [tried(1, 0, 2, 5), tried(2, 9, 10)] })
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

test('an instance that waits for its next try or an answer has an open part for the wait', () => {
  const attempt = { attempt_id: 'run_a.1', number: 1, try: 1, created_at: time(0), started_at: time(0) }
  const ended = { ...attempt, finished_at: time(5), outcome: 'failed' as const }
  assert.deepEqual(inSeconds(partsOf({ status: 'waiting', waiting_since: time(5), attempts: [ended] })), [
    ['waits', 0, 0],
    ['failed', 0, 5],
    ['waits', 5, undefined],
  ])
  assert.deepEqual(inSeconds(partsOf({ status: 'waiting', waiting_since: time(8), attempts: [attempt] })), [
    ['waits', 0, 0],
    ['running', 0, 8],
    ['waits', 8, undefined],
  ])
})

const inSeconds = (parts: readonly Part[]) =>
  parts.map(({ kind, from, to }) => [kind, from / 1000, to === undefined ? undefined : to / 1000])

test('the bar of many instances shows the most important state at each moment, and a wait when none runs', () => {
  const part = (kind: Part['kind'], from: number, to?: number): Part => ({
    ...{ kind, from: from * 1000 },
    to: to === undefined ? undefined : to * 1000,
  })
  const merged = mergeParts(
    [
      [part('waits', 0, 2), part('success', 2, 6)],
      [part('waits', 0, 4), part('failed', 4, 5)],
      [part('waits', 8, 9), part('running', 9)],
    ],
    12_000,
  )
  assert.deepEqual(inSeconds(merged), [
    ['waits', 0, 2],
    ['success', 2, 4],
    ['failed', 4, 5],
    ['success', 5, 6],
    ['waits', 8, 9],
    ['running', 9, 12],
  ])
})

test('a step without loaded instances has a bar from its start to its end, and an approval waits', () => {
  const step = { step: 'one', phase: 'main' as const, action: 'noop', instances: [], started_at: time(3) }
  const bar = (more: object) => inSeconds(stepParts({ ...step, status: 'running', ...more }, true, 20_000))
  assert.deepEqual(bar({ status: 'success', finished_at: time(7) }), [['success', 3, 7]])
  assert.deepEqual(bar({ status: 'waiting', approval: { message: 'go?' } }), [['waits', 3, undefined]])
  assert.deepEqual(bar({ status: 'waiting', waiting_since: time(5) }), [
    ['running', 3, 5],
    ['waits', 5, undefined],
  ])
  assert.deepEqual(stepParts({ ...step, status: 'queued', started_at: undefined }, true, 20_000), [])
})

test('the critical path follows back what each step waited for longest', () => {
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

test('an axis has few ticks, with round labels', () => {
  assert.deepEqual(
    ticksOf(50 * 60_000).map(({ word }) => word),
    ['10 min', '20 min', '30 min', '40 min', '50 min'],
  )
  for (const ms of [5, 80, 4000, 61_000, 3_000_000, 1e8, 3e9]) assert.ok(ticksOf(ms).length <= 7, String(ms))
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([]), undefined)
})
