import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import { ArtifactStoreClient } from '../../../compat/artifact-store.ts'

const sha256 = (text: string) => hash('sha256', text)

async function storing(t: TestContext, options: Parameters<typeof testingHub>[1] = {}) {
  const hub = await testingHub(t, options)
  const [ann, bob] = [await hub.user('ann'), await hub.user('bob')]
  const [far, boss] = [await hub.user('far', 'admin', 'elsewhere'), await hub.user('boss', 'admin')]
  const base = `${hub.url}/api/store`
  const client = (token: string) => new ArtifactStoreClient({ url: base, token, retries: 0 })
  const post = async (
    body: FormData | string,
    { query = '', token = ann.token, headers = {} as Record<string, string> } = {},
  ) => {
    const response = await fetch(`${base}/artifacts${query}`, {
      method: 'POST',
      body,
      headers: { authorization: `Bearer ${token}`, ...headers },
    })
    return { status: response.status, json: JSON.parse(await response.text()) }
  }
  const raw = { 'content-type': 'application/octet-stream' }
  const get = (id: string, { token = ann.token, method = 'GET', headers = {} } = {}) =>
    hub.call(method, `/api/store/artifacts/${id}`, token, undefined, headers)
  return { ...hub, ann, bob, far, boss, client, post, raw, get }
}

/** Builds a form with the parts in this order: the file comes after its fields or before. */
function formOf(...parts: [string, string | Blob, string?][]): FormData {
  const form = new FormData()
  for (const [name, value, file] of parts)
    if (typeof value === 'string') form.append(name, value)
    else form.append(name, value, file)
  return form
}

const idOf = (uri: string) => uri.slice('errand://artifact/'.length)

test('a file stored as older systems do can be fetched by its URI, whole or by range, only by its own users', async (t) => {
  const { ann, bob, far, boss, client, get, url } = await storing(t)
  const file = { name: 'change.diff', type: 'diff', content: { bytes: 'a change' } }
  const { uri } = await client(ann.token).put({ ...file, metadata: { task_id: '7' } })
  assert.match(uri, /^errand:\/\/artifact\/art_[0-9a-f]{32}$/)
  const id = idOf(uri)
  const whole = await get(id)
  assert.deepEqual([whole.status, whole.text, whole.headers.get('content-length')], [200, 'a change', '8'])
  assert.match(whole.headers.get('content-disposition') ?? '', /filename="change\.diff"/)
  const part = await get(id, { headers: { range: 'bytes=2-' } })
  assert.deepEqual([part.status, part.text], [206, 'change'])
  assert.equal((await get(id, { headers: { range: 'bytes=9-' } })).status, 416)
  const head = await get(id, { method: 'HEAD' })
  assert.deepEqual([head.status, head.text, head.headers.get('content-length')], [200, '', '8'])
  assert.equal((await get(id, { token: boss.token })).status, 200)
  for (const { token } of [bob, far]) {
    assert.equal((await get(id, { token })).status, 404)
    assert.equal((await get(id, { token, method: 'DELETE' })).status, 404)
  }
  assert.equal((await fetch(`${url}/api/store/artifacts/${id}`)).status, 401)

  // Equal uploads are one artifact, even if sent twice or at once. Another name, task, content or user makes another.
  const again = (more: object, token = ann.token) =>
    client(token).put({ ...file, metadata: { task_id: '7' }, ...more })
  const same = await Promise.all([again({}), again({}), again({ type: 'log' })])
  assert.deepEqual(
    same.map((each) => each.uri),
    [uri, uri, uri],
  )
  const others = [
    await again({ name: 'other.diff' }),
    await again({ metadata: { task_id: '8' } }),
    await again({ content: { bytes: 'a chance' } }),
    await again({}, bob.token),
    await again({}, far.token),
  ]
  assert.equal(new Set([uri, ...others.map((each) => each.uri)]).size, 6)
})

