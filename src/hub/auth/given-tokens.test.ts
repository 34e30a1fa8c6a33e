import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { User } from '../store/accounts.ts'
import { openSqliteStores } from '../store/open-sqlite.ts'
import { Auth } from './auth.ts'
import { ensureAdmin } from './first-admin.ts'
import { keepGivenTokens } from './given-tokens.ts'

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

test("the operator's tokens are of the first tenant, whatever users of others are called", async (t) => {
  const { accounts, tenantOf, add } = await hub(t)
  await add('aaron', { tenant: 'acme' })
  await keepGivenTokens(accounts, { runner: first })
  assert.equal(await tenantOf(first), 'default')
  await add('client', { tenant: 'acme', role: 'user' })
  await keepGivenTokens(accounts, { client: 'client-token-of-the-operator' })
  const clients = (await accounts.users()).filter(({ name }) => name === 'client')
  assert.deepEqual(clients.map(({ tenant }) => tenant).sort(), ['acme', 'default'])
})

test("the operator's runner token is nobody's who could be demoted", async (t) => {
  const { accounts, tenantOf } = await hub(t)
  await keepGivenTokens(accounts, { runner: first })
  const [admin] = await accounts.users()
  await accounts.updateUser(admin!.id, { role: 'user' })
  assert.equal(await tenantOf(first), 'default')
})

test('a token that was chosen before is revoked, also where another admin comes first now', async (t) => {
  const { accounts, tenantOf, add } = await hub(t)
  await keepGivenTokens(accounts, { runner: first })
  await add('aaron', { created_at: '2020-01-01T00:00:00.000Z' })
  await keepGivenTokens(accounts, { runner: second })
  assert.equal(await tenantOf(first), undefined, 'it is revoked')
  assert.equal(await tenantOf(second), 'default')
})
