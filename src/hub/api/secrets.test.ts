import assert from 'node:assert/strict'
import test from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { SecretList, type SecretView, StoredSecret } from '../../contract/secrets.ts'

const VALUE = 'correct horse battery'
const flow = (secrets: string) =>
  `version: v0.1\nname: demo\nsteps:\n  - {name: one, action: cmd.run, secrets: ${secrets}, args: {cmd: say x}}\n`

test('a secret can be set, listed without its value, changed and deleted', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('boss', 'admin')
  const set = (value: string) => hub.call('PUT', '/api/secrets/TOKEN', token, { value })
  const made = await set(VALUE)
  assert.equal(made.status, 201)
  assert.deepEqual(StoredSecret.parse(made.json).warnings, [])
  const again = await set('abc')
  assert.equal(again.status, 200)
  assert.match(again.json.warnings[0], /fewer than 6 bytes/)
  const list = await hub.call('GET', '/api/secrets', token)
  assert.deepEqual(
    SecretList.parse(list.json).secrets.map(({ name, scope, created_by }) => [name, scope, created_by]),
    [['TOKEN', 'tenant', 'boss']],
  )
  for (const { text } of [made, again, list]) assert.ok(!text.includes('horse') && !text.includes('abc'))
  assert.equal((await hub.call('DELETE', '/api/secrets/TOKEN', token)).status, 204)
  const gone = await hub.call('DELETE', '/api/secrets/TOKEN', token)
  assert.deepEqual([gone.status, gone.json.error.code], [404, 'secret_not_found'])
})

test('lists secrets of a repository and of a workflow next to those of the tenant, and filters them', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('boss', 'admin')
  for (const address of [{}, { repository: 'shop' }, { workflow: 'deploy' }, { workflow: 'test' }])
    await hub.call('PUT', '/api/secrets/TOKEN', token, { value: VALUE, ...address })
  await hub.call('PUT', '/api/secrets/OTHER', token, { value: VALUE })
  const count = async (query: string) =>
    (await hub.call('GET', `/api/secrets?${query}`, token)).json.secrets.length
  assert.deepEqual(
    await Promise.all(
      ['', 'name=TOKEN', 'scope=workflow', 'workflow=test', 'repository=shop', 'repository=x'].map(count),
    ),
    [5, 4, 2, 1, 1, 0],
  )
  assert.equal((await hub.call('DELETE', '/api/secrets/TOKEN?workflow=test', token)).status, 204)
  assert.equal((await hub.call('DELETE', '/api/secrets/TOKEN?workflow=test', token)).status, 404)
  assert.equal(await count('name=TOKEN'), 3)
  const both = await hub.call('DELETE', '/api/secrets/TOKEN?workflow=a&repository=b', token)
  assert.match(both.json.error.message, /not for both/)
})

test("a user's secret is only for that user, an admin's secret is for all, and neither changes the other", async (t) => {
  const hub = await testingHub(t)
  const [ann, bob, boss, far] = [
    await hub.user('ann'),
    await hub.user('bob'),
    await hub.user('boss', 'admin'),
    await hub.user('far', 'admin', 'elsewhere'),
  ]
  const put = async (token: string, address: object) =>
    (await hub.call('PUT', '/api/secrets/A', token, { value: VALUE, ...address })).status
  assert.equal(await put(ann.token, {}), 403)
  for (const { token } of [ann, bob, boss]) {
    assert.equal(await put(token, { workflow: 'x' }), 201)
    assert.equal(await put(token, { workflow: 'x' }), 200)
  }
  assert.equal(await put(boss.token, { workflow: 'x', owner: 'ann' }), 400)
  const owners = async (token: string, query = '') =>
    (await hub.call('GET', `/api/secrets${query}`, token)).json.secrets.map(
      ({ owner, created_by }: SecretView) => `${owner} ${created_by}`,
    )
  assert.deepEqual(await owners(boss.token), ['undefined boss', 'ann ann', 'bob bob'])
  assert.deepEqual(await owners(boss.token, '?owner=bob'), ['bob bob'])
  assert.deepEqual(await owners(ann.token), ['undefined boss', 'ann ann'])
  assert.deepEqual(await owners(far.token), [])

  const remove = async (token: string, query = '') =>
    (await hub.call('DELETE', `/api/secrets/A?workflow=x${query}`, token)).status
  assert.equal(await remove(far.token), 404)
  assert.equal(await remove(bob.token, '&owner=ann'), 403)
  assert.equal(await remove(far.token, '&owner=ann'), 404)
  assert.deepEqual([await remove(bob.token), await remove(bob.token)], [204, 404])
  assert.equal(await remove(boss.token, '&owner=ann'), 204)
  assert.deepEqual(await owners(boss.token), ['undefined boss'])
})

