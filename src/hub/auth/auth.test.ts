import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { SignJWT } from 'jose'
import type { AccountStore } from '../../stores/accounts.ts'
import { openSqliteStores } from '../../stores/sqlite/open.ts'
import { Auth } from './auth.ts'
import { DEFAULT_LOGIN_LIMITS } from './login-limit.ts'
import { SESSION_MS } from './sessions.ts'
import { ensureAdmin, newTokenText, tokenSha256 } from './tokens.ts'

const HOUR_MS = 3_600_000
const secret = 'a secret of these tests'

async function accountsWithAdmin(t: TestContext) {
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const { accounts } = stores
  const admin = await ensureAdmin(accounts)
  assert.ok(admin)
  const clock = { ms: Date.now() }
  const auth = new Auth({ accounts, secret, now: () => clock.ms })
  const user = (await accounts.userByName({ tenant: 'default', name: 'admin' }))!
  return { accounts, admin, auth, user, clock }
}

async function makeToken(accounts: AccountStore, user_id: string, extra: object = {}) {
  const text = newTokenText('api')
  const token = {
    id: 'token_1',
    name: 'mine',
    user_id,
    scope: 'api' as const,
    created_at: new Date().toISOString(),
  }
  await accounts.createToken({ ...token, token_sha256: tokenSha256(text), ...extra })
  return text
}

test('the first start creates an admin with a random password, once', async (t) => {
  const { accounts, admin, auth } = await accountsWithAdmin(t)
  assert.equal(admin.username, 'admin')
  assert.ok(admin.password.length >= 20)
  assert.equal(await ensureAdmin(accounts), undefined)
  const { user, token } = await auth.login(admin, '127.0.0.1')
  assert.equal(user.role, 'admin')
  assert.equal((await auth.authenticate(token)).user.name, 'admin')
})

test('a wrong password, an unknown user and a disabled user get the same answer', async (t) => {
  const { accounts, auth, admin, user } = await accountsWithAdmin(t)
  const answers: unknown[] = []
  const failure = async (username: string, password: string) => {
    await assert.rejects(
      auth.login({ username, password }, '127.0.0.1'),
      (error: Error & { code: string }) => {
        answers.push([error.code, error.message])
        return true
      },
    )
  }
  await failure('admin', 'wrong')
  await failure('nobody', 'wrong')
  await accounts.updateUser(user.id, { disabled: true })
  await failure('admin', admin.password)
  assert.deepEqual(answers[0], answers[1])
  assert.deepEqual(answers[0], answers[2])
})

test('simultaneous correct passwords are not failures, and only the allowed number of wrong ones is checked', async (t) => {
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const admin = (await ensureAdmin(stores.accounts))!
  const loginLimits = { perAccount: 3, perAddress: 5, windowMs: 900_000, entries: 100 }
  const auth = new Auth({ accounts: stores.accounts, secret, loginLimits })
  const logins = (count: number, password: string) =>
    Promise.allSettled(
      Array.from({ length: count }, () => auth.login({ username: 'admin', password }, '10.0.0.1')),
    )
  const codes = (settled: PromiseSettledResult<unknown>[]) =>
    settled.map((each) => (each.status === 'fulfilled' ? 'in' : each.reason.code)).sort()
  assert.deepEqual(codes(await logins(12, admin.password)), Array(12).fill('in'))
  assert.deepEqual(codes(await logins(12, 'a guess')), [
    ...Array(9).fill('rate_limited'),
    ...Array(3).fill('unauthorized'),
  ])
  assert.deepEqual(codes(await logins(1, admin.password)), ['rate_limited'])
})

test('a session ends after twelve hours', async (t) => {
  const { auth, admin, clock } = await accountsWithAdmin(t)
  const { token } = await auth.login(admin, '127.0.0.1')
  clock.ms += SESSION_MS - HOUR_MS
  await auth.authenticate(token)
  clock.ms += HOUR_MS + 1000
  await assert.rejects(auth.authenticate(token), { code: 'token_expired', message: /expired/ })
})

test('a session ends with a new password, and with its user', async (t) => {
  const { accounts, auth, admin, user } = await accountsWithAdmin(t)
  const { token } = await auth.login(admin, '127.0.0.1')
  await auth.authenticate(token)
  await accounts.updateUser(user.id, { password_hash: await auth.passwords.hash('another one') })
  auth.changed()
  await assert.rejects(auth.authenticate(token), { code: 'unauthorized', message: /password has changed/ })

  const again = await auth.login({ username: 'admin', password: 'another one' }, '127.0.0.1')
  await accounts.updateUser(user.id, { disabled: true })
  auth.changed()
  await assert.rejects(auth.authenticate(again.token), { code: 'unauthorized', message: /disabled/ })
  await accounts.deleteUser(user.id)
  auth.changed()
  await assert.rejects(auth.authenticate(again.token), { code: 'unauthorized', message: /was deleted/ })
})

