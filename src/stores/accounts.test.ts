import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { it, type TestContext } from 'node:test'
import type { NewToken, SeenRunner, User } from './accounts.ts'
import { openSqliteStores } from './sqlite/open.ts'

const open = async (t: TestContext, file = ':memory:') => {
  const stores = await openSqliteStores({ file })
  t.after(() => stores.close())
  return stores.accounts
}
const user = (name: string, over: Partial<User> = {}): User => ({
  id: `user_${name}`,
  name,
  role: 'user',
  tenant: 'default',
  password_hash: `hash of ${name}`,
  created_at: '2025-01-15T10:00:00.000Z',
  disabled: false,
  ...over,
})
const token = (name: string, userId: string, over: Partial<NewToken> = {}): NewToken => ({
  id: `token_${name}`,
  name,
  user_id: userId,
  scope: 'api',
  token_sha256: `sha of ${name}`,
  created_at: '2025-01-15T10:00:00.000Z',
  ...over,
})
const runner = (id: string, over: Partial<SeenRunner> = {}): SeenRunner => ({
  id,
  group: 'default',
  hostname: 'server-01',
  cpus: 2.5,
  memory_bytes: 8_589_934_592,
  labels: { os: 'linux' },
  mode: 'all',
  version: '0.1.0',
  slots: 4,
  tenant: 'default',
  draining: false,
  first_seen_at: '2025-01-15T10:00:00.000Z',
  last_seen_at: '2025-01-15T10:00:00.000Z',
  ...over,
})

it('stores users, each name once regardless of case', async (t) => {
  const accounts = await open(t)
  const ada = user('Ada', { role: 'admin' })
  await accounts.createUser(ada)
  await accounts.createUser(user('bob', { tenant: 'acme', disabled: true }))
  await assert.rejects(accounts.createUser(user('ADA')), { code: 'conflict' })
  await assert.rejects(accounts.createUser(user('new', { id: ada.id })), { code: 'conflict' })
  assert.deepEqual(await accounts.user(ada.id), ada)
  assert.deepEqual(await accounts.userByName({ tenant: 'default', name: 'ada' }), ada)
  assert.equal(await accounts.userByName({ tenant: 'default', name: 'nobody' }), undefined)
  assert.deepEqual(
    (await accounts.users()).map((each) => each.name),
    ['Ada', 'bob'],
  )
  assert.deepEqual(
    (await accounts.users({ tenant: 'acme' })).map((each) => each.disabled),
    [true],
  )
})

it('stores a user name once per tenant', async (t) => {
  const accounts = await open(t)
  const [here, there] = [user('ada'), user('ADA', { tenant: 'acme' })]
  await accounts.createUser(here)
  await accounts.createUser(there)
  assert.deepEqual(await accounts.userByName({ tenant: 'default', name: 'Ada' }), here)
  assert.deepEqual(await accounts.userByName({ tenant: 'acme', name: 'Ada' }), there)
  assert.equal(await accounts.userByName({ tenant: 'third', name: 'ada' }), undefined)
  await assert.rejects(accounts.createUser(user('Ada', { id: 'x', tenant: 'acme' })), { code: 'conflict' })
})

it('gives a name to one of two simultaneous requests', async (t) => {
  const accounts = await open(t)
  const both = ['1', '2'].map((id) => accounts.createUser(user('ada', { id })))
  const results = await Promise.allSettled(both)
  assert.deepEqual(
    results.map((result) => result.status),
    ['fulfilled', 'rejected'],
  )
})

it('changes only the given fields of a user', async (t) => {
  const accounts = await open(t)
  await accounts.createUser(user('ada'))
  assert.deepEqual(await accounts.updateUser('user_ada', { disabled: true }), user('ada', { disabled: true }))
  const changed = user('ada', { role: 'admin', password_hash: 'new' })
  assert.deepEqual(
    await accounts.updateUser('user_ada', { role: 'admin', password_hash: 'new', disabled: false }),
    changed,
  )
  assert.deepEqual(await accounts.user('user_ada'), changed)
  await assert.rejects(accounts.updateUser('user_x', { disabled: true }), { code: 'not_found' })
})

