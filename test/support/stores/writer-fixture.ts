/**
 * A process for tests to kill: `node testing-writer.ts <sqlite|file> <folder>` writes to eight runs at once, in
 * commits of three events, and prints `<run id> <last seq>` for each commit that was acknowledged.
 */
import { writeSync } from 'node:fs'
import type { RunStore } from '../../../src/engine/ports.ts'
import { openTestStore, testEvents, testSpec } from './runs-fixture.ts'

const [kind, dir] = process.argv.slice(2)
const store = await openTestStore(kind === 'file' ? 'file' : 'sqlite', dir!)
await Promise.all(Array.from({ length: 8 }, (_, n) => writeForever(store, `run_${n}`)))

async function writeForever(store: RunStore, runId: string): Promise<void> {
  await store.create(testSpec(runId), testEvents(1, 3), { message: 'seq 3' })
  for (let seq = 4; ; seq += 3) {
    await store.update(runId, { events: testEvents(seq, 3), patch: { message: `seq ${seq + 2}` } })
    writeSync(1, `${runId} ${seq + 2}\n`)
  }
}
