import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { ensureAdmin } from '../hub/auth/first-admin.ts'
import { tokenSha256 } from '../hub/auth/token-text.ts'
import type { User } from '../hub/store/accounts.ts'
import { openSqliteStores } from '../hub/store/open-sqlite.ts'
import { ownToken } from './own-token.ts'

test("the hub's own tokens are of an admin of its first tenant, whoever of another comes first by name", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-own-token-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const { accounts } = stores
  await ensureAdmin(accounts)
  const admin = (await accounts.userByName('admin'))!
  const add = (id: string, name: string, tenant: string) =>
    accounts.createUser({ ...admin, id, name, tenant, created_at: new Date().toISOString() } satisfies User)
  const owner = async () => {
    const text = await ownToken({ accounts, scope: 'runner', name: 'own', file: join(folder, 'token') })
    return (await accounts.tokenByHash(tokenSha256(text)))?.user.name
  }
  await add('user_a', 'aaron', 'acme')
  assert.equal(await owner(), 'admin')
  await add('user_z', 'zoe', 'default')
  await accounts.updateUser(admin.id, { disabled: true })
  assert.equal(await owner(), 'zoe')
})

test('a folder in the place of the file of a token is named', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-own-token-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const stores = await openSqliteStores({ file: ':memory:' })
  t.after(() => stores.close())
  const { accounts } = stores
  await ensureAdmin(accounts)
  // As Docker leaves one where a file is mounted that is not there.
  const file = join(folder, 'token')
  mkdirSync(file)
  await assert.rejects(ownToken({ accounts, scope: 'runner', name: 'own', file }), {
    code: 'store_failed',
    message: /token could not be read or written: EISDIR/,
  })
})
