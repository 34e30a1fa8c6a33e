import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import type { AttemptSpec } from '../contract/attempt.ts'
import type { RunSpec } from '../contract/run.ts'
import { secretUses } from '../contract/step-secrets.ts'
import { KeyRing } from '../stores/secrets/key-ring.ts'
import type { SecretPlace } from '../stores/secrets/secret-store.ts'
import { openSqliteStores } from '../stores/sqlite/open.ts'
import { Secrets } from './secrets.ts'

const VALUE = 'correct horse battery staple'
const place = (over: Partial<SecretPlace> = {}): SecretPlace => ({
  tenant: 'default',
  scope: 'tenant',
  scope_name: '',
  name: 'TOKEN',
  ...over,
})
const spec = (over: Partial<AttemptSpec> = {}) =>
  ({
    run_id: 'run_any',
    tenant: 'default',
    workflow_name: 'deploy',
    action: 'cmd.run',
    args: { cmd: 'true' },
    secrets: secretUses(['TOKEN']),
    ...over,
  }) as AttemptSpec
const newKey = () => randomBytes(32).toString('base64')

async function here(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'errand-secrets-'))
  const stores = await openSqliteStores({ file: join(dir, 'errand.db') })
  t.after(() => {
    stores.close()
    rmSync(dir, { recursive: true })
  })
  const open = (env: Record<string, string> = {}) =>
    new Secrets(stores.secrets, new KeyRing({ env, file: join(dir, 'secrets.key') }))
  return { dir, stores, open }
}

test('no file of the hub contains a secret, and an attempt gets it', async (t) => {
  const { dir, open } = await here(t)
  const secrets = open()
  const stored = await secrets.set(place(), VALUE, 'ann')
  assert.equal(statSync(join(dir, 'secrets.key')).mode & 0o777, 0o600)
  assert.deepEqual(await secrets.reveal(spec()), { TOKEN: VALUE })
  assert.deepEqual(
    await open().reveal(spec({ secrets: secretUses({ A: 'TOKEN', B: { mounted: 'x', as: 'env' } }) })),
    {
      A: VALUE,
    },
  )
  for (const name of readdirSync(dir)) {
    const bytes = readFileSync(join(dir, name))
    for (const form of ['utf8', 'base64', 'hex'] as const)
      assert.ok(!bytes.includes(Buffer.from(VALUE).toString(form).slice(0, 24)), `${name} ${form}`)
  }
  assert.ok(!JSON.stringify(stored).includes(VALUE))
})

test('the database also keeps no sealed value of a deleted secret', async (t) => {
  const { dir, open, stores } = await here(t)
  const secrets = open()
  const run = { run_id: 'run_1', tenant: 'default', owner: 'ann' }
  await secrets.setOfRun(run, { PASSWORD: 'of one pull', TOKEN: VALUE })
  const { sealed } = (await stores.secrets.list({ name: 'PASSWORD' }))[0]!
  const file = join(dir, 'errand.db')
  const written = () => {
    const db = new DatabaseSync(file)
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    db.close()
    return readFileSync(file).includes(Buffer.from(sealed))
  }
  assert.ok(written())
  await secrets.dropOfRun(run, 'PASSWORD')
  assert.deepEqual(await secrets.ofRun(run), { TOKEN: VALUE })
  assert.ok(!written())
})

test('setting a secret again changes the value, and keeps its creator', async (t) => {
  const { open } = await here(t)
  const secrets = open()
  const before = await secrets.set(place(), 'one', 'ann')
  const after = await secrets.set(place(), 'two', 'bob')
  assert.deepEqual([after.created_by, after.created_at, after.updated_by], ['ann', before.created_at, 'bob'])
  assert.deepEqual(await secrets.reveal(spec()), { TOKEN: 'two' })
  assert.equal(await secrets.remove(place()), true)
  assert.equal(await secrets.remove(place()), false)
})

