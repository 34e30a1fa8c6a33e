import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { User } from '../../stores/accounts.ts'
import { openSqliteStores } from '../../stores/sqlite/open.ts'
import { Auth } from './auth.ts'
import { ensureAdmin, ownToken, storeConfiguredTokens, tokenSha256 } from './tokens.ts'

const [first, second] = ['the-first-runner-token', 'the-second-runner-token']

async function hub(t: TestContext) {
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const { accounts } = stores
  await ensureAdmin(accounts)
  const auth = new Auth({ accounts, secret: 'a secret of these tests', given: [first, second] })
  const tenantOf = async (token: string) => {
    const runner = await auth.authenticateRunner(token)
    return 'refused' in runner ? undefined : runner.tenant
  }
  const add = async (name: string, change: Partial<User> = {}) => {
    const user: User = {
      ...{
        id: `user_${name}`,
        name,
        role: 'admin',
        tenant: 'default',
        password_hash: 'none',
        disabled: false,
      },
      created_at: new Date(Date.now() + 1000).toISOString(),
      ...change,
    }
    await accounts.createUser(user)
  }
  return { accounts, tenantOf, add }
}

test("the operator's tokens belong to the first tenant, whatever the users of others are called", async (t) => {
  const { accounts, tenantOf, add } = await hub(t)
  await add('aaron', { tenant: 'acme' })
  await storeConfiguredTokens(accounts, { runner: first })
  assert.equal(await tenantOf(first), 'default')
  await add('client', { tenant: 'acme', role: 'user' })
  await storeConfiguredTokens(accounts, { client: 'client-token-of-the-operator' })
  const clients = (await accounts.users()).filter(({ name }) => name === 'client')
  assert.deepEqual(clients.map(({ tenant }) => tenant).sort(), ['acme', 'default'])
})

test("the operator's runner token does not depend on a user who could be demoted", async (t) => {
  const { accounts, tenantOf } = await hub(t)
  await storeConfiguredTokens(accounts, { runner: first })
  const [admin] = await accounts.users()
  await accounts.updateUser(admin!.id, { role: 'user' })
  assert.equal(await tenantOf(first), 'default')
})

test("an earlier operator's token is revoked, even if another admin comes first now", async (t) => {
  const { accounts, tenantOf, add } = await hub(t)
  await storeConfiguredTokens(accounts, { runner: first })
  await add('aaron', { created_at: '2020-01-01T00:00:00.000Z' })
  await storeConfiguredTokens(accounts, { runner: second })
  assert.equal(await tenantOf(first), undefined, 'the token is revoked')
  assert.equal(await tenantOf(second), 'default')
})

test("the hub's own tokens belong to an admin of its first tenant, whatever other tenants' admins are called", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-own-token-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const { accounts } = stores
  await ensureAdmin(accounts)
  const admin = (await accounts.userByName({ tenant: 'default', name: 'admin' }))!
  const add = (id: string, name: string, tenant: string) =>
    accounts.createUser({ ...admin, id, name, tenant, created_at: new Date().toISOString() } satisfies User)
  const owner = async () => {
    const text = await ownToken({ accounts, scope: 'api', name: 'own', file: join(folder, 'token') })
    return (await accounts.tokenByHash(tokenSha256(text)))?.user?.name
  }
  await add('user_a', 'aaron', 'acme')
  assert.equal(await owner(), 'admin')
  await add('user_z', 'zoe', 'default')
  await accounts.updateUser(admin.id, { disabled: true })
  assert.equal(await owner(), 'zoe')
  await accounts.updateUser(admin.id, { disabled: false })
  assert.equal(await owner(), 'zoe', 'the token of the last start is still valid')
  await accounts.updateUser('user_z', { role: 'user' })
  assert.equal(await owner(), 'admin')
  const [of_zoe] = (await accounts.tokens({ user_id: 'user_z' })).filter(({ name }) => name === 'own')
  assert.notEqual(
    of_zoe?.revoked_at,
    undefined,
    'a user without the admin role has no token that the hub created for itself',
  )
})

test("the hub's own API token counts as a log-in, even if an earlier start created it", async (t) => {
  const { accounts } = await hub(t)
  const folder = mkdtempSync(join(tmpdir(), 'errand-own-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const own = {
    accounts,
    scope: 'api',
    name: 'command line of the hub',
    file: join(folder, 'token'),
  } as const
  const asLogin = async (text: string) => (await accounts.tokenByHash(tokenSha256(text)))?.token.as_login
  assert.equal(await asLogin(await ownToken(own)), true)
  const [admin] = await accounts.users()
  const before = { id: 'token_before', name: own.name, scope: 'api', user_id: admin!.id } as const
  await accounts.createToken({ ...before, token_sha256: tokenSha256('errand_api_old'), created_at: '2025' })
  writeFileSync(own.file, 'errand_api_old\n')
  assert.equal(await ownToken(own), 'errand_api_old')
  assert.equal(await asLogin('errand_api_old'), true)
})

test("the hub's own runner has a token of the tenant; an earlier one in an admin's name is revoked", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-own-token-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const { accounts } = stores
  await ensureAdmin(accounts)
  const admin = (await accounts.userByName({ tenant: 'default', name: 'admin' }))!
  const file = join(folder, 'token')
  writeFileSync(file, 'errand_runner_of-before')
  const before = { id: 'token_1', name: 'own', user_id: admin.id, scope: 'runner' as const }
  const token_sha256 = tokenSha256('errand_runner_of-before')
  await accounts.createToken({ ...before, token_sha256, created_at: new Date().toISOString() })
  const own = () => ownToken({ accounts, scope: 'runner', name: 'own', file })
  const text = await own()
  await accounts.updateUser(admin.id, { role: 'user' })
  assert.equal(await own(), text)
  assert.notEqual((await accounts.token('token_1'))?.revoked_at, undefined)
  const auth = new Auth({ accounts, secret: 'a secret of these tests' })
  const principal = { tenant: 'default', group: undefined, runner_id: undefined }
  assert.deepEqual(await auth.authenticateRunner(text), principal)
})

test('names a folder that is in the place of the token file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-own-token-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const { accounts } = stores
  await ensureAdmin(accounts)
  // Docker leaves a folder like this when a missing file is mounted.
  const file = join(folder, 'token')
  mkdirSync(file)
  await assert.rejects(ownToken({ accounts, scope: 'runner', name: 'own', file }), {
    code: 'store_failed',
    message: /token could not be read or written: EISDIR/,
  })
})
