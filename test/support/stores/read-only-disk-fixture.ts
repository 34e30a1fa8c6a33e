/** Run by `bad-disk.test.ts` with a folder on a file system of its own, which it makes read-only under the stores. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { FileOutputStore } from '../../../src/stores/outputs/files.ts'
import { openTestStore, testEvents, testSpec } from './runs-fixture.ts'

const dir = process.argv[2]!
const failed = (error: { code?: string; message: string; hint?: string }): boolean =>
  error.code === 'store_failed' && error.message.includes(dir) && error.hint !== undefined

for (const kind of ['sqlite', 'file'] as const) {
  const store = await openTestStore(kind, path.join(dir, kind))
  await store.create(testSpec('run_a'), testEvents(1))
  await store.close()
}
const outputs = new FileOutputStore({ dir: path.join(dir, 'outputs') })
await outputs.append('run_a.1', 'stdout', 0, Buffer.from('kept'))
await outputs.close()

execFileSync('mount', ['-o', 'remount,ro', dir])

await assert.rejects(openTestStore('sqlite', path.join(dir, 'sqlite')), failed)

const files = await openTestStore('file', path.join(dir, 'file'))
await assert.rejects(files.update('run_a', { events: testEvents(2) }), failed)
await assert.rejects(files.create(testSpec('run_b'), []), failed)
assert.deepEqual(await files.events('run_a', 0, 10), testEvents(1))

await assert.rejects(outputs.append('run_a.1', 'stdout', 4, Buffer.from('more')), failed)
await assert.rejects(outputs.append('run_a.2', 'stdout', 0, Buffer.from('more')), failed)
assert.equal((await outputs.read('run_a.1', 'stdout', 0, 10)).toString(), 'kept')
await outputs.close()