test("the workflow's secret takes precedence over the repository's, and that over the tenant's", async (t) => {
  const { open } = await here(t)
  const secrets = open()
  const seen = (over: Partial<AttemptSpec>) => secrets.reveal(spec(over)).then(({ TOKEN }) => TOKEN)
  await secrets.set(place({ tenant: 'other' }), 'of others', 'x')
  await assert.rejects(seen({}), {
    code: 'secret_not_found',
    message: /Secret "TOKEN" not found .*workflow "deploy"/,
  })
  await secrets.set(place(), 'tenant', 'x')
  await secrets.set(place({ scope: 'repository', scope_name: 'shop' }), 'repository', 'x')
  await secrets.set(place({ scope: 'workflow', scope_name: 'deploy' }), 'workflow', 'x')
  assert.equal(await seen({}), 'workflow')
  assert.equal(await seen({ workflow_name: 'rollback of deploy' }), 'workflow')
  assert.equal(await seen({ workflow_name: 'other', repository: 'shop' }), 'repository')
  assert.equal(await seen({ workflow_name: 'other', repository: 'else' }), 'tenant')
  assert.equal(await seen({ workflow_name: 'other' }), 'tenant')
  assert.equal(await seen({ tenant: 'other' }), 'of others')
})

test("a user's secret is only for that user's runs, and takes precedence over the shared one", async (t) => {
  const { open } = await here(t)
  const secrets = open()
  const reported: unknown[] = []
  const seen = (over: Partial<AttemptSpec>) =>
    secrets.reveal(spec(over), ({ TOKEN }) => reported.push(TOKEN)).then(({ TOKEN }) => TOKEN)
  const deploy = { scope: 'workflow', scope_name: 'deploy' } as const
  await secrets.set(place(), 'for all runs', 'boss')
  await secrets.set(place({ ...deploy, owner: 'eve' }), 'put there by eve', 'eve')
  for (const owner of ['boss', 'ann', undefined]) assert.equal(await seen({ owner }), 'for all runs')
  assert.equal(await seen({ owner: 'eve' }), 'put there by eve')
  assert.equal(await seen({ owner: 'eve', tenant: 'default', workflow_name: 'other' }), 'for all runs')
  await secrets.set(place(deploy), 'for runs of it', 'boss')
  assert.equal(await seen({ owner: 'ann' }), 'for runs of it')
  assert.equal(await seen({ owner: 'eve' }), 'put there by eve')
  assert.deepEqual(reported.slice(-2), [
    { name: 'TOKEN', scope: 'workflow', workflow: 'deploy', updated_by: 'boss' },
    { name: 'TOKEN', scope: 'workflow', workflow: 'deploy', owner: 'eve', updated_by: 'eve' },
  ])
  assert.deepEqual(reported[0], { name: 'TOKEN', scope: 'tenant', updated_by: 'boss' })
  await secrets.remove(place())
  await secrets.remove(place(deploy))
  await assert.rejects(seen({ owner: 'boss' }), { code: 'secret_not_found' })
  const step = { name: 'one', action: 'noop', args: {}, secrets: ['TOKEN'] }
  const run = (owner: string) =>
    ({
      run_id: 'run_any',
      tenant: 'default',
      owner,
      workflow: { name: 'deploy', steps: [step] },
    }) as unknown as RunSpec
  await secrets.admit(run('eve'))
  await assert.rejects(secrets.admit(run('boss')), { code: 'invalid_argument' })
  await secrets.dropOfUser({ tenant: 'default', owner: 'eve' })
  await assert.rejects(secrets.admit(run('eve')), { code: 'invalid_argument' })
})

