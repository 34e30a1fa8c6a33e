import assert from 'node:assert/strict'
import { test } from 'node:test'
import { piecesOf } from './ansi.ts'

const plain = (line: string) =>
  piecesOf(line)
    .map(({ text }) => text)
    .join('')

test('colours become classes, and other control codes are removed', () => {
  assert.deepEqual(piecesOf('\x1b[1;31mred\x1b[0m plain\x1b[38;5;2m green\x1b[38;2;1;2;3m true'), [
    { text: 'red', classes: 'sgr-bold sgr-31' },
    { text: ' plain', classes: '' },
    { text: ' green', classes: 'sgr-32' },
    { text: ' true', classes: '' },
  ])
  assert.equal(plain('\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\x1b[2J\x1b[10;10Hend\x07'), 'linkend')
})

test('background, inverted and extended colours become the nearest of the theme', () => {
  const classes = (line: string) => piecesOf(line).map(({ classes: one }) => one)
  assert.deepEqual(classes('\x1b[1;97;41m FAIL \x1b[49mx\x1b[0m'), [
    'sgr-bold sgr-97 sgr-back-31',
    'sgr-bold sgr-97',
  ])
  assert.deepEqual(classes('\x1b[7ma\x1b[32mb\x1b[27mc\x1b[0;40md'), [
    'sgr-back-ink',
    'sgr-back-32',
    'sgr-32',
    'sgr-back-grey',
  ])
  assert.deepEqual(classes('\x1b[38;5;208ma\x1b[38;5;21mb\x1b[38;5;244mc\x1b[48;5;236md'), [
    'sgr-33',
    'sgr-34',
    '',
    'sgr-back-grey',
  ])
  assert.deepEqual(classes('\x1b[38;2;255;80;80ma\x1b[48;2;0;120;60mb\x1b[38;2ma'), [
    'sgr-31',
    'sgr-31 sgr-back-32',
    'sgr-back-32',
  ])
})

test('a progress bar is shown in its last state', () => {
  assert.equal(plain('10 %\r50 %\r100 %'), '100 %')
  assert.equal(plain('100 %\r\x1b[K'), '100 %')
})

test('marks that reverse the writing direction are shown', () => {
  assert.equal(plain('rm \u202etxt.exe'), 'rm <U+202E>txt.exe')
})

test('search hits are marked across colours and after carriage returns', () => {
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

test('web addresses become links, and others do not', () => {
  const links = (line: string) => piecesOf(line).flatMap(({ href }) => (href === undefined ? [] : [href]))
  assert.deepEqual(links('see https://a.example/b?c=1, (http://d.example/).'), [
    'https://a.example/b?c=1',
    'http://d.example/',
  ])
  assert.deepEqual(links('javascript:alert(1) ftp://a.example file:///etc data:text/html,x'), [])
  assert.equal(plain('see https://a.example/b.'), 'see https://a.example/b.')
})
