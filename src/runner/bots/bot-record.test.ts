import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Exited, nextRestart, type PlannedRestart } from './bot-record.ts'

const policy = { policy: 'on-failure', max_restarts: 8 } as const
const exited = (minute: number, more: Partial<Exited> = {}): Exited => ({
  type: 'exited',
  exitCode: 1,
  oom: false,
  startedAt: new Date(minute * 60_000).toISOString(),
  finishedAt: new Date(minute * 60_000 + 1_000).toISOString(),
  ...more,
})

test('waits double from one second to a minute until the maximum number of restarts', () => {
  const waits: number[] = []
  let before: PlannedRestart | undefined
  for (let minute = 1; ; minute++) {
    const next = nextRestart(policy, exited(minute), before, 0)
    if (next === undefined) break
    waits.push(next.dueAtMs)
    before = next
  }
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
})

test('ten minutes of running reset the count, and an end is never counted twice', () => {
  const before = { after: exited(1).finishedAt, inARow: 8, dueAtMs: 77 }
  const long = exited(2, { finishedAt: new Date(12 * 60_000).toISOString() })
  assert.equal(nextRestart(policy, long, before, 0)?.inARow, 1)
  assert.equal(nextRestart(policy, exited(1), before, 5_000), before)
})

test('a success, and any end with the policy no, causes no restart', () => {
  assert.equal(nextRestart(policy, exited(1, { exitCode: 0 }), undefined, 0), undefined)
  assert.equal(nextRestart({ policy: 'no', max_restarts: 5 }, exited(1), undefined, 0), undefined)
})

test('always and unless-stopped also restart after a success, without limit', () => {
  for (const policy of ['always', 'unless-stopped'] as const) {
    const stored = { policy, max_restarts: 1 }
    let before: PlannedRestart | undefined
    for (let minute = 1; minute <= 20; minute++)
      before = nextRestart(stored, exited(minute, { exitCode: 0 }), before, 0)
    assert.deepEqual([before?.inARow, before?.dueAtMs], [20, 60_000])
  }
})

test('an end that counts as a failure is one with any exit code', () => {
  const good = exited(1, { exitCode: 0 })
  assert.equal(nextRestart(policy, good, undefined, 0, { failed: true })?.inARow, 1)
  assert.equal(nextRestart({ ...policy, policy: 'no' }, good, undefined, 0, { failed: true }), undefined)
})