test('refuses a run whose workflow names missing secrets, and lists all their names', async (t) => {
  const { open } = await here(t)
  const secrets = open()
  await secrets.set(place({ scope: 'workflow', scope_name: 'inner' }), VALUE, 'x')
  const step = (name: string, more: object) => ({ name, action: 'noop', args: {}, ...more })
  const run = (steps: object[]) =>
    ({ run_id: 'run_any', tenant: 'default', workflow: { name: 'outer', steps } }) as unknown as RunSpec
  const inner = { name: 'inner', steps: [step('two', { secrets: ['TOKEN'] })] }
  await secrets.admit(run([step('one', { action: 'workflow.run', args: { workflow: inner } })]))
  await secrets.admit(run([step('one', { secrets: { A: { mounted: 'x' } } })]))
  await assert.rejects(secrets.admit(run([step('one', { secrets: ['TOKEN', 'B', 'C'] })])), {
    code: 'invalid_argument',
    message: /^Secrets "TOKEN", "B", "C" not found/,
    hint: /errand secrets set TOKEN/,
  })
})

test('reports a lost key, and creates no new one in its place', async (t) => {
  const { dir, open } = await here(t)
  const secrets = open()
  await secrets.set(place(), VALUE, 'x')
  const file = join(dir, 'secrets.key')
  const key = readFileSync(file)
  rmSync(file)
  const missing = {
    code: 'store_failed',
    message: /key of the secrets is missing.*secrets\.key/,
    hint: /^Restore the file/,
  }
  await assert.rejects(secrets.reveal(spec()), missing)
  await assert.rejects(secrets.set(place(), 'new', 'x'), missing)
  await assert.rejects(secrets.reseal(), missing)
  writeFileSync(file, key)
  assert.deepEqual(await secrets.reveal(spec()), { TOKEN: VALUE })
  rmSync(file)
  await secrets.remove(place())
  await secrets.set(place(), 'new', 'x')
  assert.deepEqual(await secrets.reveal(spec()), { TOKEN: 'new' })
})

test('reports a wrong key and an invalid key without showing the key', async (t) => {
  const { dir, open } = await here(t)
  await open({ ERRAND_SECRETS_KEY: newKey() }).set(place(), VALUE, 'x')
  await assert.rejects(open({ ERRAND_SECRETS_KEY: newKey() }).reveal(spec()), {
    code: 'store_failed',
    message: /"TOKEN" was sealed with the key [0-9a-f]{16}, but ERRAND_SECRETS_KEY has [0-9a-f]{16}/,
  })
  await assert.rejects(open({ ERRAND_SECRETS_KEY: 'c2hvcnQ=' }).reveal(spec()), ({ message }: Error) => {
    assert.match(message, /Key 1 of ERRAND_SECRETS_KEY is not a valid key for secrets: it must be 32 bytes/)
    return !message.includes('c2hvcnQ=')
  })
  writeFileSync(join(dir, 'empty'), '\n')
  for (const ERRAND_SECRETS_KEY_FILE of [join(dir, 'empty'), join(dir, 'nothing')])
    await assert.rejects(open({ ERRAND_SECRETS_KEY_FILE }).reveal(spec()), { code: 'store_failed' })
})

test('reports an invalid given key before there are secrets', async (t) => {
  const { dir, open } = await here(t)
  assert.equal(await open().reseal(), 0)
  assert.equal(await open({ ERRAND_SECRETS_KEY: newKey() }).reseal(), 0)
  await assert.rejects(open({ ERRAND_SECRETS_KEY: 'c2hvcnQ=' }).reseal(), /is not a valid key for secrets/)
  await assert.rejects(open({ ERRAND_SECRETS_KEY_FILE: join(dir, 'none') }).reseal(), /is missing/)
})

