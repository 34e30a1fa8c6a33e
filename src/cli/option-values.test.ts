import assert from 'node:assert/strict'
import test from 'node:test'
import { UsageError } from './command.ts'
import { expiresSoon, keyValues, lifetimeSeconds, momentOf, variableValues } from './option-values.ts'

test("a token's lifetime has an optional unit, and an invalid one is reported with the option", () => {
  assert.equal(lifetimeSeconds('--expires-in', undefined), undefined)
  for (const [text, seconds] of [
    ['90', 90],
    ['15m', 900],
    ['30d', 2_592_000],
  ] as const)
    assert.equal(lifetimeSeconds('--expires-in', text), seconds)
  assert.throws(() => lifetimeSeconds('--expires-in', 'soon'), /--expires-in is "soon"/)
})

test("a token's expiry is announced two weeks before", () => {
  const in_days = (days: number) =>
    expiresSoon(new Date(1_000_000 + days * 86_400_000).toISOString(), 1_000_000)
  assert.equal(expiresSoon(undefined), undefined)
  assert.deepEqual([in_days(90), in_days(14)], [undefined, undefined])
  assert.deepEqual([in_days(13.9), in_days(1.5), in_days(0.5)], ['in 13 days', 'in 1 day', 'within a day'])
})

test('a time is a date, a clock time, or how long ago; one outside of the calendar is refused', () => {
  assert.equal(momentOf('--since', '2026-01-31'), '2026-01-31T00:00:00.000Z')
  assert.equal(momentOf('--since', '2026-01-31T10:00:00+02:00'), '2026-01-31T08:00:00.000Z')
  assert.ok(Date.parse(momentOf('--since', '1h')!) <= Date.now() - 3_600_000)
  for (const text of ['99999999999d', '2026', 'soon', '', '2026-13-01'])
    assert.throws(() => momentOf('--since', text), UsageError, text)
})

test('an invalid variable name is refused with the option that contains it', () => {
  assert.deepEqual(variableValues('--var', ['A=1', '_b2=x=y']), { A: '1', _b2: 'x=y' })
  for (const text of ['1X=2', 'a-b=1', 'A B=1', '=1', 'A', '__proto__=1'])
    assert.throws(
      () => variableValues('--var', [text]),
      (error) => error instanceof UsageError && error.message.startsWith('--var '),
    )
  assert.deepEqual(keyValues('--label', ['a-b=1']), { 'a-b': '1' })
})
