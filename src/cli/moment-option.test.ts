import assert from 'node:assert/strict'
import test from 'node:test'
import { UsageError } from './command.ts'
import { momentOf } from './moment-option.ts'

test('a moment is a date, a time, or how long ago; one that no calendar reaches is refused', () => {
  assert.equal(momentOf('--since', '2026-01-31'), '2026-01-31T00:00:00.000Z')
  assert.equal(momentOf('--since', '2026-01-31T10:00:00+02:00'), '2026-01-31T08:00:00.000Z')
  assert.ok(Date.parse(momentOf('--since', '1h')!) <= Date.now() - 3_600_000)
  for (const text of ['99999999999d', '2026', 'soon', '', '2026-13-01'])
    assert.throws(() => momentOf('--since', text), UsageError, text)
})
