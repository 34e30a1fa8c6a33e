import assert from 'node:assert/strict'
import test from 'node:test'
import { Breaker } from './breaker.ts'

test('three failures in a row pause a group, for longer each time, and then it starts one runner at a time', () => {
  const breaker = new Breaker()
  const fail = (nowMs: number) => breaker.failed('failed', 'It died.', { nowMs })
  fail(0)
  fail(0)
  assert.equal(breaker.room(5, 0), Number.POSITIVE_INFINITY)
  fail(0)
  assert.equal(breaker.room(0, 29_999), 0)
  assert.deepEqual([breaker.room(0, 30_000), breaker.room(1, 30_000)], [1, 0])
  fail(30_000)
  assert.deepEqual([breaker.room(0, 89_999), breaker.room(0, 90_000)], [0, 1])
  for (let now = 90_000, step = 0; step < 10; step++) {
    fail(now)
    now = breaker.open!.untilMs
    assert.ok(breaker.open!.untilMs <= now + 600_000)
  }
  assert.deepEqual([breaker.open?.failures, breaker.open?.sinceMs], [14, 0])
  breaker.succeeded()
  assert.equal(breaker.open, undefined)
  assert.equal(breaker.room(5, 0), Number.POSITIVE_INFINITY)
})

test('a failure that a person has to fix opens the breaker at once', () => {
  const breaker = new Breaker()
  breaker.failed('refused', 'There is no such program.', { permanent: true, nowMs: 0 })
  assert.equal(breaker.room(0, 1), 0)
  assert.equal(breaker.open?.message, 'There is no such program.')
})
