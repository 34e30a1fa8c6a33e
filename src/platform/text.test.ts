import assert from 'node:assert/strict'
import test from 'node:test'
import { StreamLines } from './text.ts'

test('each stream is split into lines on its own, however its text was cut', () => {
  const lines = new StreamLines<'out' | 'err'>()
  assert.deepEqual(lines.push('out', 'one\r\ntw'), ['one'])
  assert.deepEqual(lines.push('err', 'oh'), [])
  assert.deepEqual(lines.push('out', 'o\n\nthree'), ['two', ''])
  assert.deepEqual(lines.rest(), [
    ['out', 'three'],
    ['err', 'oh'],
  ])
  assert.deepEqual(lines.rest(), [])
})

test('a line without an end is passed on in parts, without loss', () => {
  const lines = new StreamLines<'out'>()
  const text = '0123456789'.repeat(20_000)
  const parts = lines.push('out', text)
  assert.ok(parts.length > 1)
  assert.ok(parts.every(({ length }) => length <= 64 * 1024))
  assert.equal(parts.join('') + lines.rest().map(([, rest]) => rest), text)
})
