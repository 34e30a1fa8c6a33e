import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Backoff } from './backoff.ts'

test('the wait doubles up to the longest, and begins anew after a reset', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 0 })
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map(() => backoff.next()),
    [100, 200, 400, 800, 1_000, 1_000],
  )
  backoff.reset()
  assert.equal(backoff.next(), 100)
  assert.equal(backoff.slowest(), 1_000)
})

test('chance takes at most half of it', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 0.999 })
  const waitMs = backoff.next()
  assert.ok(waitMs > 50 && waitMs < 51)
})

test('with full jitter any part of the wait may be left, and of the longest at least half', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, jitter: 1, random: () => 0.75 })
  assert.equal(backoff.next(), 25)
  assert.equal(backoff.slowest(), 625)
})

test('after thousands of tries it still is the longest wait', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 0 })
  for (let i = 0; i < 5_000; i++) backoff.next()
  assert.equal(backoff.next(), 1_000)
})
