import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LastErrorLine } from './last-error-line.ts'

function lastOf(text: string | Buffer, pieceBytes = 7): string | undefined {
  const bytes = Buffer.from(text as string)
  const line = new LastErrorLine()
  for (let at = 0; at < bytes.length; at += pieceBytes) line.push(bytes.subarray(at, at + pieceBytes))
  return line.text
}

test('the last line with content counts, without colours and control codes, however it is cut', () => {
  assert.equal(lastOf(''), undefined)
  assert.equal(lastOf('\n \n\x1b[0m\n'), undefined)
  assert.equal(
    lastOf('first\n\x1b[1;31merror:\x1b[0m köln is gone\r\n\n  \n\x1b[0m\n'),
    'error: köln is gone',
  )
  assert.equal(lastOf('10 %\r50 %\r100 %'), '100 %')
  assert.equal(lastOf('\x1b]8;;http://x\x07link\x1b]8;;\x07\x08\tend\u202e!'), 'link  end !')
})

test('a long line is cut after 200 characters, and not inside one', () => {
  assert.equal(lastOf('x'.repeat(200)), 'x'.repeat(200))
  assert.equal(lastOf(`${'x'.repeat(198)}😀😀`), `${'x'.repeat(198)}…`)
  const seenFromWithin = lastOf(`head ${'ü'.repeat(10_000)}`, 999)!
  assert.equal(seenFromWithin, `…${'ü'.repeat(198)}…`)
})
