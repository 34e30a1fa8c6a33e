import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually } from '../../../test/support/errand-command.ts'
import { HubRetry } from '../link/hub-retry.ts'
import type { HeldAttempt } from '../ports.ts'
import { OwnEnd } from './own-end.ts'

/** Makes an attempt that is over this many looks after the order to end; undefined: never. */
function attempt({ ended = false, endsAfter = 2 }: { ended?: boolean; endsAfter?: number } = {}) {
  const reported: string[] = []
  let checks = 0
  const held = {
    spec: { attempt_id: 'run_a.1' },
    get ended() {
      return ended || (reported.length > 0 && ++checks > endsAfter)
    },
    endAsLost: (graceMs: number, message: string) => void reported.push(`${graceMs} ${message}`),
  } as unknown as HeldAttempt
  return { held, told: reported }
}

function opened(t: TestContext, work: () => { attempts: HeldAttempt[]; runs: string[] }) {
  const folder = join(mkdtempSync(join(tmpdir(), 'errand-own-end-')), 'runner')
  mkdirSync(folder)
  t.after(() => rmSync(join(folder, '..'), { recursive: true, force: true }))
  const away = { ms: undefined as number | undefined }
  const messages: string[] = []
  let ends = 0
  let checks = 0
  const own = new OwnEnd({
    ...{ folder, everyMs: 5, spareMs: 500, graceMs: 50 },
    retry: {
      lostAfterMs: 1_000,
      get unlinkedMs() {
        checks++
        return away.ms
      },
    },
    work,
    log: (message) => void messages.push(message),
    end: () => void ends++,
  })
  t.after(() => own.close())
  const hasChecked = async () => {
    const before = checks
    await eventually('some looks happen', () => checks > before + 3)
  }
  return { own, folder, away, said: messages, looked: hasChecked, ends: () => ends }
}

test('an idle provisioned runner ends a minute after its hub has given it up, and not before', async (t) => {
  const { away, said, ends, own, looked } = opened(t, () => ({ attempts: [], runs: [] }))
  for (const ms of [undefined, 1_499]) {
    away.ms = ms
    await looked()
    assert.equal(ends(), 0)
  }
  away.ms = 1_500
  await eventually('it ends', () => ends() === 1)
  assert.match(
    said[0]!,
    /^This provisioned runner has not reached its hub for 2 s and has no work, so it exits\.$/,
  )
  assert.equal(own.folderGone, false)
})

test('running work keeps the runner until it ends, and unrequested results keep it for a day', async (t) => {
  const [going, over] = [attempt(), attempt({ ended: true })]
  const work = { attempts: [going.held], runs: ['run_a'] }
  const { away, ends, looked } = opened(t, () => work)
  away.ms = 48 * 3_600_000
  await looked()
  for (const left of [
    { attempts: [over.held], runs: [] },
    { attempts: [], runs: ['run_a'] },
  ]) {
    Object.assign(work, left)
    away.ms = 23 * 3_600_000
    await looked()
    assert.equal(ends(), 0)
  }
  assert.deepEqual(going.told, [])
  away.ms = 24 * 3_600_000
  await eventually('it ends', () => ends() === 1)
})

test('if the folder is gone or replaced, running work is ended first, even while the hub is reachable', async (t) => {
  for (const again of [false, true]) {
    const { held, told } = attempt()
    const { own, folder, said, ends } = opened(t, () => ({ attempts: [held], runs: [] }))
    rmSync(folder, { recursive: true })
    if (again) mkdirSync(folder)
    await eventually('it ends', () => ends() === 1)
    assert.ok(own.folderGone)
    assert.deepEqual(told, [`50 The folder ${folder} of its runner is gone.`])
    assert.match(said[0]!, /is gone, so nothing can be reported\. This runner exits and ends run_a\.1\.$/)
  }
})

test('the retry knows how long the link has been down', async () => {
  const retry = new HubRetry()
  await eventually('some time passes', () => retry.unlinkedMs! > 20)
  const linkedAtMs = performance.now()
  retry.linked(5_000)
  assert.deepEqual([retry.unlinkedMs, retry.lostAfterMs], [undefined, 5_000])
  retry.unlinked()
  assert.ok(retry.unlinkedMs! <= performance.now() - linkedAtMs)
  await eventually('some time passes', () => retry.unlinkedMs! > 20)
  // A try that fails.
  retry.unlinked()
  assert.ok(retry.unlinkedMs! > 20)
})