test('accepts a file in any part of a form or as a raw body, and checks its checksum', async (t) => {
  const { post, raw, get } = await storing(t)
  const blob = new Blob(['text'], { type: 'text/plain' })
  const [first, last] = [
    await post(formOf(['file', blob, 'a.txt'], ['type', 'log'], ['metadata', '{"task_id": 7}'])),
    await post(formOf(['metadata', '{"task_id": "7"}'], ['type', 'log'], ['file', blob, 'a.txt'])),
  ]
  assert.deepEqual([first.status, last.status, last.json], [201, 200, first.json])
  assert.equal((await get(idOf(first.json.uri))).headers.get('content-type'), 'text/plain')
  const asIs = await post('text', { query: '?type=log&name=a.txt&task_id=7', headers: raw })
  assert.deepEqual([asIs.status, asIs.json], [200, first.json])
  const checked = { ...raw, 'content-sha256': sha256('text').toUpperCase() }
  assert.equal((await post('text', { headers: checked })).status, 201)
  const wrong = await post('other', { headers: checked })
  assert.deepEqual([wrong.status, wrong.json.error.code], [400, 'bad_request'])
  const empty = await post('', { query: '?name=empty', headers: raw })
  assert.equal((await get(idOf(empty.json.uri))).text, '')
})

test('refuses an invalid form, and leaves nothing behind', async (t) => {
  const hub = await storing(t, { artifactLimits: { bytes: 100, perRunBytes: 150, perUserBytes: 220 } })
  const { post, raw, app, ann, log } = hub
  const blob = (text: string) => new Blob([text])
  const refusals: [FormData | string, Record<string, string>, number, RegExp][] = [
    [formOf(['type', 'log']), {}, 400, /has no file/],
    [formOf(['file', blob('1'), 'a'], ['file', blob('2'), 'b']), {}, 400, /two files/],
    [formOf(['data', blob('1'), 'a']), {}, 400, /a file named "data"/],
    [formOf(['file', blob('1'), 'a'], ['metadata', '[1]']), {}, 400, /is not a JSON object/],
    [formOf(['file', blob('1'), 'a'], ['metadata', '{']), {}, 400, /is not a JSON object/],
    [
      formOf(['file', blob('1'), 'a'], ['metadata', `{"a":${'['.repeat(200)}${']'.repeat(200)}}`]),
      {},
      400,
      /100 levels deep/,
    ],
    [formOf(['file', blob('1'), 'a'], ['type', 'x'.repeat(70_000)]), {}, 400, /"type" exceeds a limit/],
    [formOf(['file', blob('x'.repeat(101)), 'a']), {}, 413, /100 bytes/],
    ['x'.repeat(101), raw, 413, /100 bytes/],
    ['--b\r\nno form', { 'content-type': 'multipart/form-data; boundary=b' }, 400, /cannot be read/],
    ['no form', { 'content-type': 'multipart/form-data' }, 400, /cannot be read/],
    ['{}', { 'content-type': 'text/html' }, 415, /content type/],
  ]
  for (const [body, headers, status, words] of refusals) {
    const answer = await post(body, { headers })
    assert.deepEqual([answer.status, words.test(answer.json.error.message)], [status, true], String(words))
  }
  assert.match(
    (await post('x', { query: '?name=a/../b', headers: raw })).json.error.message,
    /name of the file/,
  )
  assert.equal(
    (await hub.call('POST', '/api/tasks', ann.token, 'x', { 'content-type': 'multipart/form-data' })).status,
    415,
  )

  // Quotas count per task, and per user over all tasks.
  const store = (task: number, text: string) =>
    post(text, { query: `?name=${text[0]}&task_id=${task}`, headers: raw })
  assert.equal((await store(1, 'a'.repeat(100))).status, 201)
  const ofTask = await store(1, 'b'.repeat(60))
  assert.deepEqual([ofTask.status, ofTask.json.error.code], [409, 'quota_exceeded'])
  assert.equal((await store(2, 'c'.repeat(100))).status, 201)
  const ofUser = await store(3, 'd'.repeat(30))
  assert.deepEqual([ofUser.status, ofUser.json.error.code], [409, 'quota_exceeded'])

  // A sender that disconnects in the middle of a file.
  const { port } = app.server.address() as { port: number }
  const socket = connect(port, '127.0.0.1')
  socket.write(
    `POST /api/store/artifacts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ann.token}\r\ncontent-length: 999\r\n` +
      'content-type: multipart/form-data; boundary=b\r\n\r\n--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhalf',
  )
  const incoming = join(hub.data, 'artifacts', '.incoming')
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => readdirSync(incoming).length === 1)
  socket.destroy()
  await until(() => readdirSync(incoming).length === 0)
  assert.deepEqual(
    log.filter((line) => /internal|unhandled/i.test(line)),
    [],
  )
})