it('finds a token with its user by its hash, and deletes it with the user', async (t) => {
  const accounts = await open(t)
  await accounts.createUser(user('ada'))
  await accounts.createUser(user('bob', { tenant: 'acme' }))
  const first = token('one', 'user_ada', { expires_at: '2026-01-01T00:00:00.000Z' })
  const second = token('two', 'user_bob', {
    scope: 'runner',
    group: 'builders',
    created_at: '2025-01-16T00:00:00.000Z',
  })
  await accounts.createToken(second)
  await accounts.createToken(first)
  assert.deepEqual(await accounts.tokenByHash('sha of one'), { token: first, user: user('ada') })
  assert.deepEqual(await accounts.token('token_two'), second)
  assert.equal(await accounts.tokenByHash('sha of none'), undefined)
  assert.deepEqual(await accounts.tokens(), [first, second])
  assert.deepEqual(await accounts.tokens({ user_id: 'user_bob' }), [second])
  assert.deepEqual(await accounts.tokens({ tenant: 'default' }), [first])
  await assert.rejects(accounts.createToken(token('one', 'user_ada', { id: 'other' })), { code: 'conflict' })
  await assert.rejects(accounts.createToken(token('new', 'user_x')), { code: 'not_found' })
  assert.equal(await accounts.deleteUser('user_ada'), true)
  assert.equal(await accounts.deleteUser('user_ada'), false)
  assert.equal(await accounts.tokenByHash('sha of one'), undefined)
})

it('stores sessions until they end, expire or lose their user', async (t) => {
  const accounts = await open(t)
  await accounts.createUser(user('ada'))
  const session = (id: string, day: string) => ({
    ...{ id, user_id: 'user_ada', created_at: `2025-01-${day}`, expires_at: `2025-01-${day}T12` },
  })
  await accounts.createSession(session('a', '15'))
  assert.deepEqual(await accounts.session('a'), { session: session('a', '15'), user: user('ada') })
  await accounts.createSession(session('b', '16'))
  await accounts.createSession(session('c', '16'))
  assert.equal(await accounts.session('a'), undefined, 'it has expired')
  assert.deepEqual([await accounts.deleteSession('b'), await accounts.deleteSession('b')], [true, false])
  assert.equal(await accounts.session('b'), undefined)
  await accounts.deleteUser('user_ada')
  assert.equal(await accounts.session('c'), undefined)
  await assert.rejects(accounts.createSession(session('d', '17')), { code: 'not_found' })
})

it('deletes tokens that have long been invalid, and no others', async (t) => {
  const accounts = await open(t)
  await accounts.createUser(user('ada'))
  const [early, late] = ['2025-02-01T00:00:00.000Z', '2025-04-01T00:00:00.000Z']
  for (const [name, over] of [
    ['good', {}],
    ['expired', { expires_at: early }],
    ['expires', { expires_at: late }],
    ['revoked', {}],
    ['revoked-late', {}],
    ['used', { scope: 'enroll', expires_at: late }],
  ] as const)
    await accounts.createToken(token(name, 'user_ada', over))
  await accounts.revokeToken('token_revoked', early)
  await accounts.revokeToken('token_revoked-late', late)
  const made = { scope: 'runner', runner_id: 'box', created_at: early } as const
  await accounts.exchangeToken('token_used', { ...token('own', 'user_ada', made), runner_id: 'box' })
  assert.equal(await accounts.forgetTokens('2025-03-01T00:00:00.000Z'), 3)
  assert.deepEqual((await accounts.tokens()).map(({ name }) => name).sort(), [
    'expires',
    'good',
    'own',
    'revoked-late',
  ])
  assert.equal(await accounts.forgetTokens('2025-03-01T00:00:00.000Z'), 0)
})

it('revokes a token once, and records its use at most once a minute', async (t) => {
  const accounts = await open(t)
  await accounts.createUser(user('ada'))
  await accounts.createToken(token('one', 'user_ada'))
  const used = async (second: string) => {
    accounts.touchToken('token_one', `2025-01-15T10:${second}.000Z`)
    // Commits come in order: once this one is there, so is the one before.
    await accounts.setSetting('x', 'y')
    return (await accounts.token('token_one'))?.last_used_at?.slice(14, 19)
  }
  assert.equal(await used('00:00'), '00:00')
  assert.equal(await used('00:59'), '00:00')
  assert.equal(await used('01:00'), '01:00')
  assert.equal(await accounts.revokeToken('token_one', 'first'), true)
  assert.equal(await accounts.revokeToken('token_one', 'second'), true)
  assert.equal((await accounts.token('token_one'))?.revoked_at, 'first')
  assert.equal(await accounts.revokeToken('token_x', 'first'), false)
})

