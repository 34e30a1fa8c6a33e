import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import test, { type TestContext } from 'node:test'
import { type ArtifactLimits, ArtifactStore } from './artifact-store.ts'

const DAY_MS = 86_400_000
const place = { tenant: 'default', owner: 'ann', run_id: 'run_a' }
const measured = (text: string) => ({ bytes: Buffer.byteLength(text), sha256: hash('sha256', text) })
const content = (...texts: string[]) => Readable.from(texts.map((text) => Buffer.from(text)))

function storeIn(t: TestContext, limits?: ArtifactLimits) {
  const dir = mkdtempSync(join(tmpdir(), 'errand-artifacts-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const store = new ArtifactStore({ dir, limits })
  const put = (text: string, at = place) => store.put(at, measured(text), content(text))
  const read = async (text: string, range?: { start: number; end: number }, at = place) => {
    let found = ''
    for await (const piece of await store.open(at, measured(text), range)) found += piece
    return found
  }
  const files = () => readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((name) => join(dir, name))
  const fileOf = (text: string) => files().find((name) => name.endsWith(measured(text).sha256))!
  return { dir, store, put, read, files, fileOf }
}

test('stores content once for its run, reads it whole and by range, and gives it to no other run', async (t) => {
  const { put, read, files, store } = storeIn(t)
  await put('hello world')
  await put('hello world')
  await put('')
  assert.equal(await read('hello world'), 'hello world')
  assert.equal(await read('hello world', { start: 6, end: 8 }), 'wo')
  assert.equal(await read(''), '')
  assert.equal(files().length, 4)
  for (const at of [
    { ...place, run_id: 'run_b' },
    { ...place, owner: 'bob' },
    { ...place, tenant: 'else' },
  ])
    await assert.rejects(read('hello world', undefined, at), { code: 'not_found' })
  for (const run_id of ['..', '.store', 'a/b', ''])
    await assert.rejects(store.put({ ...place, run_id }, measured('x'), content('x')))
  for (const sha256 of ['../../run_a', 'A'.repeat(64)])
    await assert.rejects(store.put(place, { bytes: 1, sha256 }, content('x')), { code: 'bad_request' })
})

test('content that differs from its announcement leaves nothing', async (t) => {
  const { store, files } = storeIn(t, { bytes: 20 })
  const { sha256 } = measured('hello')
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from('hel')
      throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
    })(),
  )
  for (const [bytes, body] of [
    [5, content('hellO')],
    [5, content('hell')],
    [5, content('hello', '!')],
    [5, broken],
  ] as const)
    await assert.rejects(store.put(place, { bytes, sha256 }, body), { code: 'bad_request' })
  await assert.rejects(store.put(place, { bytes: 21, sha256 }, content('hello')), { code: 'body_too_large' })
  assert.deepEqual(
    files().filter((name) => name.split('/').at(-1)!.length > 40 || name.includes('/.')),
    [],
  )
})

test('limits a run and a user, even for simultaneous uploads; removal makes room', async (t) => {
  const { put, store } = storeIn(t, { perRunBytes: 10, perUserBytes: 15, perRunCount: 3 })
  const results = await Promise.allSettled([put('aaaaaa'), put('bbbbbb')])
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  await assert.rejects(put('cccccc'), { code: 'quota_exceeded', message: /run_a .* 10 bytes/ })
  const b = { ...place, run_id: 'run_b' }
  await put('dddddddd', b)
  const c = { ...place, run_id: 'run_c' }
  await assert.rejects(put('eee', c), { code: 'quota_exceeded', message: /runs of ann .* 15 bytes/ })
  await put('eee', { ...c, owner: 'bob' })
  await store.remove('run_a')
  await store.remove('../run_b')
  for (const text of ['x', 'y']) await put(text, b)
  await assert.rejects(put('z', b), { code: 'quota_exceeded', message: /3 artifacts/ })
})

test('reports damaged bytes, and repairs them when they are sent again', async (t) => {
  const { put, read, fileOf } = storeIn(t)
  await put('hello')
  assert.equal(await read('hello'), 'hello')
  for (const text of ['jello', 'hell']) {
    writeFileSync(fileOf('hello'), text)
    await assert.rejects(read('hello'), { code: 'output_damaged', message: /run_a is damaged/ })
    await put('hello')
    assert.equal(await read('hello'), 'hello')
  }
})

test('deletes after a day what no log mentions, and keeps what is still arriving', async (t) => {
  const { put, files, fileOf, store, dir } = storeIn(t)
  for (const text of ['told', 'orphan', 'fresh']) await put(text)
  await put('of no run', { ...place, run_id: 'run_gone' })
  const part = join(fileOf('told'), '..', '.part')
  writeFileSync(part, 'half')
  const old = new Date(Date.now() - 2 * DAY_MS)
  for (const file of [fileOf('told'), fileOf('orphan'), fileOf('of no run'), part]) utimesSync(file, old, old)
  const gathered = async (runId: string) =>
    runId === 'run_gone' ? undefined : new Set([measured('told').sha256])
  assert.equal(await store.sweep(gathered, Date.now()), 3)
  const names = files().map((name) => name.slice(dir.length + 34))
  assert.deepEqual(
    names.filter((name) => name.length > 60).sort(),
    ['told', 'fresh'].map((text) => `run_a/${measured(text).sha256}`).sort(),
  )
  assert.ok(!existsSync(part))
  assert.equal(await store.sweep(gathered, Date.now()), 0)
})

test('a hub killed during an upload leaves no partial content under its name', async (t) => {
  const { dir, files, put, read } = storeIn(t)
  const text = 'x'.repeat(1000)
  const script = `
    import { Readable } from 'node:stream'
    const { ArtifactStore } = await import(${JSON.stringify(new URL('./artifact-store.ts', import.meta.url).href)})
    const endless = Readable.from((async function* () {
      yield Buffer.from('x'.repeat(500))
      console.log('half')
      // Sleeps: it is killed in the middle.
      await new Promise((resolve) => setTimeout(resolve, 1e8))
    })())
    await new ArtifactStore({ dir: ${JSON.stringify(dir)} }).put(${JSON.stringify(place)}, ${JSON.stringify(measured(text))}, endless)
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  await once(child.stdout!, 'data')
  child.kill('SIGKILL')
  await exited
  const left = files().filter((name) => name.includes('/.'))
  assert.equal(left.length, 1)
  await assert.rejects(read(text), { code: 'not_found' })
  await put(text)
  assert.equal(readFileSync(files().find((name) => name.endsWith(measured(text).sha256))!, 'utf8'), text)
})
