import assert from 'node:assert/strict'
import test from 'node:test'
import { newRunId, randomText } from './ids.ts'

test('a random text has the requested length, and no two are the same', () => {
  assert.match(randomText(26), /^[0-9a-v]{26}$/)
  assert.equal(randomText(0), '')
  const made = new Set(Array.from({ length: 1000 }, () => randomText(26)))
  assert.equal(made.size, 1000)
})

test('run ids sort by time', () => {
  const ids = [1, 31, 32, 1_700_000_000_000, 1_700_000_000_001].map((nowMs) => newRunId(nowMs))
  assert.deepEqual([...ids].sort(), ids)
  for (const id of ids) assert.match(id, /^run_[0-9a-v]{20}$/)
})