test("a user's secrets are deleted with the user; a secret set as an admin replaces the admin's own earlier one", async (t) => {
  const hub = await testingHub(t)
  const [ann, boss] = [await hub.user('ann'), await hub.user('boss', 'admin')]
  const put = (token: string) =>
    hub.call('PUT', '/api/secrets/A', token, { value: VALUE, repository: 'shop' })
  const owners = async () =>
    (await hub.call('GET', '/api/secrets', boss.token)).json.secrets.map(({ owner }: SecretView) => owner)
  await put(ann.token)
  await hub.call('PATCH', `/api/users/${ann.id}`, boss.token, { role: 'admin' })
  assert.equal((await put(ann.token)).status, 201)
  assert.deepEqual(await owners(), [undefined])
  await hub.call('PATCH', `/api/users/${ann.id}`, boss.token, { role: 'user' })
  await put(ann.token)
  assert.deepEqual(await owners(), [undefined, 'ann'])
  assert.equal((await hub.call('DELETE', `/api/users/${ann.id}`, boss.token)).status, 204)
  assert.deepEqual(await owners(), [undefined])
})

test('refuses a value that cannot be a secret, and never shows it', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('boss', 'admin')
  const bad: [unknown, RegExp][] = [
    [{ value: 123456789 }, /body.value must be text/],
    [{ value: [VALUE] }, /body.value must be text/],
    [{}, /body.value is missing/],
    [{ value: '' }, /must not be empty/],
    [{ value: `${VALUE}\0` }, /NUL/],
    [{ value: `${VALUE}\ud800` }, /UTF-8/],
    [{ value: VALUE.repeat(4000) }, /has 84000 bytes; the maximum is 65536/],
    [{ value: VALUE, repo: 'x' }, /body.repo is not a known field/],
    [{ value: VALUE, repository: 'x', workflow: 'y' }, /not for both/],
    [`{"value": ${VALUE}}`, /not valid JSON/],
    [`{"value": "${VALUE}`, /not valid JSON/],
  ]
  for (const [body, message] of bad) {
    const answer = await hub.call('PUT', '/api/secrets/TOKEN', token, body)
    assert.equal(answer.status, 400, answer.text)
    assert.match(answer.json.error.message, message)
    assert.ok(!/horse|correct|battery|12345/.test(answer.text), answer.text)
  }
  for (const name of ['a-b', '1A', 'A'.repeat(129)])
    assert.equal((await hub.call('PUT', `/api/secrets/${name}`, token, { value: VALUE })).status, 400)
  assert.ok(!hub.log.join('\n').includes('horse'))
})

test('refuses a run that names a missing secret, and starts one whose secret exists', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('boss', 'admin')
  const run = (body: object) => hub.call('POST', '/api/runs', token, body)
  const refused = await run({ yaml: flow('[A, B]') })
  assert.equal(refused.status, 400)
  assert.match(refused.json.error.message, /Secrets "A", "B" not found for workflow "demo" or all runs/)
  assert.deepEqual(refused.json.error.details, { secrets: ['A', 'B'] })
  await hub.call('PUT', '/api/secrets/A', token, { value: VALUE, repository: 'shop' })
  assert.equal((await run({ yaml: flow('[A]') })).status, 400)
  const made = await run({ yaml: flow('[A]'), repository: 'shop' })
  assert.equal(made.status, 201, made.text)
  assert.equal(made.json.repository, 'shop')
  assert.equal((await hub.engine.done(made.json.run_id)).status, 'success')
  const yaml = await hub.call('POST', '/api/runs?repository=shop', token, flow('[A]'), {
    'content-type': 'application/yaml',
  })
  assert.equal(yaml.json.repository, 'shop')
  const retried = await hub.call('POST', `/api/runs/${made.json.run_id}/retry`, token, {})
  assert.equal(retried.json.repository, 'shop')
  await hub.call('DELETE', '/api/secrets/A?repository=shop', token)
  assert.equal((await hub.call('POST', `/api/runs/${made.json.run_id}/retry`, token, {})).status, 400)
})

