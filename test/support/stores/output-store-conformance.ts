import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import type { OutputStore } from '../../../src/engine/ports.ts'
import { testAttempt } from './outputs-fixture.ts'

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

export const tempFolder = (t: TestContext): string => {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-outputs-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Returns everything that node has open below the folder; empty if the system cannot tell. */
export const openBelow = (dir: string): string[] => {
  if (process.platform !== 'linux') return []
  const files = readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`)
    } catch {
      // The descriptor that was open to list the folder.
      return ''
    }
  })
  return files.filter((file) => file.startsWith(dir))
}

/** Checks every sentence of `OutputStore`'s docstrings, for any store that keeps its data below `dir`. */
export function outputStoreConformance(name: string, open: (dir: string) => OutputStore): void {
  const fresh = (t: TestContext, args: Record<string, unknown> = {}) => {
    const dir = tempFolder(t)
    const store = open(dir)
    t.after(() => store.close())
    store.begin(testAttempt('run_a.1', args))
    return { store, dir }
  }

  describe(`output store: ${name}`, () => {
    it('stores each stream of an attempt separately, byte for byte', async (t) => {
      const { store } = fresh(t)
      const bytes = Buffer.concat([randomBytes(3000), Buffer.from([0, 255, 254, 10, 13])])
      assert.equal(await store.append('run_a.1', 'stdout', 0, bytes), bytes.length)
      assert.equal(await store.append('run_a.1', 'stderr', 0, Buffer.from('err')), 3)
      assert.equal(await store.length('run_a.1', 'stdout'), bytes.length)
      assert.deepEqual(await store.read('run_a.1', 'stdout', 0, bytes.length), bytes)
      assert.equal((await store.read('run_a.1', 'stderr', 0, 3)).toString(), 'err')
    })

    it('can be synced at any time: empty, during an append, and before its seal', async (t) => {
      const { store } = fresh(t)
      await store.sync('run_a.1', 'stdout')
      await store.append('run_a.1', 'stdout', 0, Buffer.from('one'))
      await Promise.all([
        store.sync('run_a.1', 'stdout'),
        store.append('run_a.1', 'stdout', 3, Buffer.from('two')),
        store.sync('run_a.1', 'stdout'),
      ])
      assert.equal(await store.length('run_a.1', 'stdout'), 6)
      assert.equal((await store.seal('run_a.1', 'stdout', true)).sha256, sha256(Buffer.from('onetwo')))
    })

    it('reads from start to before end, cut at the length, and nothing past it', async (t) => {
      const { store } = fresh(t)
      await store.append('run_a.1', 'stdout', 0, Buffer.from('0123456789'))
      const read = async (start: number, end: number) =>
        (await store.read('run_a.1', 'stdout', start, end)).toString()
      assert.equal(await read(2, 5), '234')
      assert.equal(await read(8, 100), '89')
      for (const [start, end] of [
        [10, 20],
        [100, 200],
        [5, 5],
        [6, 3],
      ] as const)
        assert.equal(await read(start, end), '')
      assert.equal((await store.read('run_x.1', 'stdout', 0, 10)).length, 0)
    })

    it('ignores data that it has, takes the new part of an overlapping piece, and refuses a gap', async (t) => {
      const { store } = fresh(t)
      const add = (offset: number, text: string) =>
        store.append('run_a.1', 'stdout', offset, Buffer.from(text))
      await assert.rejects(add(1, 'x'), { code: 'conflict' })
      assert.equal(await add(0, 'abcdef'), 6)
      assert.equal(await add(0, 'XXX'), 6)
      assert.equal(await add(0, 'XXXXXX'), 6)
      assert.equal(await add(4, 'XXgh'), 8)
      assert.equal(await add(8, ''), 8)
      await assert.rejects(add(9, 'x'), { code: 'conflict' })
      assert.equal((await store.read('run_a.1', 'stdout', 0, 100)).toString(), 'abcdefgh')
    })

    it('has length zero if nothing was written', async (t) => {
      const { store, dir } = fresh(t)
      assert.equal(await store.length('run_a.1', 'stdout'), 0)
      const end = await store.seal('run_a.1', 'stdout', true)
      assert.deepEqual(end, { length: 0, sha256: sha256(Buffer.alloc(0)) })
      assert.deepEqual(readdirSync(dir, { recursive: true }), [])
    })

    it('measures the stored data when the stream is sealed, also twice', async (t) => {
      const { store } = fresh(t)
      const bytes = randomBytes(100_000)
      for (let at = 0; at < bytes.length; at += 7777)
        await store.append('run_a.1', 'stdout', at, bytes.subarray(at, at + 7777))
      for (const _ of [1, 2]) {
        const { length, sha256: hash } = await store.seal('run_a.1', 'stdout', true)
        assert.deepEqual([length, hash], [bytes.length, sha256(bytes)])
      }
      assert.equal(await store.append('run_a.1', 'stdout', 0, bytes), bytes.length)
      assert.deepEqual(await store.read('run_a.1', 'stdout', 99_000, 200_000), bytes.subarray(99_000))
    })

    it('accepts single bytes, and many streams at once', async (t) => {
      const { store } = fresh(t)
      const ids = Array.from({ length: 30 }, (_, n) => `run_b.${n + 1}`)
      await Promise.all(
        ids.map(async (id) => {
          store.begin(testAttempt(id))
          for (let at = 0; at < 100; at++) await store.append(id, 'stdout', at, Buffer.from([at]))
        }),
      )
      for (const id of ids)
        assert.deepEqual(
          [...(await store.read(id, 'stdout', 0, 1000))],
          Array.from({ length: 100 }, (_, n) => n),
        )
    })

    it('deletes the data of a run, and only that', async (t) => {
      const { store, dir } = fresh(t)
      store.begin(testAttempt('run_ab.1'))
      for (const id of ['run_a.1', 'run_a.2', 'run_ab.1'])
        await store.append(id, 'stdout', 0, Buffer.from(id))
      await store.remove('run_a')
      await store.remove('run_a')
      await store.remove('../run_ab')
      assert.equal(await store.length('run_a.1', 'stdout'), 0)
      assert.equal(await store.length('run_a.2', 'stdout'), 0)
      assert.equal((await store.read('run_ab.1', 'stdout', 0, 100)).toString(), 'run_ab.1')
      assert.deepEqual(openBelow(path.join(dir, 'run_a') + path.sep), [])
      assert.equal(await store.append('run_a.1', 'stdout', 0, Buffer.from('new')), 3)
    })

    it('touches nothing outside its folder, with any id', async (t) => {
      const { store, dir } = fresh(t, { max_output_bytes: 0 })
      for (const id of ['../x.1', 'a/b.1', 'run_a.x', 'run_a.-1', 'run_a.1e3.5', '.1', 'run_a.']) {
        store.begin(testAttempt(id, { max_output_bytes: 0 }))
        await assert.rejects(store.append(id, 'stdout', 0, Buffer.from('x')), { code: 'bad_request' })
      }
      assert.deepEqual(readdirSync(dir, { recursive: true }), [])
    })

    it('has nothing open after it was closed, also twice', async (t) => {
      const { store, dir } = fresh(t)
      await store.append('run_a.1', 'stdout', 0, randomBytes(10))
      await store.close()
      await store.close()
      assert.deepEqual(openBelow(dir), [])
    })
  })
}
