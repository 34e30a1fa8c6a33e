import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unsentOf } from './unsent.ts'

test('text that was typed while another was being sent is left', () => {
  assert.equal(unsentOf('say a', 'say a'), '')
  assert.equal(unsentOf('say a and b', 'say a'), 'and b')
  assert.equal(unsentOf('something else', 'say a'), 'something else')
  assert.equal(unsentOf('', 'say a'), '')
})
