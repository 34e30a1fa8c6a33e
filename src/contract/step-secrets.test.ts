import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_SECRET_BYTES, secretFault, secretText, secretWarnings } from './step-secrets.ts'

test('a value is text of a limited size that an environment can hold', () => {
  for (const good of ['x', 'a\nb\n', 'ü'.repeat(MAX_SECRET_BYTES / 2)])
    assert.equal(secretFault(good), undefined)
  for (const bad of [undefined, 5, '', 'a\0b', '\ud800', `${'ü'.repeat(MAX_SECRET_BYTES / 2)}x`])
    assert.equal(typeof secretFault(bad), 'string')
})

test('warns of a value too short to be masked, not counting blanks at its ends', () => {
  assert.equal(secretWarnings('12345 \n').length, 1)
  assert.equal(secretWarnings('üüü').length, 0)
})

test('drops only the line break at the end of a single line', () => {
  assert.deepEqual(['a\n', 'a\r\n', 'a', '\n', 'a\nb\n', 'a\n\n', 'a b \n'].map(secretText), [
    'a',
    'a',
    'a',
    '',
    'a\nb\n',
    'a\n\n',
    'a b ',
  ])
})
