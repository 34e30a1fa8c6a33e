import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test from 'node:test'
import * as z from 'zod'
import { testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import { kindOf, requestOf, resourcesOf } from '../../../../test/support/hub/route-requests.ts'
import { Permission } from '../../../contract/account-api.ts'
import type { Route } from '../../../contract/routes/route.ts'
import { type RouteName, routes } from '../../../contract/routes/table.ts'

/**
 * Selects everything that grants access or outlives the person who set it, but nothing that only revokes or records.
 */
const lasting = [
  'SELECT * FROM users',
  'SELECT id, name, user_id, tenant, scope, token_sha256, expires_at, runner_group, runner_id, allow, made_by, as_login FROM tokens',
  'SELECT * FROM sessions',
  // Secrets of one run are deleted with it.
  "SELECT * FROM secrets WHERE scope <> 'run'",
  'SELECT id, user_id, kind, name, target FROM channels',
]

const changing = Object.entries<Route>(routes).filter(
  ([name, { who }]) => !name.startsWith('GET ') && who !== 'anyone' && who !== 'runner',
)

test('no route creates a token, user or secret for a token without that permission', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'errand-permissions-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const hub = await testingHub(t, { data, database: join(data, 'errand.db') })
  const { ids, boss } = await resourcesOf(t, hub)
  const db = new DatabaseSync(join(data, 'errand.db'), { readOnly: true })
  t.after(() => db.close())
  const rows = () =>
    lasting.flatMap((sql) =>
      db
        .prepare(sql)
        .all()
        .map((row) => JSON.stringify(row, bytes)),
    )
  const tokenWith = (allow: readonly Permission[]) => hub.tokenOf(boss.id, 'api', { allow })
  const none = await tokenWith([])
  const others = new Map<Permission, string>()
  for (const one of Permission.options)
    others.set(one, await tokenWith(Permission.options.filter((other) => other !== one)))
  const seen: Permission[] = []
  for (const [key, { makes }] of changing) {
    const name = key as RouteName
    const kind = kindOf(name)
    const { methods, url, body, headers } = requestOf(name, kind === undefined ? 'NEW' : ids[kind])
    for (const token of makes === undefined ? [none] : [none, others.get(makes)!]) {
      const before = new Set(rows())
      const { status, json, text } = await hub.call(methods[0]!, url, token, body, headers)
      const made = rows().filter((row) => !before.has(row))
      assert.deepEqual(
        made,
        [],
        `${name} creates this (${text}): its row in the table of routes needs "makes"`,
      )
      if (makes === undefined) continue
      assert.deepEqual(
        [status, json.error.code, json.error.details],
        [403, 'forbidden', { permission: makes }],
      )
      assert.match(json.error.message, new RegExp(`does not have the permission "${makes}"`))
      assert.match(json.error.hint, new RegExp(`errand login.*errand tokens create NAME --allow ${makes}`))
    }
    if (makes === undefined) continue
    seen.push(makes)
    const own = await hub.call(methods[0]!, url, await tokenWith([makes]), body, headers)
    assert.ok(own.status < 300, `${name}: ${own.text}`)
  }
  assert.deepEqual([...new Set(seen)].sort(), [...Permission.options].sort())
})

/** Converts buffers to a form that can be compared. */
const bytes = (_key: string, value: unknown): unknown =>
  value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value

/**
 * Routes that change something, or handle what looks like a credential or right, but need no permission; each with
 * the reason.
 */
const withoutPermission: Partial<Record<RouteName, string>> = {
  'POST /api/auth/login': 'takes the password',
  'POST /api/auth/password': 'takes the password',
  'POST /api/runners/enroll': 'takes the enrolment token, with whose maker the answer ends',
  'POST /api/bots': 'the secrets are of that one run',
  'POST /api/bots/:id/update': 'the secrets are of that one run',
  'POST /api/runs': 'names secrets, and has none',
  'POST /api/validate': 'names secrets, and has none',
  'POST /api/chat': 'the role is that of a message',
  'PUT /api/runs/:id/shares': 'a share is of one run, goes with it, and its owner takes it back',
  'DELETE /api/runs/:id/shares': 'takes a right away',
}

/** Collects the names of all properties in a schema, at any depth. */
function propertiesOf(schema: unknown, found = new Set<string>()): Set<string> {
  if (typeof schema !== 'object' || schema === null) return found
  const { properties } = schema as { properties?: object }
  for (const name of Object.keys(properties ?? {})) found.add(name)
  for (const part of Object.values(schema)) propertiesOf(part, found)
  return found
}

test('a route that takes or returns a credential or a right needs a permission, or says why not', () => {
  const CREDENTIAL = /(^|_)(token|secret|password|passphrase|private_key|api_key|credential|role)$/
  const open: string[] = []
  for (const [name, { makes, body, answers }] of Object.entries<Route>(routes)) {
    if (name.startsWith('GET ') || makes !== undefined) continue
    const schemas = [body, ...Object.values(answers)].filter((one) => one instanceof z.ZodType)
    const names = schemas.flatMap((one) => [
      ...propertiesOf(z.toJSONSchema(one, { io: 'input', unrepresentable: 'any' })),
    ])
    if (names.some((each) => CREDENTIAL.test(each))) open.push(name)
  }
  assert.deepEqual(open.sort(), Object.keys(withoutPermission).sort())
})

