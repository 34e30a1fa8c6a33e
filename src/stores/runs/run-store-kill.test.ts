import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openTestStore, testEvents } from '../../../test/support/stores/runs-fixture.ts'

const writer = fileURLToPath(new URL('../../../test/support/stores/writer-fixture.ts', import.meta.url))

for (const kind of ['sqlite', 'file'] as const)
  it(`${kind}: acknowledged commits survive kill -9 in the middle of writing, and no commit is halved`, async (t) => {
    const dir = mkdtempSync(path.join(tmpdir(), 'errand-kill-'))
    t.after(() => rmSync(dir, { recursive: true, force: true }))
    let acknowledged = new Map<string, number>()
    for (const lines of [40, 137]) {
      if (acknowledged.size > 0) {
        await checkStore(kind, dir, acknowledged)
        rmSync(dir, { recursive: true, force: true })
      }
      acknowledged = await writeAndKill(kind, dir, lines)
    }
    await checkStore(kind, dir, acknowledged)
  })

/** Kills the writer after that many acknowledged commits; returns the last commit of each run. */
async function writeAndKill(kind: string, dir: string, lines: number): Promise<Map<string, number>> {
  const child = spawn(process.execPath, [writer, kind, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  const acknowledged = new Map<string, number>()
  let count = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const [runId, seq] = line.split(' ')
    acknowledged.set(runId!, Number(seq))
    if (++count === lines) child.kill('SIGKILL')
  }
  assert.deepEqual(await exit, [null, 'SIGKILL'])
  return acknowledged
}

async function checkStore(
  kind: 'sqlite' | 'file',
  dir: string,
  acknowledged: Map<string, number>,
): Promise<void> {
  const store = await openTestStore(kind, dir)
  assert.ok(acknowledged.size > 0)
  for (const [runId, seq] of acknowledged) {
    const run = await store.get(runId)
    const events = await store.events(runId, 0, 1_000_000)
    assert.ok(run!.last_seq >= seq, `${runId}: ${run?.last_seq} is stored, ${seq} was acknowledged`)
    assert.equal(run!.last_seq % 3, 0)
    assert.equal(run!.message, `seq ${run!.last_seq}`)
    assert.deepEqual(events, testEvents(1, run!.last_seq))
    await store.update(runId, { events: testEvents(run!.last_seq + 1), patch: { status: 'success' } })
  }
  const { runs } = await store.list({ statuses: ['success'], limit: 500 })
  assert.equal(runs.length, acknowledged.size)
  await store.close()
}
