/**
 * Run by `bad-disk.test.ts` with a folder on a file system of its own, which has a few MB. Fills it, and checks that
 * each store reports this, keeps its data, and continues once there is space again.
 */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { closeSync, openSync, readdirSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import type { RunStore } from '../../../src/engine/ports.ts'
import { ArtifactStore } from '../../../src/stores/artifacts/artifact-store.ts'
import { BoundedOutputStore } from '../../../src/stores/outputs/bounded.ts'
import { FileOutputStore } from '../../../src/stores/outputs/files.ts'
import { testAttempt } from './outputs-fixture.ts'
import { openTestStore, testEvents, testSpec } from './runs-fixture.ts'

const dir = process.argv[2]!
const ballast = path.join(dir, 'ballast')

function fillDisk(): void {
  const descriptor = openSync(ballast, 'w')
  try {
    for (const bytes of [65536, 4096, 1]) {
      try {
        for (;;) writeSync(descriptor, Buffer.alloc(bytes))
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
      }
    }
  } finally {
    closeSync(descriptor)
  }
}

/** Updates until an update fails. Returns how many events are acknowledged. */
async function updateUntilFull(store: RunStore, seq: number): Promise<number> {
  for (let next = seq + 1; ; next++) {
    try {
      await store.update('run_a', {
        events: testEvents(next),
        patch: { message: `seq ${next} ${'x'.repeat(2000)}` },
      })
    } catch (error) {
      const { code, message } = error as { code?: string; message: string }
      assert.equal(code, 'disk_full')
      assert.ok(message.includes(dir), message)
      return next - 1
    }
  }
}

for (const kind of ['sqlite', 'file'] as const) {
  const folder = path.join(dir, kind)
  const store = await openTestStore(kind, folder)
  await store.create(testSpec('run_a'), testEvents(1))
  fillDisk()
  const stored = await updateUntilFull(store, 1)
  await assert.rejects(store.create(testSpec('run_b', { vars: { A: 'x'.repeat(2_000_000) } }), []), {
    code: 'disk_full',
  })
  assert.deepEqual(await store.events('run_a', 0, 1e6), testEvents(1, stored))
  assert.equal((await store.get('run_a'))?.last_seq, stored)
  rmSync(ballast)
  await store.update('run_a', { events: testEvents(stored + 1), patch: { message: 'again' } })
  await store.create(testSpec('run_b'), [])
  await store.close()
  const again = await openTestStore(kind, folder)
  assert.deepEqual(await again.events('run_a', 0, 1e6), testEvents(1, stored + 1))
  assert.equal((await again.get('run_a'))?.message, 'again')
  assert.equal((await again.list({ limit: 10 })).runs.length, 2)
  await again.close()
  rmSync(folder, { recursive: true })
}

const artifacts = new ArtifactStore({ dir: path.join(dir, 'artifacts') })
const place = { tenant: 'default', owner: 'ann', run_id: 'run_a' }
const measured = (content: Buffer) => ({ bytes: content.length, sha256: hash('sha256', content) })
const put = (content: Buffer) => artifacts.put(place, measured(content), Readable.from([content]))
const [small, large] = [Buffer.from('kept'), Buffer.alloc(500_000, 'x')]
await put(small)
fillDisk()
await assert.rejects(put(large), { code: 'disk_full' })
assert.equal((await Readable.from(await artifacts.open(place, measured(small))).toArray()).join(''), 'kept')
rmSync(ballast)
await put(large)
assert.deepEqual(
  await Readable.from(await artifacts.open(place, measured(large)))
    .toArray()
    .then(Buffer.concat),
  large,
)
rmSync(path.join(dir, 'artifacts'), { recursive: true })

const outputs = {
  files: new FileOutputStore({ dir: path.join(dir, 'files') }),
  bounded: new BoundedOutputStore({ spillDir: path.join(dir, 'bounded') }),
}
for (const [name, store] of Object.entries(outputs)) {
  store.begin(testAttempt('run_a.1', { max_output_bytes: 1000 }))
  const chunk = Buffer.alloc(100_000, 'x')
  await store.append('run_a.1', 'stdout', 0, chunk)
  const spare = openSync(ballast, 'w')
  const free = 1_000_000
  // Leaves less than is appended below, so that part of a chunk fits.
  for (let left = diskFree() - free; left > 0; left -= 65536) writeSync(spare, Buffer.alloc(65536))
  closeSync(spare)
  let length = chunk.length
  await assert.rejects(
    async () => {
      for (;;) length = await store.append('run_a.1', 'stdout', length, chunk)
    },
    { code: 'disk_full' },
  )
  assert.equal(await store.length('run_a.1', 'stdout'), length)
  assert.equal(statSync(path.join(dir, name, 'run_a', '1.stdout')).size, length)
  rmSync(ballast)
  await store.append('run_a.1', 'stdout', length, chunk)
  assert.equal((await store.seal('run_a.1', 'stdout', true)).length, length + chunk.length)
  await store.remove('run_a')
  await store.close()
}
assert.deepEqual(readdirSync(dir, { recursive: true }).sort(), ['bounded', 'files'])

function diskFree(): number {
  const { bavail, bsize } = statfsSync(dir)
  return bavail * bsize
}
