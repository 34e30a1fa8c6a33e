import assert from 'node:assert/strict'
import test from 'node:test'
import { Backoff, ChangeWatch, Moments, parseDuration } from './time.ts'

test('a moment comes when its time is over, even if the clock is set in the meantime', () => {
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

test('a duration is a number and a unit', () => {
  assert.deepEqual(['90s', '15m', '12h', '30d', '2w', '0.5h', ' 1d '].map(parseDuration), [
    ...[90_000, 900_000, 43_200_000, 2_592_000_000, 1_209_600_000, 1_800_000, 86_400_000],
  ])
  for (const text of ['', '30', 'd', '-1d', '1y', '1d2h', '1e3s'])
    assert.equal(parseDuration(text), undefined)
})

test('the wait doubles up to the maximum, and starts over after a reset', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 0 })
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map(() => backoff.next()),
    [100, 200, 400, 800, 1_000, 1_000],
  )
  backoff.reset()
  assert.equal(backoff.next(), 100)
  assert.equal(backoff.slowest(), 1_000)
})

test('jitter removes at most half of the wait', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 0.999 })
  const waitMs = backoff.next()
  assert.ok(waitMs > 50 && waitMs < 51)
})

test('full jitter may leave any part of the wait, and at least half of the longest', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, jitter: 1, random: () => 0.75 })
  assert.equal(backoff.next(), 25)
  assert.equal(backoff.slowest(), 625)
})

test('after thousands of tries the wait is still the maximum', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1_000, random: () => 0 })
  for (let i = 0; i < 5_000; i++) backoff.next()
  assert.equal(backoff.next(), 1_000)
})

test('a failed look reports nothing, and the next one still happens', async () => {
  let checks = 0
  const changed = await new Promise<string>((resolve) => {
    const watch = new ChangeWatch({
      everyMs: 1,
      look: async () => {
        if (++checks < 3) throw new Error('not now')
        return 'found'
      },
      report: (found) => {
        watch.close()
        resolve(found)
      },
    })
  })
  assert.deepEqual([changed, checks], ['found', 3])
})
