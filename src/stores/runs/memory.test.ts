import assert from 'node:assert/strict'
import { it } from 'node:test'
import { testSpec } from '../../../test/support/stores/runs-fixture.ts'
import { MemoryRunStore } from './memory.ts'

it('warns once, with the first run, that nothing is stored permanently', async () => {
  const warnings: string[] = []
  const store = new MemoryRunStore({ warn: (message) => warnings.push(message) })
  assert.deepEqual(warnings, [])
  await store.create(testSpec('run_a'), [])
  await store.create(testSpec('run_b'), [])
  assert.equal(warnings.length, 1)
  assert.match(warnings[0]!, /lost when this process ends/)
})
