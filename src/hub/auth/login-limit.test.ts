import assert from 'node:assert/strict'
import test from 'node:test'
import { LoginLimit } from './login-limit.ts'

const limits = { perAccount: 3, perAddress: 6, windowMs: 60_000, entries: 100 }
const limited = { code: 'rate_limited' }
const times = (count: number, act: () => void) => Array.from({ length: count }).forEach(act)

test('an account is locked for an address after its failures, and open to others', () => {
  const limit = new LoginLimit(limits)
  times(3, () => limit.take('ann', '10.0.0.1', 0))
  assert.throws(() => limit.take('ANN', '10.0.0.1', 0), limited)
  limit.take('ann', '10.0.0.2', 0)
  limit.take('bob', '10.0.0.1', 0)
})

test('an address is locked after failures with many accounts', () => {
  const limit = new LoginLimit(limits)
  for (const name of 'abcdef') limit.take(name, '10.0.0.1', 0)
  assert.throws(() => limit.take('g', '10.0.0.1', 0), limited)
})

test('an address is unlocked after some time, which the error states', () => {
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

test('correct passwords never lock anything', () => {
  const limit = new LoginLimit(limits)
  times(50, () => {
    limit.take('ann', '10.0.0.1', 0)
    limit.forgive('ann', '10.0.0.1', 0)
  })
})

test('a clock that is set back locks and unlocks nothing', () => {
  const limit = new LoginLimit(limits)
  const hourMs = 3_600_000
  limit.take('ann', '10.0.0.1', hourMs)
  limit.forgive('ann', '10.0.0.1', hourMs)
  times(3, () => limit.take('ann', '10.0.0.1', 0))
  assert.throws(() => limit.take('ann', '10.0.0.1', 0), limited)
})

test('the addresses of one IPv6 network count as one, and IPv4 written as IPv6 counts as IPv4', () => {
  const limit = new LoginLimit(limits)
  times(3, () => limit.take('ann', '2001:db8:0:1::1', 0))
  assert.throws(() => limit.take('ann', '2001:db8:0:1:9:9:9:9', 0), limited)
  limit.take('ann', '2001:db8:0:2::1', 0)
  times(3, () => limit.take('ann', '::ffff:10.0.0.1', 0))
  assert.throws(() => limit.take('ann', '10.0.0.1', 0), limited)
})

test('its memory is limited', () => {
  const limit = new LoginLimit(limits)
  for (let i = 0; i < 1000; i++) limit.take('ann', `10.0.${i >> 8}.${i & 255}`, 0)
  assert.ok(limit.size <= limits.entries)
})

test('networks with failed logins share one queue; other networks have their own', () => {
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

/** Returns a limit whose waits end when the test says so. */
function pacedLimit() {
  const waits: (() => void)[] = []
  const paced = { ...limits, everywhere: { perAccount: 4, paceMs: 1_000 } }
  const limit = new LoginLimit(paced, (ms) => {
    assert.equal(ms, 1_000)
    return new Promise<void>((resolve) => waits.push(resolve))
  })
  const begun: string[] = []
  const startPaced = (address: string) => limit.pace('ann', address, 0).then(() => void begun.push(address))
  /** Waits until everything that could follow has followed. */
  const settled = async () => {
    for (let round = 0; round < 10; round++) await new Promise((resolve) => setImmediate(resolve))
    return begun.splice(0)
  }
  const next = async () => {
    waits.shift()?.()
    return await settled()
  }
  return { limit, wants: startPaced, settled, next }
}

test('after failures from everywhere, an account takes one login at a time, and is never locked', async () => {
  const { limit, wants, settled, next } = pacedLimit()
  for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']) {
    void wants(address)
    assert.deepEqual(await settled(), [address], 'below the limit, logins do not wait')
    limit.take('ann', address, 0)
  }
  limit.check('ann', '10.9.9.9', 0)
  void wants('10.0.0.1')
  assert.deepEqual(await settled(), ['10.0.0.1'])
  for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) void wants(address)
  assert.deepEqual(await settled(), [], 'the next login waits')
  // The owner, from a network without failures, waits for one try and not for all of them.
  void wants('10.9.9.9')
  const order = [...(await next()), ...(await next()), ...(await next()), ...(await next())]
  assert.ok(order.indexOf('10.9.9.9') <= 1, order.join())
  assert.equal(order.length, 4)
  // Another account is not affected, and neither is this one after some time.
  await limit.pace('bob', '10.0.0.1', 0)
  await limit.pace('ann', '10.0.0.1', limits.windowMs)
})

test('failures elsewhere neither slow down nor lock out a user who has logged in from a network', async () => {
  const { limit, settled, wants } = pacedLimit()
  limit.take('ann', '10.0.0.1', 0)
  limit.forgive('ann', '10.0.0.1', 0)
  for (let i = 0; i < 20; i++) limit.take('ann', `10.1.0.${i}`, 0)
  await limit.pace('ann', '10.0.0.1', 0)
  // Another person behind the same address.
  for (const name of 'abcdef') limit.take(name, '10.0.0.1', 0)
  assert.throws(() => limit.check('bob', '10.0.0.1', 0), limited)
  limit.check('ann', '10.0.0.1', 0)
  void wants('10.7.7.7')
  assert.deepEqual(await settled(), ['10.7.7.7'])
  // The account's own failures count.
  times(3, () => limit.take('ann', '10.0.0.1', 0))
  assert.throws(() => limit.check('ann', '10.0.0.1', 0), limited)
})

test('limits how many logins wait for a slowed-down account', async () => {
  const { limit, wants, settled, next } = pacedLimit()
  for (let i = 0; i < 4; i++) limit.take('ann', `10.1.0.${i}`, 0)
  const tries = Array.from({ length: 40 }, () => wants('10.1.0.1').catch(({ code }) => code as string))
  assert.deepEqual(await settled(), ['10.1.0.1'])
  assert.deepEqual(await Promise.all(tries.slice(32)), Array(8).fill('rate_limited'))
  // That line is full, but the owner gets into another one.
  void wants('10.9.9.9')
  assert.ok([...(await next()), ...(await next())].includes('10.9.9.9'))
})

test('memory is also limited for users who have logged in', () => {
  const { limit } = pacedLimit()
  for (let i = 0; i < 1000; i++) {
    limit.take(`user${i}`, `10.0.${i >> 8}.${i & 255}`, 0)
    limit.forgive(`user${i}`, `10.0.${i >> 8}.${i & 255}`, 0)
  }
  assert.ok(limit.size <= 2 * limits.entries)
})