it("exchanges an enrollment token once, and revokes a runner's tokens by its id and tenant", async (t) => {
  const accounts = await open(t)
  await accounts.createUser(user('ada', { role: 'admin' }))
  await accounts.createUser(user('eve', { role: 'admin', tenant: 'acme' }))
  await accounts.createToken(token('once', 'user_ada', { scope: 'enroll' }))
  const made = (name: string, userId = 'user_ada') => ({
    ...token(name, userId, { scope: 'runner' }),
    runner_id: 'r1',
  })
  const both = [
    accounts.exchangeToken('token_once', made('a')),
    accounts.exchangeToken('token_once', made('b')),
  ]
  assert.deepEqual(await Promise.all(both), [true, false])
  assert.deepEqual(await accounts.token('token_a'), made('a'))
  assert.equal(await accounts.token('token_b'), undefined)
  const { used_at, runner_id } = (await accounts.token('token_once'))!
  assert.deepEqual([used_at, runner_id], [made('a').created_at, 'r1'])
  await accounts.createToken(token('gone', 'user_ada', { scope: 'enroll' }))
  await accounts.revokeToken('token_gone', 'now')
  assert.equal(await accounts.exchangeToken('token_gone', made('c')), false)

  await accounts.createToken(made('foreign', 'user_eve'))
  assert.equal(await accounts.revokeRunnerTokens({ tenant: 'default', id: 'r1' }, 'later'), 1)
  assert.equal((await accounts.token('token_a'))?.revoked_at, 'later')
  assert.equal((await accounts.token('token_once'))?.revoked_at, undefined)
  assert.equal((await accounts.token('token_foreign'))?.revoked_at, undefined)
})

it('gives an idempotency key to one request, for a day, separately for each owner', async (t) => {
  const accounts = await open(t)
  const claim = (run_id: string, created_at = '2025-01-15T10:00:00.000Z', owner = 'ada') =>
    accounts.claimKey({ key: 'k', owner, request_hash: `h ${run_id}`, run_id, created_at })
  const [first, second] = await Promise.all([claim('run_1'), claim('run_2')])
  assert.equal(first, undefined)
  assert.deepEqual([second?.run_id, second?.request_hash], ['run_1', 'h run_1'])
  assert.equal(await claim('run_3', undefined, 'bob'), undefined)
  assert.equal((await claim('run_4', '2025-01-16T10:00:00.000Z'))?.run_id, 'run_1')
  assert.equal(await claim('run_5', '2025-01-16T10:00:00.001Z'), undefined)
  await accounts.releaseKey('ada', 'k')
  await accounts.releaseKey('ada', 'k')
  assert.equal(await claim('run_6'), undefined)
  await accounts.forgetKeys(['run_6', 'run_x'])
  assert.equal(await claim('run_7'), undefined)
})

it('stores runners by tenant and id, with the times when each was first and last seen', async (t) => {
  const accounts = await open(t)
  await accounts.saveRunner(runner('b'))
  await accounts.saveRunner(runner('a', { labels: {} }))
  const later = '2025-01-16T10:00:00.000Z'
  await accounts.saveRunner(runner('b', { group: 'g', cpus: 8, first_seen_at: later, last_seen_at: later }))
  const b = runner('b', { group: 'g', cpus: 8, last_seen_at: later })
  assert.deepEqual(await accounts.runners(), [runner('a', { labels: {} }), b])
  const there = runner('b', { tenant: 'acme', hostname: 'theirs' })
  await accounts.saveRunner(there)
  assert.deepEqual((await accounts.runners()).slice(1), [there, b])
  const a = { tenant: 'default', id: 'a' }
  assert.equal(await accounts.removeRunner({ ...a, tenant: 'acme' }), false)
  assert.equal(await accounts.removeRunner(a), true)
  assert.equal(await accounts.removeRunner(a), false)
  assert.equal(await accounts.removeRunner(there), true)
  assert.deepEqual(await accounts.runners(), [b])
})

it('stores settings, and the first value if two are created at once', async (t) => {
  const accounts = await open(t)
  assert.equal(await accounts.setting('a'), undefined)
  assert.deepEqual(await Promise.all([accounts.initSetting('a', '1'), accounts.initSetting('a', '2')]), [
    '1',
    '1',
  ])
  await accounts.setSetting('a', '3')
  assert.equal(await accounts.setting('a'), '3')
})

it('finds everything again after it is reopened', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-accounts-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = path.join(dir, 'errand.db')
  const first = await openSqliteStores({ file })
  await first.accounts.createUser(user('ada'))
  const pending = first.accounts.createToken(token('one', 'user_ada'))
  first.close()
  await pending
  const again = await open(t, file)
  assert.equal((await again.tokenByHash('sha of one'))?.user?.name, 'ada')
})
