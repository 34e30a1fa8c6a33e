import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { it } from 'node:test'
import { sha256, tempFolder } from '../../../test/support/stores/output-store-conformance.ts'
import { testAttempt } from '../../../test/support/stores/outputs-fixture.ts'
import { outputFileName } from '../../contract/ids.ts'
import { BoundedOutputStore } from './bounded.ts'

it('keeps small output in memory and creates no folder', async (t) => {
  const spillDir = path.join(tempFolder(t), 'spill')
  const store = new BoundedOutputStore({ spillDir })
  t.after(() => store.close())
  store.begin(testAttempt('run_a.1'))
  await store.append('run_a.1', 'stdout', 0, Buffer.alloc(1024 * 1024, 'x'))
  assert.deepEqual(await store.seal('run_a.1', 'stdout', false), { length: 1024 * 1024 })
  const end = await store.seal('run_a.1', 'stdout', true)
  assert.equal(end.sha256, sha256(Buffer.alloc(1024 * 1024, 'x')))
  assert.equal(end.file, undefined)
  assert.equal(existsSync(spillDir), false)
  await store.remove('run_a')
})

it('moves a stream over its limit completely into a file, but not the other stream', async (t) => {
  const spillDir = path.join(tempFolder(t), 'spill')
  const store = new BoundedOutputStore({ spillDir })
  t.after(() => store.close())
  store.begin(testAttempt('run_a.3', { max_output_bytes: 10 }))
  await store.append('run_a.3', 'stdout', 0, Buffer.from('0123456789'))
  assert.equal(existsSync(spillDir), false)
  await store.append('run_a.3', 'stderr', 0, Buffer.from('0123456789'))
  await store.append('run_a.3', 'stdout', 10, Buffer.from('ab'))
  await store.append('run_a.3', 'stdout', 11, Buffer.from('bcd'))
  const file = path.join(spillDir, 'run_a', '3.stdout')
  for (const folder of [spillDir, path.dirname(file)]) assert.equal(statSync(folder).mode & 0o777, 0o700)
  assert.equal((await store.read('run_a.3', 'stdout', 8, 100)).toString(), '89abcd')
  const whole = Buffer.from('0123456789abcd')
  assert.deepEqual(await store.seal('run_a.3', 'stdout', true), { length: 14, sha256: sha256(whole), file })
  assert.deepEqual(readFileSync(file), whole)
  assert.equal((await store.seal('run_a.3', 'stderr', true)).file, undefined)
  await store.remove('run_a')
  assert.deepEqual(readdirSync(spillDir), [])
})

it('writes to output_path from the first byte, over the output of an earlier run, and leaves it there', async (t) => {
  const cwd = tempFolder(t)
  const spillDir = path.join(cwd, 'spill')
  const file = path.join(cwd, 'out', 'deep', 'run_a.build_it__.local.2.stdout.log')
  for (const text of ['something long', 'short']) {
    const store = new BoundedOutputStore({ spillDir, cwd })
    t.after(() => store.close())
    store.begin(testAttempt('run_a.2', { output_path: 'out/deep' }))
    await store.append('run_a.2', 'stdout', 0, Buffer.from(text))
    assert.equal(readFileSync(file, 'utf8'), text)
    assert.equal((await store.seal('run_a.2', 'stdout', true)).file, file)
    assert.equal((await store.read('run_a.2', 'stdout', 0, 100)).toString(), text)
    await store.remove('run_a')
    assert.equal(readFileSync(file, 'utf8'), text)
  }
  assert.deepEqual(readdirSync(path.dirname(file)), [path.basename(file)])
  assert.equal(existsSync(spillDir), false)
})

it('refuses an output_path that cannot be created, names it, and keeps none of those bytes', async (t) => {
  const store = new BoundedOutputStore({ spillDir: tempFolder(t) })
  t.after(() => store.close())
  store.begin(testAttempt('run_a.1', { output_path: path.join(import.meta.filename, 'x') }))
  for (const _ of [1, 2])
    await assert.rejects(
      store.append('run_a.1', 'stdout', 0, Buffer.from('x')),
      /bounded\.test\.ts\/x\/run_a/,
    )
  assert.equal(await store.length('run_a.1', 'stdout'), 0)
})

it('moves streams that ended long ago to disk if there are many, and can still read them', async (t) => {
  const spillDir = tempFolder(t)
  const store = new BoundedOutputStore({ spillDir, maxEndedBytes: 250 })
  t.after(() => store.close())
  for (let n = 1; n <= 4; n++) {
    store.begin(testAttempt(`run_a.${n}`))
    await store.append(`run_a.${n}`, 'stdout', 0, Buffer.alloc(100, `${n}`))
    await store.seal(`run_a.${n}`, 'stdout', true)
  }
  assert.deepEqual(readdirSync(path.join(spillDir, 'run_a')).sort(), ['1.stdout', '2.stdout'])
  for (let n = 1; n <= 4; n++)
    assert.equal((await store.read(`run_a.${n}`, 'stdout', 0, 200)).toString(), `${n}`.repeat(100))
})

it('takes 200 MB with constant memory', async (t) => {
  const spillDir = tempFolder(t)
  const store = new BoundedOutputStore({ spillDir })
  t.after(() => store.close())
  store.begin(testAttempt('run_a.1'))
  const chunk = randomBytes(64 * 1024)
  const hash = createHash('sha256')
  const before = process.memoryUsage().rss
  let peak = before
  const total = 200 * 1024 * 1024
  for (let at = 0; at < total; at += chunk.length) {
    await store.append('run_a.1', 'stdout', at, chunk)
    hash.update(chunk)
    peak = Math.max(peak, process.memoryUsage.rss())
  }
  const end = await store.seal('run_a.1', 'stdout', true)
  assert.deepEqual([end.length, end.sha256], [total, hash.digest('hex')])
  assert.equal(statSync(end.file!).size, total)
  assert.ok(peak - before < 50 * 1024 * 1024, `it grew by ${Math.round((peak - before) / 1024 / 1024)} MiB`)
})

it('writes the output of a boxed step to its file through no link, and the target of a link stays unchanged', {
  skip: process.platform !== 'linux' && 'it takes Linux',
}, async (t) => {
  const folder = tempFolder(t)
  const cwd = path.join(folder, 'inside')
  mkdirSync(path.join(cwd, 'out'), { recursive: true })
  writeFileSync(path.join(folder, 'kept'), 'as it was')
  const store = new BoundedOutputStore({ spillDir: path.join(folder, 'spill'), cwd })
  t.after(() => store.close())
  const boxed = (id: string) => {
    const spec = testAttempt(id, { output_path: 'out' })
    store.begin({ ...spec, isolation: 'sandbox' })
    return spec
  }
  boxed('run_a.1')
  symlinkSync(path.join(folder, 'kept'), path.join(cwd, 'out', outputFileName(boxed('run_a.2'), 'stderr')))
  assert.equal(await store.append('run_a.1', 'stdout', 0, Buffer.from('said')), 4)
  assert.equal((await store.read('run_a.1', 'stdout', 0, 4)).toString(), 'said')
  const { file } = await store.seal('run_a.1', 'stdout', true)
  assert.equal(readFileSync(file!, 'utf8'), 'said')
  await assert.rejects(store.append('run_a.2', 'stderr', 0, Buffer.from('taken over')), /it is a link/)
  assert.equal(readFileSync(path.join(folder, 'kept'), 'utf8'), 'as it was')
})