test('stores a credential in the env of any request only for its run, until the run is removed', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const env = { OPENAI_API_KEY: VALUE, REGION: 'north' }
  const step = { name: 'a', action: 'cmd.run', args: { cmd: 'say x' } }
  const workflow = { version: 'v0.1', name: 'w', env, steps: [step] }
  const bodies: object[] = [
    { workflow },
    { yaml: JSON.stringify({ ...workflow, env: {}, steps: [{ ...step, env }] }) },
    { agent: { prompt: 'x', env } },
    { input: { text: 'x' }, metadata: { env } },
  ]
  for (const body of bodies) {
    const made = await hub.call('POST', '/api/runs', token, body)
    assert.equal(made.status, 201, made.text)
    const { run_id } = made.json
    const run = { tenant: 'default', run_id }
    assert.deepEqual(await hub.secrets.ofRun(run), { ERRAND_ENV_OPENAI_API_KEY: VALUE })
    const record = await hub.store.get(run_id)
    const stored = JSON.stringify([record, await hub.store.events(run_id, 0, 500)])
    assert.ok(stored.includes('north') && !stored.includes('horse'), stored)
    await hub.call('POST', `/api/runs/${run_id}/cancel`, token)
    await hub.engine.done(run_id)
    assert.equal((await hub.call('DELETE', `/api/runs/${run_id}`, token)).status, 200)
    assert.deepEqual(await hub.secrets.ofRun(run), {})
  }
  const refused = await hub.call('POST', '/api/runs', token, {
    run_id: 'run_refused',
    workflow: { ...workflow, steps: [{ ...step, secrets: ['NONE'] }] },
  })
  assert.equal(refused.status, 400, refused.text)
  assert.deepEqual(await hub.secrets.runs(), [])
  const bot = { bot_id: 'echo', code: 'x', env: { BOT_TOKEN: VALUE, REGION: 'north' } }
  const started = await hub.call('POST', '/api/bots', token, bot)
  assert.equal(started.status, 201, started.text)
  const record = await hub.store.get(started.json.run_id)
  assert.ok(!JSON.stringify(record).includes('horse'))
  assert.deepEqual(await hub.secrets.ofRun(record!), { BOT_TOKEN: VALUE })
})

test('the servers of a token can be set with it or later, without its value, and the list shows them', async (t) => {
  const hub = await testingHub(t)
  const boss = await hub.user('boss', 'admin')
  const put = (name: string, body: object, token = boss.token) =>
    hub.call('PUT', `/api/secrets/${name}`, token, body)
  const none = await put('GIT_TOKEN', { value: 'a token of mine' })
  assert.deepEqual([none.status, none.json.hosts], [201, []])
  assert.match(none.json.warnings[0], /not sent to any server.*errand secrets set GIT_TOKEN --host HOST/)
  const hosts = ['GitHub.com', 'github.com:443', 'git.example.org:8443', '[::1]:3000']
  const named = await put('GIT_TOKEN', { hosts })
  assert.deepEqual(
    [named.status, named.json.hosts, named.json.warnings],
    [200, ['github.com', 'git.example.org:8443', '[::1]:3000'], []],
  )
  const rotated = await put('GIT_TOKEN', { value: 'another token' })
  assert.deepEqual([rotated.status, rotated.json.hosts], [200, named.json.hosts])
  assert.equal(await hub.secrets.valueSeen({ tenant: 'default', owner: 'x' }, ['GIT_TOKEN']), 'another token')
  const { secrets } = (await hub.call('GET', '/api/secrets', boss.token)).json
  assert.deepEqual(secrets[0].hosts, named.json.hosts)
  assert.deepEqual((await put('GITHUB_TOKEN', { value: 'a token of mine' })).json.hosts, ['github.com'])
  assert.equal((await put('OTHER', { value: 'a token of mine' })).json.hosts, undefined)
  assert.deepEqual((await put('GIT_TOKEN', { hosts: [] })).json.hosts, [])

  for (const host of [
    'https://github.com',
    'github.com/o',
    '*.github.com',
    'a@github.com',
    '',
    'a b',
    'x:99999',
  ]) {
    const wrong = await put('GIT_TOKEN', { hosts: [host] })
    assert.deepEqual([wrong.status, wrong.json.error.code], [400, 'bad_request'], host)
    assert.match(wrong.text, /body\.hosts\[0\].*HOST or HOST:PORT/)
  }
  const empty = await put('GIT_TOKEN', {})
  assert.match(empty.text, /body\.value is missing/)
  const absent = await put('NOT_THERE', { hosts: ['github.com'] })
  assert.deepEqual([absent.status, absent.json.error.code], [404, 'secret_not_found'])
  // Only those who may set it can name its servers.
  const ann = await hub.user('ann')
  assert.equal((await put('GIT_TOKEN', { hosts: ['evil.org'] }, ann.token)).status, 403)
  const ci = await hub.tokenOf(boss.id, 'api', { allow: ['tokens', 'users'] })
  assert.deepEqual((await put('GIT_TOKEN', { hosts: ['evil.org'] }, ci)).json.error.details, {
    permission: 'secrets',
  })
})
