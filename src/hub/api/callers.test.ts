import assert from 'node:assert/strict'
import test from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'

const loginLimits = { perAccount: 1, perAddress: 2, windowMs: 600_000, entries: 100 }

async function hubBehind(t: Parameters<typeof testingHub>[0], proxies?: string[]) {
  const callers: unknown[] = []
  const hub = await testingHub(t, {
    loginLimits,
    proxies,
    log: (_line, about = {}) => void (about.path !== undefined && callers.push(about.caller)),
  })
  const login = async (username: string, forwarded: string) => {
    const headers = { 'x-forwarded-for': forwarded }
    const body = { username, password: 'wrong' }
    return (await hub.call('POST', '/api/auth/login', undefined, body, headers)).status
  }
  const enroll = async (forwarded: string) => {
    const headers = { 'x-forwarded-for': forwarded }
    const body = { token: 'errand_enroll_nothing', runner_id: 'r1' }
    return (await hub.call('POST', '/api/runners/enroll', undefined, body, headers)).status
  }
  return { hub, login, enroll, callers }
}

test('behind a trusted proxy each client has its own limits, whatever it writes into the header', async (t) => {
  const { login, callers } = await hubBehind(t, ['127.0.0.1', '10.0.0.0/8', 'fd00::/8'])
  assert.equal(await login('ann', '198.51.100.1'), 401)
  assert.equal(
    await login('ann', '6.6.6.6, 198.51.100.1'),
    429,
    'a forged hop does not count as another client',
  )
  assert.equal(await login('ann', '198.51.100.1, 10.1.2.3, fd00::7'), 429, 'skips further trusted proxies')
  assert.equal(await login('ann', '::ffff:198.51.100.1'), 429)
  assert.equal(await login('ann', '198.51.100.2'), 401, 'another client is not locked out')
  assert.equal(await login('ann', '2001:db8:0:1::1'), 401)
  assert.equal(await login('ann', '[2001:db8:0:1::2]:443'), 429, 'an address of the same IPv6 network')
  assert.deepEqual(callers.slice(0, 5), [...Array(4).fill('198.51.100.1'), '198.51.100.2'])
})

test('enrollment also counts the attempts of the client', async (t) => {
  const { enroll } = await hubBehind(t, ['127.0.0.1'])
  const statuses = await Promise.all(Array.from({ length: 21 }, () => enroll('198.51.100.1')))
  assert.deepEqual(statuses.filter((status) => status === 429).length, 1)
  assert.equal(await enroll('9.9.9.9, 198.51.100.1'), 429)
  assert.equal(await enroll('198.51.100.2'), 401)
})

test('without a trusted proxy the header is ignored', async (t) => {
  for (const proxies of [undefined, ['10.0.0.1']]) {
    const { login, callers } = await hubBehind(t, proxies)
    assert.equal(await login('ann', '198.51.100.1'), 401)
    assert.equal(await login('ann', '198.51.100.2'), 429)
    assert.deepEqual(callers, ['127.0.0.1', '127.0.0.1'])
  }
})
