import assert from 'node:assert/strict'
import test from 'node:test'
import type { Pool } from '../../contract/fleet/provisioning.ts'
import { GroupSizes } from './group-sizes.ts'

const HOUR_MS = 3_600_000
const GB = 1024 ** 3
const pool: Pool = {
  ...{ group: 'builders', provisioner: 'docker', image: 'errand', max: 3, spare: 0, idle_seconds: 60 },
  ...{ start_seconds: 300, paused: false, labels: {} },
}
const [small, large] = [
  { cpus: 1, memoryBytes: GB },
  { cpus: 8, memoryBytes: GB },
]

test('the largest size that runners have reported within an hour counts, separately for each group', () => {
  const sizes = new GroupSizes()
  assert.deepEqual(sizes.of(pool, 0), [])
  sizes.note(pool, large, 0)
  sizes.note(pool, small, HOUR_MS / 2)
  assert.deepEqual(sizes.of(pool, HOUR_MS / 2), [large])
  const high = { cpus: 1, memoryBytes: 9 * GB }
  sizes.note(pool, high, HOUR_MS / 2)
  assert.deepEqual(sizes.of(pool, HOUR_MS / 2), [large, high])
  assert.deepEqual(sizes.of({ ...pool, group: 'other' }, HOUR_MS / 2), [])
  assert.deepEqual(sizes.of(pool, HOUR_MS), [high], 'the large one has not been seen for an hour')
})

test('once the runners of a group change, the sizes of the earlier ones no longer count', () => {
  const sizes = new GroupSizes()
  sizes.note(pool, small, 0)
  assert.deepEqual(sizes.of({ ...pool, max: 9 }, 0), [small])
  const other = { ...pool, cpus: 8 }
  assert.deepEqual(sizes.of(other, 0), [])
  sizes.note(other, large, 0)
  assert.deepEqual(sizes.of(other, 0), [large])
})
