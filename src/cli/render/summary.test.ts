import assert from 'node:assert/strict'
import test from 'node:test'
import { whyText } from './summary.ts'

test('why something failed is one line, and says the exit code or else what the message says of it', () => {
  assert.equal(whyText({ reason: 'exit_code', exitCode: 3, message: 'long' }), 'exit code 3')
  const message = 'Step "b" failed: The command ended with exit code 1.'
  assert.equal(whyText({ reason: 'exit_code', message }), message)
  assert.equal(whyText({ reason: 'host_unreachable', message: 'web1\nmore' }), 'host unreachable: web1')
  assert.equal(whyText({}), '')
})
