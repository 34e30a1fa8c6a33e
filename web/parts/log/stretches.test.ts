import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joined, restOf } from './stretches.ts'

test('the rest of a log is what none of its stretches contains', () => {
  assert.deepEqual(restOf([], 0), [])
  assert.deepEqual(restOf([], 3), [[1, 3]])
  assert.deepEqual(restOf([[1, 3]], 3), [])
  assert.deepEqual(
    restOf(
      [
        [2, 3],
        [6, 6],
      ],
      7,
    ),
    [
      [1, 1],
      [4, 5],
      [7, 7],
    ],
  )
})

test('stretches that meet or overlap become one', () => {
  assert.deepEqual(joined([[1, 2]], []), [[1, 2]])
  assert.deepEqual(
    joined(
      [
        [1, 2],
        [8, 9],
      ],
      [
        [3, 4],
        [9, 12],
      ],
    ),
    [
      [1, 4],
      [8, 12],
    ],
  )
  assert.deepEqual(
    joined(
      [[1, 10]],
      [
        [2, 3],
        [12, 12],
      ],
    ),
    [
      [1, 10],
      [12, 12],
    ],
  )
})
