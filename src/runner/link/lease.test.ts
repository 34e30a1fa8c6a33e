import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { HeldAttempt } from '../ports.ts'
import { Lease } from './lease.ts'

/** Makes a runner with one attempt of each kind, and a clock that moves only when it is set. */
function lease(t: TestContext, { file, atMs = 1_000_000 }: { file?: string; atMs?: number } = {}) {
  const ended: string[] = []
  const held = (['stop', 'continue', undefined] as const).map((on_disconnect) => ({
    spec: { attempt_id: `run_${on_disconnect}.1`, on_disconnect },
    ended: false,
    endAsLost: (graceMs: number, message: string) => ended.push(`${on_disconnect} ${graceMs} ${message}`),
  })) as unknown as HeldAttempt[]
  const clock = { ms: atMs }
  const logged: string[] = []
  const lease = new Lease({
    runnerId: 'r1',
    held: () => held,
    file,
    log: (message) => logged.push(message),
    now: () => clock.ms,
  })
  t.after(() => lease.close())
  /** Advances the clock, and the timer with it. */
  const pass = (ms: number) => {
    for (const endMs = clock.ms + ms; clock.ms < endMs; ) {
      clock.ms = Math.min(endMs, clock.ms + 500)
      lease.look()
    }
  }
  return { lease, ended, clock, logged, pass }
}

function tempFile(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'errand-lease-'))
  t.after(() => rmSync(dir, { recursive: true }))
  return join(dir, 'lease.json')
}

test('work that could start elsewhere is ended once, with its grace period over before the hub gives it up', (t) => {
  const { lease: it, ended, clock, logged, pass } = lease(t)
  it.welcomed(60_000, clock.ms)
  pass(47_500)
  assert.deepEqual(ended, [])
  pass(500)
  assert.equal(ended.length, 1)
  assert.match(
    ended[0]!,
    /^stop 10000 Runner "r1" was cut off from the hub for 48 s, and ended this attempt before another one/,
  )
  pass(60_000)
  assert.equal(ended.length, 1)
  assert.equal(logged.length, 1)
  assert.match(logged[0]!, /\(on_disconnect: stop\): run_stop\.1\.$/)
})

test('the lease counts from when the answered message was sent, not from the answer', (t) => {
  const { lease: it, ended, clock, pass } = lease(t)
  it.welcomed(60_000, clock.ms)
  const sentAtMs = clock.ms
  pass(40_000)
  it.answered(sentAtMs + 10_000, true)
  pass(17_500)
  assert.deepEqual(ended, [])
  pass(1_000)
  assert.equal(ended.length, 1)
})

test('older, invented and invalid answers change nothing', (t) => {
  const { lease: it, ended, clock, pass } = lease(t)
  it.welcomed(60_000, clock.ms)
  for (const sentAtMs of [clock.ms + 1_000_000, clock.ms - 50_000, Number.NaN, Number.POSITIVE_INFINITY])
    it.answered(sentAtMs, true)
  pass(48_000)
  assert.equal(ended.length, 1)
})

test('a short lease reserves a share of itself for the grace period and for delays', (t) => {
  const { lease: it, ended, clock, pass } = lease(t)
  it.welcomed(4_000, clock.ms)
  pass(2_500)
  assert.deepEqual(ended, [])
  pass(500)
  assert.match(ended[0]!, /^stop 600 /)
})

test('a hub that has not yet said welcome keeps the lease, but does not renew an expired one', (t) => {
  const { lease: it, ended, clock, pass } = lease(t)
  it.welcomed(60_000, clock.ms)
  pass(40_000)
  it.answered(clock.ms, false)
  pass(40_000)
  assert.deepEqual(ended, [])
  clock.ms += 9_000
  it.answered(clock.ms, false)
  pass(6_000)
  assert.equal(ended.length, 1)
})

test('a machine that was asleep asks the hub before it ends anything', (t) => {
  const { lease: it, ended, clock, pass } = lease(t)
  it.welcomed(60_000, clock.ms)
  clock.ms += 3_600_000
  it.look()
  pass(4_500)
  assert.deepEqual(ended, [], 'the lease asks')
  it.answered(clock.ms, true)
  pass(47_500)
  assert.deepEqual(ended, [], 'the link is as before')
  clock.ms += 3_600_000
  it.look()
  pass(5_000)
  assert.equal(ended.length, 1, 'nobody answers')
  assert.match(ended[0]!, /^stop 0 /, 'no time is left for a grace period')
})

test("the next process of the runner continues the previous one's count", (t) => {
  const file = tempFile(t)
  const first = lease(t, { file })
  first.lease.welcomed(60_000, first.clock.ms)
  first.pass(10_000)
  const next = lease(t, { file, atMs: first.clock.ms + 20_000 })
  next.pass(17_500)
  assert.deepEqual(next.ended, [])
  next.pass(500)
  assert.match(next.ended[0]!, /cut off from the hub for 48 s/)
})

test('a process that was away for longer asks first, and so does one without a stored lease', (t) => {
  const file = tempFile(t)
  const first = lease(t, { file })
  first.lease.welcomed(60_000, first.clock.ms)
  const late = lease(t, { file, atMs: first.clock.ms + 600_000 })
  late.pass(4_500)
  assert.deepEqual(late.ended, [])
  late.lease.welcomed(60_000, late.clock.ms)
  late.pass(40_000)
  assert.deepEqual(late.ended, [], 'the hub is away as well')

  for (const text of ['', '{"boot_id":"another boot","answered_at_ms":1000000,"lost_after_ms":60000}']) {
    writeFileSync(file, text)
    const unknowing = lease(t, { file, atMs: 1_001_000 })
    unknowing.pass(4_500)
    assert.deepEqual(unknowing.ended, [], text)
    unknowing.pass(500)
    assert.equal(unknowing.ended.length, 1, text)
  }
  assert.match(readFileSync(file, 'utf8'), /another boot/, 'a process without a welcome writes nothing')
})
