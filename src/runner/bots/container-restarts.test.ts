import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { bootId } from '../../platform/proc.ts'
import type { ContainerEvent } from '../docker/docker-engine.ts'
import { BotRecord } from './bot-record.ts'
import { ContainerRestarts, type ContainerRestartsOptions } from './container-restarts.ts'

const exited = {
  ...({ type: 'exited', exitCode: 1, oom: false } as const),
  startedAt: new Date(1_000_000).toISOString(),
  finishedAt: new Date(2_000_000).toISOString(),
}

/** Returns the end of a bot without restarts, whose engine was never found away and remembers all of its time. */
async function endOf(t: TestContext, boot: string, seen: ContainerEvent['type'][]) {
  const dir = mkdtempSync(join(tmpdir(), 'errand-restarts-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const record = new BotRecord(join(dir, 'bot'))
  record.keep({ boot })
  const restarts = new ContainerRestarts({
    engine: { history: async () => ({ seen: new Set(seen), knownFromMs: Number.POSITIVE_INFINITY }) },
    presence: { wasAwaySince: () => false },
    id: 'a',
    plan: { restart: { policy: 'no' } },
    record,
    limits: {},
    report: () => assert.fail('it is not started again'),
    patiently: (ask: () => Promise<unknown>) => ask(),
    ...{ halt: new AbortController().signal, leave: new AbortController().signal },
  } as unknown as ContainerRestartsOptions)
  return await restarts.after(exited)
}

test("an end that the engine has not seen since a reboot counts as the machine's, however busy the engine was", async (t) => {
  const lost = { type: 'lost', why: 'Its machine restarted, and it has no --restart.' }
  assert.deepEqual(await endOf(t, 'another', []), lost)
  assert.equal((await endOf(t, bootId(), []))?.type, 'exited')
  assert.equal((await endOf(t, 'another', ['start', 'ended']))?.type, 'exited')
})
