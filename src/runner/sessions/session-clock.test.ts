import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentPlan } from '../ports.ts'
import { SessionClock } from './session-clock.ts'

const plan = {
  budget: { inactivity_seconds: 300 },
  permissions: { mode: 'ask', rules: [], ask_timeout_seconds: 10, on_ask_timeout: 'allow' },
  idle_timeout_seconds: 600,
} as unknown as AgentPlan

/** Makes clocks that are set by hand. */
function clocks() {
  const time = { atMs: 1_000_000 }
  return { time, clocks: { now: () => time.atMs, steady: () => time.atMs } }
}

const isDue = (clock: SessionClock, expiresAt: string) =>
  [...clock.due({ openQuestions: [{ requestId: 'q', expiresAt }], waits: false, waitsUntil: undefined })]
    .length > 0

test('a question that expired while the runner was away still waits for answers given in the meantime', () => {
  const { time, clocks: set } = clocks()
  const before = new SessionClock(plan, set)
  const event = before.questionEvent('q')
  assert.ok(event.type === 'asked')
  time.atMs += 10_000
  assert.equal(isDue(before, event.expires_at), true)
  const after = new SessionClock(plan, set)
  after.recovered()
  assert.equal(isDue(after, event.expires_at), false)
  time.atMs += 4_999
  assert.equal(isDue(after, event.expires_at), false)
  time.atMs += 1
  assert.equal(isDue(after, event.expires_at), true)
})
