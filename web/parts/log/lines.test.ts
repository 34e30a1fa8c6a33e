import assert from 'node:assert/strict'
import { test } from 'node:test'
import { piecesOf } from './ansi.ts'
import { Lines } from './lines.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const plain = (line: string) =>
  piecesOf(line)
    .map(({ text }) => text)
    .join('')

test('a line stands where its first byte came, though the other stream comes in between', () => {
  const lines = new Lines()
  lines.add('stdout', bytes('one\ntw'))
  lines.add('stderr', bytes('warning\n'))
  lines.add('stdout', bytes('o\nthree'))
  assert.deepEqual(
    lines.all.map(({ text, stderr, whole }) => [text, stderr, whole]),
    [
      ['one', false, true],
      ['two', false, true],
      ['warning', true, true],
      ['three', false, false],
    ],
  )
})

test('a character that is cut between two pieces is one, and bytes that are no UTF-8 break nothing', () => {
  const lines = new Lines()
  const euro = bytes('€\n')
  lines.add('stdout', euro.subarray(0, 1))
  lines.add('stdout', euro.subarray(1))
  lines.add('stdout', new Uint8Array([0xff, 0x41, 0x0a]))
  assert.deepEqual(
    lines.all.map(({ text }) => text),
    ['€', '\ufffdA'],
  )
})

test('colours become classes; of other control codes nothing is left', () => {
  assert.deepEqual(piecesOf('\x1b[1;31mred\x1b[0m plain\x1b[38;5;2m green\x1b[38;2;1;2;3m true'), [
    { text: 'red', classes: 'sgr-bold sgr-31' },
    { text: ' plain', classes: '' },
    { text: ' green', classes: 'sgr-32' },
    { text: ' true', classes: '' },
  ])
  assert.equal(plain('\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\x1b[2J\x1b[10;10Hend\x07'), 'linkend')
})

test('of a progress bar the last state stays', () => {
  assert.equal(plain('10 %\r50 %\r100 %'), '100 %')
  assert.equal(plain('100 %\r\x1b[K'), '100 %')
})

test('marks that turn the writing around are shown', () => {
  assert.equal(plain('rm \u202etxt.exe'), 'rm <U+202E>txt.exe')
})
