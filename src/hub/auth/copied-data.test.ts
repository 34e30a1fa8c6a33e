import assert from 'node:assert/strict'
import { createHmac, hash } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test, { type TestContext } from 'node:test'
import { SignJWT } from 'jose'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { backUp } from '../ops/backup.ts'
import { restore } from '../ops/restore.ts'
import { enrolTokenOf } from '../provisioners/names.ts'
import { ProvisionedTokens } from '../provisioners/provisioned-tokens.ts'
import { ensureAdmin } from './tokens.ts'

type TestHub = Awaited<ReturnType<typeof testingHub>>
type Used = Awaited<ReturnType<typeof usedHub>>

const DATABASE = 'errand.db'
const folder = (t: TestContext): string => {
  const made = mkdtempSync(join(tmpdir(), 'errand-copy-'))
  t.after(() => rmSync(made, { recursive: true, force: true }))
  return made
}

/**
 * Opens a hub that has each kind of credential. `credentials` lists everything that grants access or is secret, by
 * kind.
 */
async function usedHub(t: TestContext) {
  const data = folder(t)
  const hub = await testingHub(t, { data, database: join(data, DATABASE) })
  const { accounts, call, auth } = hub
  const admin = (await ensureAdmin(accounts))!
  const login = await call('POST', '/api/auth/login', undefined, admin)
  const session: string = login.json.token
  const cookie = await call('POST', '/api/auth/login', undefined, { ...admin, cookie: true })
  const made = async (path: string, body: object) => (await call('POST', path, session, body)).json
  const allow = ['tokens', 'users', 'secrets']
  const api = await made('/api/tokens', { name: 'ci', allow })
  const runner = await made('/api/tokens', { name: 'machine', scope: 'runner' })
  const metrics = await made('/api/tokens', { name: 'figures', scope: 'metrics' })
  const enrolment = await made('/api/runners/enrollments', {})
  const used = await made('/api/runners/enrollments', {})
  const enrolled = (
    await call('POST', '/api/runners/enroll', undefined, { token: used.token, runner_id: 'r1' })
  ).json
  const channel = await made('/api/me/channels', { kind: 'webhook', url: 'https://hooks.example/T000/B000' })
  await call('PUT', '/api/secrets/DEPLOY_KEY', session, { value: 'the value of the secret' })
  const yaml = oneStep('say hi').replace('steps:', 'env: {API_TOKEN: a-credential-in-env}\nsteps:')
  const run = (await call('POST', '/api/runs', session, { yaml })).json
  await hub.engine.done(run.run_id)
  const derivation = await hub.secrets.ofHub('made_runners', (error) => assert.fail(error))
  const row = { name: 'errand-1a2b3c4d-0f1e', tenant: 'default', group: 'default' }
  const due_at = new Date(Date.now() + 3_600_000).toISOString()
  const provisioned = await new ProvisionedTokens({ accounts, auth, secret: derivation }).make({
    ...row,
    due_at,
  } as Parameters<ProvisionedTokens['make']>[0])
  const [, jti] = /"jti":"([^"]+)"/.exec(Buffer.from(session.split('.')[1]!, 'base64url').toString())!
  const credentials = {
    ...{ session, jti: jti!, password: admin.password, csrf: cookie.json.csrf },
    cookie: /errand_session=([^;]+)/.exec(cookie.headers.get('set-cookie')!)![1]!,
    ...{ api: api.token, runner: runner.token, metrics: metrics.token },
    ...{ enrolment: enrolment.token, used: used.token, enrolled: enrolled.token, provisioned, derivation },
    ...{ webhook: channel.secret, address: '/T000/B000', secret: 'the value of the secret' },
    env: 'a-credential-in-env',
  }
  for (const [what, text] of Object.entries(credentials))
    assert.ok(typeof text === 'string' && text.length > 7, `${what} is missing`)
  return { hub, data, credentials, provisionedName: row.name }
}

/** Returns the content of all files in a folder. */
const bytesOf = (dir: string): Buffer =>
  Buffer.concat(
    readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name))),
  )

/** Length of 256 bits in base64url: that of each token's random part and of each secret that the hub generates. */
const KEY_LENGTH = 43

/**
 * Returns every text in the bytes that could be a token, key or id: whole from where a token could begin, and each
 * part with the length of a key.
 */
function textsIn(bytes: Buffer): string[] {
  const found = new Set<string>()
  for (const [text] of bytes.toString('latin1').matchAll(/[\w.+/=-]{12,}/g)) {
    found.add(text)
    for (const { index } of text.matchAll(/errand_|eyJ|session_/g)) found.add(text.slice(index))
    for (let at = 0; at + KEY_LENGTH <= text.length; at++) found.add(text.slice(at, at + KEY_LENGTH))
  }
  return [...found]
}

