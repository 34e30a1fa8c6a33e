import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { AccountStore, TenantRunner } from '../../stores/accounts.ts'
import { openSqliteStores } from '../../stores/sqlite/open.ts'
import { Auth } from './auth.ts'
import { Enrolments } from './enrolment.ts'
import { ensureAdmin } from './tokens.ts'

async function setup(t: TestContext) {
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const accounts: AccountStore = stores.accounts
  await ensureAdmin(accounts)
  const admin = (await accounts.userByName({ tenant: 'default', name: 'admin' }))!
  const clock = { ms: Date.now() }
  const auth = new Auth({ accounts, secret: 'a secret of these tests', now: () => clock.ms })
  const limits = { perAccount: 3, perAddress: 3, windowMs: 60_000, entries: 10 }
  const there = new Map<string, { hostname: string; connected_at: string }>()
  const connected = async ({ tenant, id }: TenantRunner) => there.get(`${tenant}/${id}`)
  const enrolments = new Enrolments({ accounts, auth, connected, limits })
  const make = (group?: string) =>
    enrolments.create({ user: admin }, { name: 'enrolment', group, expires_in_seconds: 3600 })
  return { accounts, admin, auth, clock, enrolments, make, there }
}

test('an enrollment token becomes the token of one runner, with its tenant and group', async (t) => {
  const { auth, enrolments, make } = await setup(t)
  const made = await make('gpu')
  assert.match(made.token, /^errand_enroll_/)
  const enrolled = await enrolments.exchange({ token: made.token, runner_id: 'r1' }, '10.0.0.1')
  assert.deepEqual([enrolled.runner_id, enrolled.tenant, enrolled.group], ['r1', 'default', 'gpu'])
  const principal = { tenant: 'default', group: 'gpu', runner_id: 'r1' }
  assert.deepEqual(await auth.authenticateRunner(enrolled.token), principal)
})

test('refuses a used, expired, revoked, foreign or other token, and says which it is', async (t) => {
  const { accounts, auth, clock, enrolments, make } = await setup(t)
  let address = 0
  const refusal = async (token: string, code: string, message: RegExp) =>
    assert.rejects(enrolments.exchange({ token, runner_id: 'r2' }, `10.0.0.${++address}`), {
      code,
      message,
      hint: /errand runners enroll-token/,
    })
  const used = await make()
  const { token: runnerToken } = await enrolments.exchange({ token: used.token, runner_id: 'r1' }, '10.0.1.1')
  await refusal(used.token, 'unauthorized', /was used by the runner "r1" at 2/)
  await refusal(runnerToken, 'unauthorized', /not an enrolment token/)
  await refusal('of-no-hub', 'unauthorized', /not an enrolment token/)
  await refusal('errand_enroll_of-another-hub', 'unauthorized', /does not know this token/)
  const revoked = await make()
  await accounts.revokeToken(revoked.id, new Date().toISOString())
  await refusal(revoked.token, 'token_revoked', /was revoked/)
  const expired = await make()
  clock.ms += 3_601_000
  await refusal(expired.token, 'token_expired', /expired at/)
  assert.match(JSON.stringify(await auth.authenticateRunner(used.token)), /errand runner enroll|expired/)
})

test('refuses the id of a connected runner, and the token stays valid for another id', async (t) => {
  const { enrolments, make, there } = await setup(t)
  const { token } = await make()
  const at = { hostname: 'machine-1', connected_at: '2026-01-01T00:00:00.000Z' }
  there.set('default/web', at)
  there.set('elsewhere/mine', at)
  for (let i = 0; i < 5; i++)
    await assert.rejects(enrolments.exchange({ token, runner_id: 'web' }, '10.0.0.1'), {
      code: 'conflict',
      message: /"web" is in use by a runner on machine-1/,
      hint: /still valid.*--id NAME/,
    })
  assert.equal((await enrolments.exchange({ token, runner_id: 'mine' }, '10.0.0.1')).runner_id, 'mine')
  await assert.rejects(enrolments.exchange({ token, runner_id: 'web' }, '10.0.0.1'), {
    message: /was used by/,
  })
  there.clear()
  const { token: later } = await make()
  assert.equal((await enrolments.exchange({ token: later, runner_id: 'web' }, '10.0.0.1')).runner_id, 'web')
})

test("an enrolled runner outlives its admin's role, but the admin's unused enrollment tokens do not", async (t) => {
  const { accounts, admin, auth, enrolments, make } = await setup(t)
  const { token } = await enrolments.exchange({ token: (await make()).token, runner_id: 'r1' }, '10.0.0.1')
  const unused = await make()
  const principal = { tenant: 'default', group: undefined, runner_id: 'r1' }
  for (const patch of [{ role: 'user' }, { disabled: true }] as const) {
    await accounts.updateUser(admin.id, patch)
    auth.changed()
    assert.deepEqual(await auth.authenticateRunner(token), principal)
    await assert.rejects(enrolments.exchange({ token: unused.token, runner_id: 'r2' }, '10.0.0.2'), {
      code: 'unauthorized',
      message: /is no longer an admin|is disabled/,
    })
  }
  await accounts.deleteUser(admin.id)
  auth.changed()
  assert.deepEqual(await auth.authenticateRunner(token), principal)
  const stored = await accounts.tokens({ tenant: 'default' })
  assert.deepEqual(
    stored.map(({ runner_id, created_by }) => [runner_id, created_by]),
    [['r1', 'admin']],
  )
  await accounts.revokeRunnerTokens({ tenant: 'default', id: 'r1' }, new Date().toISOString())
  auth.changed()
  assert.match(JSON.stringify(await auth.authenticateRunner(token)), /was revoked/)
})

test('an enrollment token opens neither the API nor the link', async (t) => {
  const { auth, make } = await setup(t)
  const { token } = await make()
  await assert.rejects(auth.authenticate(token), { code: 'forbidden', message: /enrolment token/ })
  assert.match(JSON.stringify(await auth.authenticateRunner(token)), /enrolment token/)
})

test('when two machines use one enrollment token at once, one is enrolled', async (t) => {
  const { enrolments, make } = await setup(t)
  const { token } = await make()
  const both = ['r1', 'r2'].map((runner_id) => enrolments.exchange({ token, runner_id }, '10.0.0.1'))
  const results = await Promise.allSettled(both)
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
})

test('an address that tries wrong tokens has to wait; one that enrolls many machines does not', async (t) => {
  const { enrolments, make } = await setup(t)
  const exchange = (token: string, address: string) => enrolments.exchange({ token, runner_id: 'r' }, address)
  for (let i = 0; i < 3; i++) await assert.rejects(exchange('wrong', '10.0.0.1'), { code: 'unauthorized' })
  for (const token of ['wrong', 'errand_enroll_wrong'])
    await assert.rejects(exchange(token, '10.0.0.1'), { code: 'rate_limited' })
  for (let i = 0; i < 6; i++) await exchange((await make()).token, '10.0.0.2')
  // Many machines may share one address. One with a wrong setup does not lock out the others.
  await exchange((await make()).token, '10.0.0.1')
})

test('40 machines behind one address are enrolled at once', async (t) => {
  const { accounts, enrolments, make } = await setup(t)
  const tokens = await Promise.all(Array.from({ length: 40 }, () => make()))
  await Promise.all(
    tokens.map(({ token }, index) => enrolments.exchange({ token, runner_id: `r${index}` }, '10.0.0.1')),
  )
  const made = (await accounts.tokens()).filter(({ scope }) => scope === 'runner')
  assert.equal(made.length, 40)
})
