import assert from 'node:assert/strict'
import test from 'node:test'
import { parseDuration } from './duration.ts'

test('a duration is a number and a unit', () => {
  assert.deepEqual(['90s', '15m', '12h', '30d', '2w', '0.5h', ' 1d '].map(parseDuration), [
    ...[90_000, 900_000, 43_200_000, 2_592_000_000, 1_209_600_000, 1_800_000, 86_400_000],
  ])
  for (const text of ['', '30', 'd', '-1d', '1y', '1d2h', '1e3s'])
    assert.equal(parseDuration(text), undefined)
})
