import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Moments } from './moments.ts'

test('a moment comes when its time is over, however the clock is set meanwhile', () => {
  let [now, steady] = [1_000_000, 50]
  const moments = new Moments({ now: () => now, steady: () => steady })
  assert.equal(moments.due(1_000_000), true)
  assert.equal(moments.due(1_000_100), false)
  now += 3_600_000
  assert.equal(moments.due(1_000_100), false)
  now -= 2 * 3_600_000
  steady += 99
  assert.equal(moments.due(1_000_100), false)
  steady += 1
  assert.equal(moments.due(1_000_100), true)
  assert.equal(moments.steadyMs(1_000_100), 150)
})
