import assert from 'node:assert/strict'
import test from 'node:test'
import { LoginLimit } from './login-limit.ts'

const limits = { perAccount: 3, perAddress: 6, windowMs: 60_000, entries: 100 }
const limited = { code: 'rate_limited' }
const times = (count: number, act: () => void) => Array.from({ length: count }).forEach(act)

test('an account is closed to an address after its failures, and open to others', () => {
  const limit = new LoginLimit(limits)
  times(3, () => limit.take('ann', '10.0.0.1', 0))
  assert.throws(() => limit.take('ANN', '10.0.0.1', 0), limited)
  limit.take('ann', '10.0.0.2', 0)
  limit.take('bob', '10.0.0.1', 0)
})

test('an address is closed after failures with many accounts', () => {
  const limit = new LoginLimit(limits)
  for (const name of 'abcdef') limit.take(name, '10.0.0.1', 0)
  assert.throws(() => limit.take('g', '10.0.0.1', 0), limited)
})

test('it opens again with time, as the error says', () => {
  const limit = new LoginLimit(limits)
  times(3, () => limit.take('ann', '10.0.0.1', 0))
  try {
    limit.take('ann', '10.0.0.1', 0)
    assert.fail('it was let through')
  } catch (error) {
    const { details } = error as { details: { retry_after_seconds: number } }
    assert.equal(details.retry_after_seconds, 20)
    limit.take('ann', '10.0.0.1', details.retry_after_seconds * 1000)
  }
})

test('right passwords never close anything', () => {
  const limit = new LoginLimit(limits)
  times(50, () => {
    limit.take('ann', '10.0.0.1', 0)
    limit.forgive('ann', '10.0.0.1', 0)
  })
})

test('a clock that is set back closes nothing, and opens nothing', () => {
  const limit = new LoginLimit(limits)
  const hourMs = 3_600_000
  limit.take('ann', '10.0.0.1', hourMs)
  limit.forgive('ann', '10.0.0.1', hourMs)
  times(3, () => limit.take('ann', '10.0.0.1', 0))
  assert.throws(() => limit.take('ann', '10.0.0.1', 0), limited)
})

test('the addresses of one IPv6 network count as one, and IPv4 written as IPv6 as itself', () => {
  const limit = new LoginLimit(limits)
  times(3, () => limit.take('ann', '2001:db8:0:1::1', 0))
  assert.throws(() => limit.take('ann', '2001:db8:0:1:9:9:9:9', 0), limited)
  limit.take('ann', '2001:db8:0:2::1', 0)
  times(3, () => limit.take('ann', '::ffff:10.0.0.1', 0))
  assert.throws(() => limit.take('ann', '10.0.0.1', 0), limited)
})

test('its memory is bounded', () => {
  const limit = new LoginLimit(limits)
  for (let i = 0; i < 1000; i++) limit.take('ann', `10.0.${i >> 8}.${i & 255}`, 0)
  assert.ok(limit.size <= limits.entries)
})

test('networks that logins have failed from wait in one line, others each in their own', () => {
  const limit = new LoginLimit(limits)
  const lines = (nowMs = 0) => [limit.lineOf('10.0.0.1', nowMs), limit.lineOf('10.0.0.2', nowMs)]
  const [one, other] = lines()
  assert.notEqual(one, other)
  limit.take('bob', '10.0.0.1', 0)
  const [failed, still] = lines()
  assert.ok(failed !== one && still === other)
  limit.take('bob', '10.0.0.2', 0)
  assert.deepEqual(lines(), [failed, failed])
  limit.forgive('bob', '10.0.0.1', 0)
  assert.deepEqual(lines(), [one, failed])
  assert.deepEqual(lines(limits.windowMs), [one, other])
})