test('with a new key in first place, seals everything again, and no longer needs the old key', async (t) => {
  const { dir, open } = await here(t)
  const [old, fresh] = [newKey(), newKey()]
  await open({ ERRAND_SECRETS_KEY: old }).set(place(), VALUE, 'ann')
  const file = join(dir, 'keys')
  writeFileSync(file, `${fresh}\n${old}\n`)
  const secrets = open({ ERRAND_SECRETS_KEY_FILE: file })
  assert.deepEqual(await secrets.reveal(spec()), { TOKEN: VALUE })
  assert.equal(await secrets.reseal(), 1)
  assert.equal(await secrets.reseal(), 0)
  assert.deepEqual(await open({ ERRAND_SECRETS_KEY: fresh }).reveal(spec()), { TOKEN: VALUE })
  await assert.rejects(open({ ERRAND_SECRETS_KEY: old }).reveal(spec()), { code: 'store_failed' })
})

test('a value sealed for one place opens nowhere else, and changed bytes open nowhere', async (t) => {
  const { stores, open } = await here(t)
  const secrets = open()
  const stored = await secrets.set(place(), VALUE, 'x')
  await stores.secrets.put({ ...stored, tenant: 'other' })
  await assert.rejects(secrets.reveal(spec({ tenant: 'other' })), { message: /"TOKEN" is damaged/ })
  const sealed = Uint8Array.from(stored.sealed)
  sealed[sealed.length - 1]! ^= 1
  await stores.secrets.put({ ...stored, sealed })
  await assert.rejects(secrets.reveal(spec()), { message: /damaged/ })
  await stores.secrets.put({ ...stored, sealed: new Uint8Array(3) })
  await assert.rejects(secrets.reveal(spec()), { message: /damaged/ })
})

test("the hub's own secret stays the same, is sealed again with a new key, and is not shown to users", async (t) => {
  const { dir, open, stores } = await here(t)
  const reported: string[] = []
  const report = ({ message }: Error) => void reported.push(message)
  const first = newKey()
  const made = await open({ ERRAND_SECRETS_KEY: first }).ofHub('sessions', report)
  assert.equal(made.length, 43)
  assert.notEqual(await open({ ERRAND_SECRETS_KEY: first }).ofHub('made_runners', report), made)
  const second = newKey()
  const both = open({ ERRAND_SECRETS_KEY: `${second} ${first}` })
  assert.equal(await both.ofHub('sessions', report), made)
  assert.equal(await both.reseal(), 2)
  const alone = open({ ERRAND_SECRETS_KEY: second })
  assert.equal(await alone.ofHub('sessions', report), made)
  assert.deepEqual(await alone.list({ tenant: 'default' }), [])
  assert.deepEqual(await stores.secrets.named('', 'sessions'), [])
  assert.deepEqual(reported, [])
  assert.ok(!readdirSync(dir).includes('secrets.key'), 'a key was given')
})

test("if its key is lost, the hub's own secret is replaced, unless users' secrets still need that key", async (t) => {
  const { dir, open } = await here(t)
  const reported: string[] = []
  const report = ({ message }: Error) => void reported.push(message)
  const key = join(dir, 'secrets.key')
  const first = await open().ofHub('sessions', report)
  rmSync(key)
  const second = await open().ofHub('sessions', report)
  assert.notEqual(second, first)
  assert.equal(await open().ofHub('sessions', report), second)
  assert.equal(await open().reseal(), 0)
  assert.deepEqual(reported, [])

  await open().set(place(), VALUE, 'ann')
  const keyBytes = readFileSync(key)
  const others = [undefined, newKey()]
  for (const other of others) {
    if (other === undefined) rmSync(key)
    else writeFileSync(key, other)
    const mean = await Promise.all([1, 2].map(() => open().ofHub('sessions', report)))
    assert.equal(new Set([second, ...mean]).size, 3)
  }
  assert.match(reported[0]!, /key of the secrets is missing/)
  assert.match(reported[2]!, /was sealed with the key/)
  writeFileSync(key, keyBytes)
  assert.equal(await open().ofHub('sessions', report), second)
  assert.equal(reported.length, 4)
})

