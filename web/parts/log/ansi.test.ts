import assert from 'node:assert/strict'
import { test } from 'node:test'
import { piecesOf } from './ansi.ts'

const plain = (line: string) =>
  piecesOf(line)
    .map(({ text }) => text)
    .join('')

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

test('what is searched for is marked through colours and behind carriage returns', () => {
  const hits = (line: string, ...ranges: [number, number][]) =>
    piecesOf(line, ranges).flatMap(({ text, isHit }) => (isHit ? [text] : []))
  assert.deepEqual(hits('a ti\x1b[31mmeo\x1b[0mut b timeout', [2, 9], [12, 19]), [
    'ti',
    'meo',
    'ut',
    'timeout',
  ])
  assert.deepEqual(hits('10 %\r100 %', [5, 8]), ['100'])
  assert.deepEqual(hits('10 %\r100 %', [0, 2]), [])
})

test('addresses of the web may be followed, and others may not', () => {
  const links = (line: string) => piecesOf(line).flatMap(({ href }) => (href === undefined ? [] : [href]))
  assert.deepEqual(links('see https://a.example/b?c=1, (http://d.example/).'), [
    'https://a.example/b?c=1',
    'http://d.example/',
  ])
  assert.deepEqual(links('javascript:alert(1) ftp://a.example file:///etc data:text/html,x'), [])
  assert.equal(plain('see https://a.example/b.'), 'see https://a.example/b.')
})
