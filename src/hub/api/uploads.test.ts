import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import test from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { Uploads } from '../bots/uploads.ts'

const bytes = 'the bytes of an archive'
const sha256 = hash('sha256', bytes)
const gzip = { 'content-type': 'application/gzip' }

test('an upload is identified by its SHA-256, stored once, and readable only by runners of its tenant', async (t) => {
  const hub = await testingHub(t)
  const ann = await hub.user('ann')
  const [far, boss] = [await hub.user('far', 'admin', 'elsewhere'), await hub.user('boss', 'admin')]
  for (const type of ['application/gzip', 'application/zip']) {
    const stored = await hub.call('PUT', '/api/uploads', ann.token, bytes, { 'content-type': type })
    assert.deepEqual([stored.status, stored.json], [201, { upload: sha256, bytes: bytes.length }])
  }
  assert.deepEqual(readdirSync(dirname(hub.uploads.pathOf('default', sha256))), [sha256])
  const get = (token?: string, id = sha256) => hub.call('GET', `/api/uploads/${id}`, token)
  const answer = await get(await hub.tokenOf(boss.id, 'runner'))
  assert.deepEqual(
    [answer.status, answer.text, answer.headers.get('content-length')],
    [200, bytes, `${bytes.length}`],
  )
  const other = await get(await hub.tokenOf(far.id, 'runner'))
  assert.deepEqual([other.status, other.json.error.code], [404, 'not_found'])
  for (const token of [
    undefined,
    ann.token,
    far.token,
    await hub.tokenOf(ann.id, 'enroll'),
    'errand_runner_wrong',
  ])
    assert.equal((await get(token)).status, 401)
  assert.equal((await get(await hub.tokenOf(boss.id, 'runner'), '..%2f..%2fsecrets.key')).status, 400)
  const start = (token: string) => hub.call('POST', '/api/bots', token, { bot_id: 'a', upload: sha256 })
  assert.equal((await start(far.token)).status, 404)
  assert.equal((await start(ann.token)).status, 201)
})

test('refuses an upload that is too large, empty or not an archive, and stores nothing of it', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const put = (body: string | undefined, headers: Record<string, string>) =>
    hub.call('PUT', '/api/uploads', token, body, headers)
  assert.equal((await put('{}', {})).json.error.code, 'unsupported_media_type')
  assert.equal((await put('', gzip)).json.error.code, 'bad_request')
  const large = Readable.from(
    (function* () {
      for (let count = 0; count < 51; count++) yield Buffer.alloc(1024 * 1024)
    })(),
  )
  await assert.rejects(hub.uploads.put('default', large), { code: 'body_too_large', message: /50 MB/ })
  const declared = await hub.call('POST', '/api/runs', token, 'x', gzip)
  assert.equal(declared.json.error.code, 'unsupported_media_type')
  assert.deepEqual(readdirSync(dirname(hub.uploads.pathOf('default', sha256))), [])
})

test('limits the uploads of a tenant', async (t) => {
  const hub = await testingHub(t)
  const dir = dirname(dirname(hub.uploads.pathOf('default', sha256)))
  const small = new Uploads({ dir, maxTenantBytes: 30, log: () => {} })
  await small.put('default', Readable.from([Buffer.from(bytes)]))
  await assert.rejects(small.put('default', Readable.from([Buffer.from('more bytes')])), {
    code: 'quota_exceeded',
  })
  await small.put('other', Readable.from([Buffer.from('more bytes')]))
})

test('deletes an upload without a bot after an hour, and keeps one in use', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { upload: used } = await hub.uploads.put('default', Readable.from([Buffer.from(bytes)]))
  const { upload: unused } = await hub.uploads.put('default', Readable.from([Buffer.from('more bytes')]))
  const { run_id } = (await hub.call('POST', '/api/bots', token, { bot_id: 'a', upload: used })).json
  const inUse = async () => new Set([hub.uploads.pathOf('default', used)])
  assert.equal(await hub.uploads.sweep(inUse, Date.now()), 0)
  assert.equal(await hub.uploads.sweep(inUse, Date.now() + 3_700_000), 1)
  await assert.rejects(hub.uploads.use('default', unused), { code: 'not_found' })
  await hub.uploads.use('default', used)
  assert.ok(run_id)
})
