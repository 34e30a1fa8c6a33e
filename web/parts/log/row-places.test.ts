import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RowPlaces } from './row-places.ts'

test('rows stand behind those that are higher', () => {
  const places = new RowPlaces(20)
  assert.equal(places.top(1_000_001), 20_000_000)
  assert.equal(places.set(2, 60), true)
  assert.equal(places.set(2, 60), false)
  places.set(700, 0)
  assert.deepEqual(
    [1, 2, 3, 700, 701, 1000].map((number) => places.top(number)),
    [0, 20, 80, 14_020, 14_020, 20_000],
  )
  assert.equal(places.at(79, 1000), 2)
  assert.equal(places.at(80, 1000), 3)
  assert.equal(places.at(14_020, 1000), 701)
  assert.equal(places.at(-5, 1000), 1)
  assert.equal(places.at(99_999_999, 1000), 1000)
  places.set(2, 20)
  assert.equal(places.top(3), 40)
})

test('lines out of view take no room', () => {
  const places = new RowPlaces(20, [
    [3, 9],
    [13, 13],
  ])
  places.set(11, 40)
  assert.deepEqual(
    [1, 3, 5, 10, 11, 12, 13, 14, 15].map((number) => places.top(number)),
    [0, 40, 40, 40, 60, 100, 120, 120, 140],
  )
  assert.equal(places.at(45, 20), 10)
  assert.equal(places.at(121, 20), 14)
  assert.deepEqual(
    [2, 3, 9, 10, 13].map((number) => places.hiddenUntil(number)),
    [undefined, 9, 9, undefined, 13],
  )
})