test('a step that would send GIT_TOKEN to a server that is not allowed gets nothing, and a hint how to allow it', async (t) => {
  const { open } = await here(t)
  const secrets = open()
  const [github, other] = ['https://github.com/o/r', 'https://git.example.org:8443/o/r']
  const git = (repo: string, over: Partial<AttemptSpec> = {}) =>
    spec({ action: 'git.push', args: { repo }, secrets: secretUses(['GIT_TOKEN']), ...over })
  const token = place({ name: 'GIT_TOKEN' })
  const refused = async (spec: AttemptSpec, host: string) =>
    assert.rejects(secrets.reveal(spec), {
      code: 'forbidden',
      message: new RegExp(`GIT_TOKEN may not be sent to ${host}`),
      hint: `Allow it with: errand secrets set GIT_TOKEN --host ${host}`,
    })
  const by = { tenant: 'default', owner: 'ann' }
  const names = ['GIT_TOKEN', 'GITHUB_TOKEN']

  await secrets.set(token, VALUE, 'ann')
  for (const [repo, host] of [
    [github, 'github.com'],
    [other, 'git.example.org:8443'],
  ] as const) {
    await refused(git(repo), host)
    assert.equal(await secrets.valueSeen(by, names, repo), undefined)
    assert.equal(await secrets.firstSeen(by, names, repo), undefined)
    assert.match((await secrets.refusal(by, names, repo))!.hint!, new RegExp(`--host ${host}$`))
  }
  // A command gets it in its environment. Where the command sends it is the command's business.
  assert.deepEqual(await secrets.reveal(git(github, { action: 'cmd.run', args: { cmd: 'true' } })), {
    GIT_TOKEN: VALUE,
  })

  assert.deepEqual((await secrets.setHosts(token, ['git.example.org:8443'], 'bob'))?.updated_by, 'bob')
  await refused(git(github), 'github.com')
  assert.deepEqual(await secrets.reveal(git(other)), { GIT_TOKEN: VALUE })
  assert.equal(await secrets.valueSeen(by, names, other), VALUE)
  assert.equal(await secrets.refusal(by, names, other), undefined)
  const api = (api_url: string) =>
    git(other, { action: 'forge.pull_request', args: { repo: other, forge: { kind: 'gitea', api_url } } })
  await refused(api('https://evil.org/api/v1'), 'evil.org')
  assert.deepEqual(await secrets.reveal(api('https://git.example.org:8443/api/v1')), { GIT_TOKEN: VALUE })
  // With another variable it is the same secret, and a new value goes where the old one went.
  const renamed = git(github, { secrets: secretUses({ MINE: 'GIT_TOKEN' }) })
  await refused({ ...renamed, args: { repo: github, token_env: 'MINE' } }, 'github.com')
  await secrets.set(token, 'another value', 'ann')
  assert.deepEqual(await secrets.reveal(git(other)), { GIT_TOKEN: 'another value' })

  // A secret with another name goes where the workflow says, until hosts are set.
  const own = place({ name: 'MY_TOKEN' })
  const named = git(github, {
    args: { repo: github, token_env: 'MY_TOKEN' },
    secrets: secretUses(['MY_TOKEN']),
  })
  await secrets.set(own, VALUE, 'ann')
  assert.deepEqual(await secrets.reveal(named), { MY_TOKEN: VALUE })
  await secrets.setHosts(own, ['git.example.org'], 'ann')
  await assert.rejects(secrets.reveal(named), { code: 'forbidden' })
  assert.equal(await secrets.setHosts(place({ name: 'NONE' }), [], 'ann'), undefined)
  // The narrowest one counts, including the hosts it may go to.
  await secrets.set(place({ scope: 'repository', scope_name: 'o/r', name: 'GIT_TOKEN' }), VALUE, 'ann', [
    'github.com',
  ])
  assert.equal(await secrets.valueSeen({ ...by, repository: 'o/r' }, names, other), undefined)
  assert.equal(await secrets.valueSeen({ ...by, repository: 'o/r' }, names, github), VALUE)
})