test('removing a file frees its space, unless another file has the same content', async (t) => {
  const { post, raw, get, stored, stores } = await storing(t, { artifactLimits: { perUserBytes: 10 } })
  const store = async (name: string, text: string) =>
    await post(text, { query: `?name=${name}&task_id=1`, headers: raw })
  const [one, two] = [await store('one', 'same text'), await store('two', 'same text')]
  assert.equal((await store('three', 'more text')).status, 409)
  assert.equal((await get(idOf(one.json.uri), { method: 'DELETE' })).status, 204)
  assert.deepEqual(
    [(await get(idOf(one.json.uri))).status, (await get(idOf(two.json.uri))).text],
    [404, 'same text'],
  )
  await stored.removeOver(new Date(Date.now() + 1000).toISOString())
  assert.equal((await get(idOf(two.json.uri))).status, 404)
  assert.deepEqual(await stores.storedArtifacts.before('9', 10), [])
  assert.equal((await store('three', 'more text')).status, 201)
})

test('stored files survive a restart of the hub, and files without a record are soon deleted', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'errand-stored-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const stored = { data, database: join(data, 'errand.db') }
  const before = await storing(t, stored)
  const { uri } = (await before.post('text', { query: '?name=a', headers: before.raw })).json
  const { token } = before.ann
  await before.close()
  const [user] = readdirSync(join(data, 'artifacts')).filter((name) => !name.startsWith('.'))
  const [task] = readdirSync(join(data, 'artifacts', user!))
  const orphan = join(data, 'artifacts', user!, task!, sha256('orphan'))
  for (const file of [orphan, join(data, 'artifacts/.incoming/half')]) writeFileSync(file, 'orphan')

  const after = await testingHub(t, stored)
  const again = await after.call('GET', `/api/store/artifacts/${idOf(uri)}`, token)
  assert.equal(again.text, 'text')
  assert.equal(await after.stored.sweep(Date.now() + 25 * 3_600_000), 1)
  assert.equal(await after.artifacts.sweep(Date.now() + 25 * 3_600_000), 0)
  assert.deepEqual(readdirSync(join(data, 'artifacts', user!, task!)), [sha256('text')])
  const octets = { 'content-type': 'application/octet-stream' }
  assert.equal((await after.call('POST', '/api/store/artifacts?name=b', token, 'more', octets)).status, 201)
  assert.deepEqual(readdirSync(join(data, 'artifacts/.incoming')), [])
})

test('limits how many files a user can send at once', async (t) => {
  const { app, ann, bob, post, raw } = await storing(t)
  const { port } = app.server.address() as { port: number }
  const sockets = Array.from({ length: 16 }, () => {
    const socket = connect(port, '127.0.0.1')
    socket.write(
      `POST /api/store/artifacts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${ann.token}\r\ncontent-length: 9\r\n` +
        'content-type: application/octet-stream\r\n\r\n1',
    )
    return socket
  })
  const one = async (token: string) => (await post('1', { headers: raw, token })).status
  while ((await one(ann.token)) !== 429) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(await one(bob.token), 201)
  for (const socket of sockets) socket.destroy()
  while ((await one(ann.token)) === 429) await new Promise((resolve) => setImmediate(resolve))
})

test('the services report that they are available, and are documented', async (t) => {
  const { call } = await storing(t)
  for (const name of ['store', 'registry'])
    assert.deepEqual((await call('GET', `/api/${name}/health`)).json, { status: 'ok' })
  const { paths } = (await call('GET', '/api/openapi.json')).json
  const { content } = paths['/api/store/artifacts'].post.requestBody
  assert.deepEqual(Object.keys(content), ['multipart/form-data'])
  assert.ok(paths['/api/store/artifacts/{id}'].get)
})
