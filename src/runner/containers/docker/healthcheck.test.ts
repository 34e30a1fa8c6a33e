import assert from 'node:assert/strict'
import { test } from 'node:test'
import { healthcheck } from './healthcheck.ts'

const S = 1e9
const order = { intervalSeconds: 7, timeoutSeconds: 2, retries: 4, startPeriodSeconds: 9 }

test('a check that is ordered counts before that of the image, and none is none', () => {
  const image = { Test: ['CMD', 'old'], Interval: 60 * S }
  const times = { Interval: 7 * S, Timeout: 2 * S, Retries: 4, StartPeriod: 9 * S }
  assert.deepEqual(healthcheck({ ...order, cmd: 'curl x | grep y' }, image), {
    Test: ['CMD-SHELL', 'curl x | grep y'],
    ...times,
  })
  assert.deepEqual(healthcheck({ ...order, cmd: ['/check', 'a b'] }, image), {
    Test: ['CMD', '/check', 'a b'],
    ...times,
  })
  assert.deepEqual(healthcheck('none', image), { Test: ['NONE'] })
})

test("an image's check counts within bounds, and one without has none", () => {
  const fast = { Test: ['CMD-SHELL', 'true'], Interval: 1e6, Timeout: 1e6, Retries: 1e9, StartPeriod: 1e18 }
  assert.deepEqual(healthcheck(undefined, fast), {
    Test: ['CMD-SHELL', 'true'],
    Interval: 5 * S,
    Timeout: S,
    Retries: 1000,
    StartPeriod: 86_400 * S,
  })
  assert.deepEqual(healthcheck(undefined, { Test: ['CMD', 'a'] }), {
    Test: ['CMD', 'a'],
    Interval: 30 * S,
    Timeout: 30 * S,
    Retries: 3,
    StartPeriod: 0,
  })
  for (const none of [undefined, null, {}, { Test: [] }, { Test: ['NONE'] }])
    assert.deepEqual(healthcheck(undefined, none), { Test: ['NONE'] })
})
