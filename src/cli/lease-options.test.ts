import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from './command.ts'
import { leaseOf } from './lease-options.ts'

test('heartbeat and lease come from the options, else the environment, else they are the usual', () => {
  assert.deepEqual(leaseOf({}, {}), { heartbeatMs: 5_000, lostAfterMs: 60_000 })
  const env = { ERRAND_HEARTBEAT: '2s', ERRAND_LOST_AFTER: '10m' }
  assert.deepEqual(leaseOf({}, env), { heartbeatMs: 2_000, lostAfterMs: 600_000 })
  assert.deepEqual(leaseOf({ heartbeat: '0.5s' }, env), { heartbeatMs: 500, lostAfterMs: 600_000 })
})

test('a time that is none, too short or too long is refused, and said which', () => {
  for (const text of ['5', 'soon', '0s', '0.05s', '4w', '-1s'])
    assert.throws(
      () => leaseOf({ 'lost-after': text }, {}),
      (error: Error) => error instanceof UsageError && error.message.includes(`--lost-after is "${text}"`),
    )
  assert.throws(() => leaseOf({}, { ERRAND_HEARTBEAT: 'x' }), /ERRAND_HEARTBEAT is "x"/)
})