/** Returns the texts that open the hub, sign its sessions, or give the tokens of provisioned runners. */
async function opening(hub: TestHub, texts: readonly string[], { credentials, provisionedName }: Used) {
  const [head, payload, signature] = credentials.session.split('.')
  const signs = (key: string | Buffer) =>
    createHmac('sha256', key).update(`${head}.${payload}`).digest('base64url') === signature
  const found: string[] = []
  for (const text of texts) {
    if (signs(text) || signs(Buffer.from(text, 'base64url'))) found.push(`signs sessions: ${text}`)
    if (enrolTokenOf(text, provisionedName) === credentials.provisioned)
      found.push(`makes enrolments: ${text}`)
    if (text.length === KEY_LENGTH) continue
    const opens = await hub.auth.identify(text).then(
      () => true,
      () => false,
    )
    if (opens) found.push(`is a token: ${text}`)
  }
  return found
}

test('no secret appears in a copy of the database or in a backup, in any encoding checked', async (t) => {
  const { hub, data, credentials } = await usedHub(t)
  const backup = join(folder(t), 'backup')
  await backUp({ data, to: backup, withKey: false, version: '0.0.0-test' })
  const copy = folder(t)
  for (const name of readdirSync(data))
    if (name.startsWith(DATABASE)) cpSync(join(data, name), join(copy, name))
  const key = readFileSync(join(data, 'secrets.key'), 'utf8').trim()
  for (const [where, bytes] of [
    ['database', bytesOf(copy)],
    ['backup', bytesOf(backup)],
  ] as const)
    for (const [what, text] of Object.entries({ ...credentials, key }))
      for (const form of ['utf8', 'base64', 'base64url', 'hex'] as const) {
        const needle = Buffer.from(text).toString(form).replace(/=+$/, '')
        assert.ok(!bytes.includes(needle), `${what} is in the ${where} (${form})`)
      }
  await hub.close()
})

test('no value from a copied database gives access to a hub with that data, with or without the key', async (t) => {
  const used = await usedHub(t)
  const { hub, data, credentials } = used
  const backup = join(folder(t), 'backup')
  await backUp({ data, to: backup, withKey: false, version: '0.0.0-test' })
  const texts = textsIn(bytesOf(backup))
  assert.ok(texts.length > 1000)
  assert.deepEqual(await opening(hub, texts, used), [])

  const data2 = folder(t)
  await restore({ from: backup, data: data2, lockFile: 'lock' })
  const restored = await testingHub(t, { data: data2, database: join(data2, DATABASE) })
  assert.deepEqual(await opening(restored, texts, used), [])
  // People use their passwords and programs their tokens. The earlier log-ins have ended.
  const me = async (token: string) => (await restored.call('GET', '/api/auth/me', token)).status
  assert.deepEqual([await me(credentials.api), await me(credentials.session)], [200, 401])
  const again = { username: 'admin', password: credentials.password }
  const login = await restored.call('POST', '/api/auth/login', undefined, again)
  assert.deepEqual([login.status, await me(login.json.token)], [200, 200])
  assert.ok(
    restored.log.some((line) => /Earlier log-ins have ended.*key of the secrets is missing/.test(line)),
    restored.log.join('\n'),
  )
  await restored.close()

  // With the key put back, everything works as before.
  cpSync(join(data, 'secrets.key'), join(data2, 'secrets.key'))
  const whole = await testingHub(t, { data: data2, database: join(data2, DATABASE) })
  assert.equal((await whole.call('GET', '/api/auth/me', credentials.session)).status, 200)
  assert.deepEqual(await opening(whole, texts, used), [])
})

test('session ids from a copied database give no access, even to someone who can sign them', async (t) => {
  const { hub, data } = await usedHub(t)
  const key = new TextEncoder().encode(await hub.secrets.ofHub('sessions', (error) => assert.fail(error)))
  const db = new DatabaseSync(join(data, DATABASE), { readOnly: true })
  const users = db.prepare("SELECT * FROM users WHERE name = 'admin'").all()
  const sessions = db.prepare('SELECT id FROM sessions').all()
  db.close()
  assert.equal(sessions.length, 2)
  const gen = hash('sha256', String(users[0]!.password_hash), 'base64url').slice(0, 16)
  for (const { id } of sessions) {
    const forged = await new SignJWT({ gen })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('errand')
      .setSubject(String(users[0]!.id))
      .setJti(String(id))
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(key)
    assert.equal((await hub.call('GET', '/api/auth/me', forged)).json.error.code, 'unauthorized')
  }
})