test('what a token creates expires no later than the token, and ends with it, through any number of steps', async (t) => {
  const hub = await testingHub(t)
  const boss = await hub.user('boss', 'admin')
  const soon = new Date(Date.now() + 3_600_000).toISOString()
  const short = await hub.tokenOf(boss.id, 'api', { allow: ['tokens'], expires_at: soon })
  const make = async (token: string, body: object) => await hub.call('POST', '/api/tokens', token, body)
  const first = (await make(short, { name: 'first', allow: ['tokens'], expires_in_seconds: null })).json
  const second = (await make(first.token, { name: 'second', expires_in_seconds: 31_536_000 })).json
  const sooner = (await make(first.token, { name: 'sooner', expires_in_seconds: 60 })).json
  const runner = (await make(first.token, { name: 'machine', scope: 'runner' })).json
  assert.deepEqual([first.expires_at, second.expires_at, runner.expires_at], [soon, soon, soon])
  assert.ok(sooner.expires_at < soon)
  const [short_id] = (await hub.accounts.tokens()).filter(
    ({ expires_at, made_by }) => expires_at === soon && !made_by,
  )
  assert.deepEqual([first.made_by, second.made_by, runner.made_by], [short_id!.id, first.id, first.id])
  const week = { expires_in_seconds: 604_800 }
  const enrolment = (await hub.call('POST', '/api/runners/enrollments', first.token, week)).json
  assert.equal(enrolment.expires_at, soon)
  const enrolled = (
    await hub.call('POST', '/api/runners/enroll', undefined, { token: enrolment.token, runner_id: 'r1' })
  ).json
  const [machine] = (await hub.accounts.tokens()).filter(
    ({ runner_id, scope }) => runner_id === 'r1' && scope === 'runner',
  )
  assert.deepEqual([machine?.expires_at, machine?.made_by], [soon, first.id])
  const isRunner = async (token: string) => 'tenant' in (await hub.auth.authenticateRunner(token))
  const status = async (token: string) => (await hub.call('GET', '/api/auth/me', token)).status
  assert.deepEqual(
    [await status(second.token), await isRunner(runner.token), await isRunner(enrolled.token)],
    [200, true, true],
  )

  await hub.call('DELETE', `/api/tokens/${short_id!.id}`, boss.token)
  for (const token of [short, first.token, second.token, sooner.token]) assert.equal(await status(token), 401)
  assert.deepEqual([await isRunner(runner.token), await isRunner(enrolled.token)], [false, false])
  assert.equal((await make(first.token, { name: 'late' })).json.error.code, 'token_revoked')
  // A log-in is not bound by these limits.
  const free = (await make(boss.token, { name: 'free', expires_in_seconds: null })).json
  assert.deepEqual([free.expires_at, free.made_by], [undefined, undefined])
})

test('a token cannot grant a permission that it does not have, nor create or change an admin', async (t) => {
  const hub = await testingHub(t)
  const [boss, chief, ann] = [
    await hub.user('boss', 'admin'),
    await hub.user('chief', 'admin'),
    await hub.user('ann'),
  ]
  const ci = await hub.tokenOf(boss.id, 'api', { allow: ['tokens', 'users'] })
  const refused = async (method: string, path: string, body: object | undefined, message: RegExp) => {
    const { status, json } = await hub.call(method, path, ci, body)
    assert.deepEqual([status, json.error.code], [403, 'forbidden'], `${method} ${path}`)
    assert.match(json.error.message, message)
    assert.match(json.error.hint, /errand login/)
  }
  await refused(
    'POST',
    '/api/tokens',
    { name: 'more', allow: ['users', 'secrets'] },
    /does not have: secrets/,
  )
  const alone = /requires a log-in, but/
  await refused('POST', '/api/users', { name: 'evil', password: 'long enough', role: 'admin' }, alone)
  await refused('PATCH', `/api/users/${ann.id}`, { role: 'admin' }, alone)
  for (const change of [
    { password: 'long enough' },
    { role: 'user' },
    { disabled: true },
    { disabled: false },
  ])
    await refused('PATCH', `/api/users/${chief.id}`, change, alone)
  await refused('POST', `/api/users/${chief.id}/logout`, {}, alone)
  await refused('DELETE', `/api/users/${chief.id}`, undefined, alone)
  const same = (await hub.call('POST', '/api/tokens', ci, { name: 'same', allow: ['users', 'users'] })).json
  assert.deepEqual(same.allow, ['users'])
  assert.equal((await hub.call('PATCH', `/api/users/${ann.id}`, same.token, { disabled: true })).status, 200)
  const odd = await hub.call('POST', '/api/tokens', boss.token, {
    name: 'x',
    scope: 'metrics',
    allow: ['users'],
  })
  assert.deepEqual([odd.status, odd.json.error.code], [400, 'bad_request'])
  assert.equal(
    (
      await hub.call('POST', '/api/users', boss.token, {
        name: 'ops',
        password: 'long enough',
        role: 'admin',
      })
    ).status,
    201,
  )
})