test('refuses a session that was logged out, but not another session of the same user', async (t) => {
  const { auth, admin } = await accountsWithAdmin(t)
  const [first, second] = [await auth.login(admin, '127.0.0.1'), await auth.login(admin, '127.0.0.1')]
  await auth.logout(await auth.authenticate(first.token))
  await assert.rejects(auth.authenticate(first.token), { code: 'unauthorized', message: /logged out/ })
  await auth.authenticate(second.token)
})

test('a password change requires the current password, and its new session is the only one left', async (t) => {
  const { auth, admin, user, clock } = await accountsWithAdmin(t)
  const before = await auth.login(admin, '127.0.0.1')
  const change = (current_password: string) =>
    auth.changePassword(user, { current_password, new_password: 'another one' })
  for (let i = 0; i < 10; i++) await assert.rejects(change('a guess'), { code: 'unauthorized' })
  await assert.rejects(change(admin.password), { code: 'rate_limited' })
  clock.ms += 15 * 60_000
  const { token } = await change(admin.password)
  await assert.rejects(auth.authenticate(before.token), { message: /password has changed/ })
  assert.equal((await auth.authenticate(token)).user.name, 'admin')
  await auth.login({ username: 'admin', password: 'another one' }, '127.0.0.1')
})

test('a session signed with another secret or not signed is unknown', async (t) => {
  const { auth, user, admin } = await accountsWithAdmin(t)
  const forged = await new SignJWT({ gen: 'x' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer('errand')
    .setSubject(user.id)
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode('another secret'))
  const { token } = await auth.login(admin, '127.0.0.1')
  const [, payload] = token.split('.')
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`
  for (const text of [forged, unsigned, 'nonsense', `${token}x`])
    await assert.rejects(auth.authenticate(text), {
      code: 'unauthorized',
      message: /does not know this token/,
    })
})

test('refuses a missing, unknown, expired or revoked token with the reason', async (t) => {
  const { accounts, auth, user, clock } = await accountsWithAdmin(t)
  await assert.rejects(auth.authenticate(undefined), { code: 'unauthorized', message: /none was sent/ })
  await assert.rejects(auth.authenticate(newTokenText('api')), {
    code: 'unauthorized',
    message: /does not know this token/,
  })
  const expires_at = new Date(clock.ms + HOUR_MS).toISOString()
  const text = await makeToken(accounts, user.id, { expires_at })
  assert.equal((await auth.authenticate(text)).user.id, user.id)
  clock.ms += HOUR_MS
  await assert.rejects(auth.authenticate(text), {
    code: 'token_expired',
    message: /expired at/,
    hint: /errand tokens create/,
  })
  await accounts.revokeToken('token_1', new Date(clock.ms).toISOString())
  await assert.rejects(auth.authenticate(text), { code: 'token_revoked', message: /revoked at/ })
})

test('refuses a token revoked here at once, and one revoked by another hub within seconds', async (t) => {
  const { accounts, auth, user, clock } = await accountsWithAdmin(t)
  const text = await makeToken(accounts, user.id)
  await auth.authenticate(text)
  await accounts.revokeToken('token_1', new Date().toISOString())
  clock.ms += 5_001
  await assert.rejects(auth.authenticate(text), { code: 'token_revoked' })

  const other = await makeToken(accounts, user.id, { id: 'token_2' })
  await auth.authenticate(other)
  await accounts.revokeToken('token_2', new Date().toISOString())
  auth.changed()
  await assert.rejects(auth.authenticate(other), { code: 'token_revoked' })
})

test("a token loses what only admins may do with its user's admin role, and regains it with the role", async (t) => {
  const { accounts, auth, user } = await accountsWithAdmin(t)
  const metrics = await makeToken(accounts, user.id, { id: 'token_m', scope: 'metrics' })
  const runner = await makeToken(accounts, user.id, { id: 'token_r', scope: 'runner' })
  const api = await makeToken(accounts, user.id)
  const become = async (role: 'admin' | 'user') => {
    await accounts.updateUser(user.id, { role })
    auth.changed()
  }
  await auth.authenticate(metrics, 'metrics')
  await become('user')
  const refusal = { code: 'unauthorized', message: /"admin", who created it, is no longer an admin/ }
  await assert.rejects(auth.authenticate(metrics, 'metrics'), refusal)
  assert.match(JSON.stringify(await auth.authenticateRunner(runner)), /is no longer an admin/)
  assert.equal((await auth.authenticate(api)).user.role, 'user')
  await become('admin')
  await auth.authenticate(metrics, 'metrics')
  assert.ok('tenant' in (await auth.authenticateRunner(runner)))
})

test('a runner token opens only the runner link, and an API token never does', async (t) => {
  const { accounts, auth, user, admin } = await accountsWithAdmin(t)
  const api = await makeToken(accounts, user.id)
  const runner = newTokenText('runner')
  await accounts.createToken({
    id: 'token_r',
    name: 'runner',
    user_id: user.id,
    scope: 'runner',
    token_sha256: tokenSha256(runner),
    created_at: new Date().toISOString(),
    group: 'gpu',
  })
  assert.deepEqual(await auth.authenticateRunner(runner), {
    tenant: 'default',
    group: 'gpu',
    runner_id: undefined,
  })
  await assert.rejects(auth.authenticate(runner), { code: 'forbidden', message: /runner token/ })
  const session = await auth.login(admin, '127.0.0.1')
  for (const text of [api, session.token, undefined, newTokenText('runner')])
    assert.ok('refused' in (await auth.authenticateRunner(text)))
})

test('a correct login gets its turn, however many wrong ones from other addresses wait', async (t) => {
  const { accounts, admin, user } = await accountsWithAdmin(t)
  // Only about the turns: a user with many failed logins would be slowed down.
  const loginLimits = { ...DEFAULT_LOGIN_LIMITS, everywhere: undefined }
  const auth = new Auth({ accounts, secret, loginLimits })
  const cheap = 'scrypt$2$1$1$AAAA$AAAA'
  await accounts.createUser({ ...user, id: 'user_victim', name: 'victim', password_hash: cheap })
  const order: string[] = []
  const attack = (address: string) =>
    auth.login({ username: 'victim', password: 'guess' }, address).catch(({ code }) => void order.push(code))
  const addresses = Array.from({ length: 60 }, (_, n) => `10.1.0.${n}`)
  // The first login from each address waits in that network's line; then they are known to have failed.
  const first = await Promise.allSettled(addresses.map(attack))
  assert.equal(first.length, 60)
  assert.ok(order.includes('rate_limited'), 'the queue is limited')
  await Promise.all(addresses.map(attack))
  order.length = 0
  const attacks = addresses.flatMap((address) => [attack(address), attack(address)])
  const right = auth.login(admin, '10.2.0.1').then(({ user }) => order.push(user.name))
  await Promise.all([...attacks, right])
  const answered = order.filter((each) => each !== 'rate_limited')
  const before = answered.indexOf('admin')
  assert.ok(before >= 0 && before <= 4, `it waited for ${before} others`)
  assert.ok(answered.length > 20, `${answered.length} were answered`)
})

test('failed logins from many addresses slow a user down, but lock nobody out', async (t) => {
  const { accounts, admin } = await accountsWithAdmin(t)
  const loginLimits = {
    ...DEFAULT_LOGIN_LIMITS,
    everywhere: { perAccount: 3, paceMs: 1 },
  }
  const auth = new Auth({ accounts, secret, loginLimits })
  const guess = (address: string) => auth.login({ ...admin, password: 'a guess' }, address)
  for (const n of [1, 2, 3, 4, 5, 6])
    await assert.rejects(guess(`10.1.0.${n}`), { code: 'unauthorized' }, 'the answer is slower, but the same')
  assert.equal((await auth.login(admin, '10.2.0.1')).user.name, 'admin')
})

test('constant failures from the same address do not delay users whose browser has logged in before', async (t) => {
  const { accounts, admin, user } = await accountsWithAdmin(t)
  const loginLimits = {
    ...{ perAccount: 3, perAddress: 5, windowMs: 900_000, entries: 100 },
    everywhere: { perAccount: 2, paceMs: 600_000 },
  }
  const auth = new Auth({ accounts, secret, loginLimits })
  const address = '10.0.0.1'
  const { browser } = await auth.login(admin, address)
  assert.ok(browser)
  const guess = (mark?: string) => auth.login({ ...admin, password: 'a guess' }, address, mark)
  const bob = { ...user, id: 'user_bob', name: 'bob' }
  await accounts.createUser(bob)
  const bobs = (await auth.login({ username: 'bob', password: admin.password }, '10.0.0.2')).browser
  const marks = [undefined, 'AAAAAAAAAAAAAAAAAAAAAA.AAAA', bobs]
  for (const mark of marks) await assert.rejects(guess(mark), { code: 'unauthorized' })
  for (const mark of marks) await assert.rejects(guess(mark), { code: 'rate_limited' }, mark)
  await assert.rejects(auth.login(admin, address), { code: 'rate_limited' }, 'without the browser cookie')
  for (const _ of 'three times') {
    const again = await auth.login(admin, address, browser)
    assert.deepEqual([again.user.name, again.browser], ['admin', undefined])
  }
  // The password is changed from a session, where failures of strangers do not count.
  await auth.changePassword(user, { current_password: admin.password, new_password: admin.password })
  // Having the browser gives no more guesses than anybody has.
  for (const _ of 'abc') await assert.rejects(guess(browser), { code: 'unauthorized' })
  await assert.rejects(auth.login(admin, address, browser), { code: 'rate_limited' })
})
