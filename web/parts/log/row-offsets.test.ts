import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RowOffsets } from './row-offsets.ts'

test('the position of a row includes the heights of earlier ones', () => {
  const offsets = new RowOffsets(20)
  assert.equal(offsets.top(1_000_001), 20_000_000)
  assert.equal(offsets.set(2, 60), true)
  assert.equal(offsets.set(2, 60), false)
  offsets.set(700, 0)
  assert.deepEqual(
    [1, 2, 3, 700, 701, 1000].map((number) => offsets.top(number)),
    [0, 20, 80, 14_020, 14_020, 20_000],
  )
  assert.equal(offsets.at(79, 1000), 2)
  assert.equal(offsets.at(80, 1000), 3)
  assert.equal(offsets.at(14_020, 1000), 701)
  assert.equal(offsets.at(-5, 1000), 1)
  assert.equal(offsets.at(99_999_999, 1000), 1000)
  offsets.set(2, 20)
  assert.equal(offsets.top(3), 40)
})

test('hidden lines take no space', () => {
  const offsets = new RowOffsets(20, [
    [3, 9],
    [13, 13],
  ])
  offsets.set(11, 40)
  assert.deepEqual(
    [1, 3, 5, 10, 11, 12, 13, 14, 15].map((number) => offsets.top(number)),
    [0, 40, 40, 40, 60, 100, 120, 120, 140],
  )
  assert.equal(offsets.at(45, 20), 10)
  assert.equal(offsets.at(121, 20), 14)
  assert.deepEqual(
    [2, 3, 9, 10, 13].map((number) => offsets.hiddenUntil(number)),
    [undefined, 9, 9, undefined, 13],
  )
})
