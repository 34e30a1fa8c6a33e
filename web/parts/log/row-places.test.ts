import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RowPlaces } from './row-places.ts'

test('rows stand behind those that are higher or hidden', () => {
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
