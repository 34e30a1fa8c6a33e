import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { it } from 'node:test'
import { openBelow, sha256, tempFolder } from '../../../test/support/stores/output-store-conformance.ts'
import { FileOutputStore } from './files.ts'

it('a restarted hub continues at the end of the file, and hashes all of it', async (t) => {
  const dir = tempFolder(t)
  const bytes = randomBytes(3_000_000)
  const first = new FileOutputStore({ dir })
  await first.append('run_a.1', 'stdout', 0, bytes.subarray(0, 1_234_567))
  await first.close()

  const second = new FileOutputStore({ dir })
  t.after(() => second.close())
  assert.equal(await second.length('run_a.1', 'stdout'), 1_234_567)
  assert.deepEqual(
    await second.read('run_a.1', 'stdout', 1_234_560, 9e9),
    bytes.subarray(1_234_560, 1_234_567),
  )
  await assert.rejects(second.append('run_a.1', 'stdout', 1_234_568, bytes), { code: 'conflict' })
  await second.append('run_a.1', 'stdout', 1_000_000, bytes.subarray(1_000_000))
  assert.deepEqual(await second.seal('run_a.1', 'stdout'), { length: bytes.length, sha256: sha256(bytes) })
  assert.deepEqual(readFileSync(path.join(dir, 'run_a', '1.stdout')), bytes)
  assert.deepEqual(openBelow(dir), [])
})

it('takes over only synced bytes from an earlier hub, since the power may have failed', async (t) => {
  const dir = tempFolder(t)
  const first = new FileOutputStore({ dir })
  await first.append('run_a.1', 'stdout', 0, Buffer.from('synced\0and not\0\0'))
  await first.close()
  const second = new FileOutputStore({ dir })
  t.after(() => second.close())
  assert.equal(await second.recover('run_a.1', 'stdout', 7), 7)
  assert.equal(await second.recover('run_a.1', 'stdout', 100), 7, 'lost bytes are not invented')
  assert.equal(await second.recover('run_a.1', 'stderr', 0), 0)
  await second.append('run_a.1', 'stdout', 7, Buffer.from('again'))
  const whole = Buffer.from('synced\0again')
  assert.deepEqual(await second.seal('run_a.1', 'stdout'), { length: 12, sha256: sha256(whole) })
  assert.deepEqual(readFileSync(path.join(dir, 'run_a', '1.stdout')), whole)
})

it('measures a stream that an earlier hub wrote completely', async (t) => {
  const dir = tempFolder(t)
  const first = new FileOutputStore({ dir })
  await first.append('run_a.1', 'stderr', 0, Buffer.from('hello'))
  await first.close()
  const second = new FileOutputStore({ dir })
  t.after(() => second.close())
  assert.deepEqual(await second.seal('run_a.1', 'stderr'), {
    length: 5,
    sha256: sha256(Buffer.from('hello')),
  })
})

it('refuses to seal a stream that could not be synced, even if a second try would succeed', async (t) => {
  const store = new FileOutputStore({ dir: tempFolder(t) })
  t.after(() => store.close())
  await store.append('run_a.1', 'stdout', 0, Buffer.from('hello'))
  const handle = await open(import.meta.filename)
  await handle.close()
  const handles = Object.getPrototypeOf(handle)
  const broken = t.mock.method(handles, 'datasync', async () =>
    Promise.reject(new Error('the disk is broken')),
  )
  await assert.rejects(store.sync('run_a.1', 'stdout'), /the disk is broken/)
  broken.mock.restore()
  await assert.rejects(store.seal('run_a.1', 'stdout'), /the disk is broken/)
})

it('keeps no more files open than allowed, and closes the others', async (t) => {
  const dir = tempFolder(t)
  const store = new FileOutputStore({ dir, maxOpenFiles: 4 })
  t.after(() => store.close())
  for (let n = 1; n <= 20; n++) await store.append(`run_a.${n}`, 'stdout', 0, Buffer.from(`${n}`))
  assert.ok(openBelow(dir).length <= 5)
  for (let n = 1; n <= 20; n++) {
    await store.append(`run_a.${n}`, 'stdout', `${n}`.length, Buffer.from('.'))
    assert.equal((await store.read(`run_a.${n}`, 'stdout', 0, 10)).toString(), `${n}.`)
  }
})

it('names the file that cannot be written if a file is in the place of the folder', async (t) => {
  const dir = tempFolder(t)
  const store = new FileOutputStore({ dir: path.join(import.meta.filename, 'x') })
  t.after(() => store.close())
  await assert.rejects(store.append('run_a.1', 'stdout', 0, Buffer.from('x')), (error: Error) => {
    assert.match(error.message, /files\.test\.ts\/x\/run_a/)
    assert.equal((error as { code?: string }).code, 'store_failed')
    return true
  })
  assert.deepEqual(openBelow(dir), [])
})

it('gives nobody else access to the folder of the outputs, nor to those of the runs', async (t) => {
  const dir = path.join(tempFolder(t), 'output')
  const store = new FileOutputStore({ dir })
  t.after(() => store.close())
  await store.append('run_a.1', 'stdout', 0, Buffer.from('x'))
  for (const folder of [dir, path.join(dir, 'run_a')]) assert.equal(statSync(folder).mode & 0o777, 0o700)
})
