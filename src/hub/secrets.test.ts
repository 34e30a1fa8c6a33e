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

test('a secret is kept so that no file of the hub holds it, and is given to an attempt', async (t) => {
  const { dir, open } = await here(t)
  const secrets = open()
  const kept = await secrets.set(place(), VALUE, 'ann')
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
  assert.ok(!JSON.stringify(kept).includes(VALUE))
})

test('of what is deleted the database keeps no sealed value either', async (t) => {
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

test('setting it again changes the value, and keeps who made it', async (t) => {
  const { open } = await here(t)
  const secrets = open()
  const before = await secrets.set(place(), 'one', 'ann')
  const after = await secrets.set(place(), 'two', 'bob')
  assert.deepEqual([after.created_by, after.created_at, after.updated_by], ['ann', before.created_at, 'bob'])
  assert.deepEqual(await secrets.reveal(spec()), { TOKEN: 'two' })
  assert.equal(await secrets.remove(place()), true)
  assert.equal(await secrets.remove(place()), false)
})

test("the workflow's secret goes before the repository's, and that before the tenant's", async (t) => {
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

test("a user's secret is given to that user's runs alone, and goes before the one of all there", async (t) => {
  const { open } = await here(t)
  const secrets = open()
  const told: unknown[] = []
  const seen = (over: Partial<AttemptSpec>) =>
    secrets.reveal(spec(over), ({ TOKEN }) => told.push(TOKEN)).then(({ TOKEN }) => TOKEN)
  const deploy = { scope: 'workflow', scope_name: 'deploy' } as const
  await secrets.set(place(), 'for all runs', 'boss')
  await secrets.set(place({ ...deploy, owner: 'eve' }), 'put there by eve', 'eve')
  for (const owner of ['boss', 'ann', undefined]) assert.equal(await seen({ owner }), 'for all runs')
  assert.equal(await seen({ owner: 'eve' }), 'put there by eve')
  assert.equal(await seen({ owner: 'eve', tenant: 'default', workflow_name: 'other' }), 'for all runs')
  await secrets.set(place(deploy), 'for runs of it', 'boss')
  assert.equal(await seen({ owner: 'ann' }), 'for runs of it')
  assert.equal(await seen({ owner: 'eve' }), 'put there by eve')
  assert.deepEqual(told.slice(-2), [
    { name: 'TOKEN', scope: 'workflow', workflow: 'deploy', updated_by: 'boss' },
    { name: 'TOKEN', scope: 'workflow', workflow: 'deploy', owner: 'eve', updated_by: 'eve' },
  ])
  assert.deepEqual(told[0], { name: 'TOKEN', scope: 'tenant', updated_by: 'boss' })
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

test('a run whose workflow names what is not there is refused, with all the names', async (t) => {
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
    message: /no secrets "TOKEN", "B", "C"/,
    hint: /errand secrets set TOKEN/,
  })
})

test('a lost key is told, and no new one is made in its place', async (t) => {
  const { dir, open } = await here(t)
  const secrets = open()
  await secrets.set(place(), VALUE, 'x')
  const file = join(dir, 'secrets.key')
  const key = readFileSync(file)
  rmSync(file)
  const missing = {
    code: 'store_failed',
    message: /key of the secrets is missing.*secrets\.key/,
    hint: /back/,
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

test('a wrong key and a key that is none are told without the key', async (t) => {
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

test('a given key that is none is told before there are secrets', async (t) => {
  const { dir, open } = await here(t)
  assert.equal(await open().reseal(), 0)
  assert.equal(await open({ ERRAND_SECRETS_KEY: newKey() }).reseal(), 0)
  await assert.rejects(open({ ERRAND_SECRETS_KEY: 'c2hvcnQ=' }).reseal(), /is not a valid key for secrets/)
  await assert.rejects(open({ ERRAND_SECRETS_KEY_FILE: join(dir, 'none') }).reseal(), /is missing/)
})

test('with a new key put first all is sealed anew, and the old one is needed no more', async (t) => {
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

test('what was sealed for one place opens at no other, and changed bytes at none', async (t) => {
  const { stores, open } = await here(t)
  const secrets = open()
  const kept = await secrets.set(place(), VALUE, 'x')
  await stores.secrets.put({ ...kept, tenant: 'other' })
  await assert.rejects(secrets.reveal(spec({ tenant: 'other' })), { message: /"TOKEN" is damaged/ })
  const sealed = Uint8Array.from(kept.sealed)
  sealed[sealed.length - 1]! ^= 1
  await stores.secrets.put({ ...kept, sealed })
  await assert.rejects(secrets.reveal(spec()), { message: /damaged/ })
  await stores.secrets.put({ ...kept, sealed: new Uint8Array(3) })
  await assert.rejects(secrets.reveal(spec()), { message: /damaged/ })
})

test("the hub's own secret stays the same, is sealed anew with another key, and is no secret of people", async (t) => {
  const { dir, open, stores } = await here(t)
  const told: string[] = []
  const tell = ({ message }: Error) => void told.push(message)
  const first = newKey()
  const made = await open({ ERRAND_SECRETS_KEY: first }).ofHub('sessions', tell)
  assert.equal(made.length, 43)
  assert.notEqual(await open({ ERRAND_SECRETS_KEY: first }).ofHub('made_runners', tell), made)
  const second = newKey()
  const both = open({ ERRAND_SECRETS_KEY: `${second} ${first}` })
  assert.equal(await both.ofHub('sessions', tell), made)
  assert.equal(await both.reseal(), 2)
  const alone = open({ ERRAND_SECRETS_KEY: second })
  assert.equal(await alone.ofHub('sessions', tell), made)
  assert.deepEqual(await alone.list({ tenant: 'default' }), [])
  assert.deepEqual(await stores.secrets.named('', 'sessions'), [])
  assert.deepEqual(told, [])
  assert.ok(!readdirSync(dir).includes('secrets.key'), 'a key was given')
})

test("with its key lost the hub's own secret is replaced, or stays for that key where secrets of people need it", async (t) => {
  const { dir, open } = await here(t)
  const told: string[] = []
  const tell = ({ message }: Error) => void told.push(message)
  const key = join(dir, 'secrets.key')
  const first = await open().ofHub('sessions', tell)
  rmSync(key)
  const second = await open().ofHub('sessions', tell)
  assert.notEqual(second, first)
  assert.equal(await open().ofHub('sessions', tell), second)
  assert.equal(await open().reseal(), 0)
  assert.deepEqual(told, [])

  await open().set(place(), VALUE, 'ann')
  const kept = readFileSync(key)
  const others = [undefined, newKey()]
  for (const other of others) {
    if (other === undefined) rmSync(key)
    else writeFileSync(key, other)
    const mean = await Promise.all([1, 2].map(() => open().ofHub('sessions', tell)))
    assert.equal(new Set([second, ...mean]).size, 3)
  }
  assert.match(told[0]!, /key of the secrets is missing/)
  assert.match(told[2]!, /was sealed with the key/)
  writeFileSync(key, kept)
  assert.equal(await open().ofHub('sessions', tell), second)
  assert.equal(told.length, 4)
})

test('a step that would send GIT_TOKEN to a server that it was not set for gets nothing, and is told how to allow it', async (t) => {
  const { open } = await here(t)
  const secrets = open()
  const [github, other] = ['https://github.com/o/r', 'https://git.example.org:8443/o/r']
  const git = (repo: string, over: Partial<AttemptSpec> = {}) =>
    spec({ action: 'git.push', args: { repo }, secrets: secretUses(['GIT_TOKEN']), ...over })
  const token = place({ name: 'GIT_TOKEN' })
  const refused = async (asked: AttemptSpec, host: string) =>
    assert.rejects(secrets.reveal(asked), {
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
