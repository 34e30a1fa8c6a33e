import assert from 'node:assert/strict'
import test from 'node:test'
import { linesText, lineText, pieceText, terminalText } from './terminal-text.ts'

const WITH_COLOR = true
const WITHOUT_COLOR = false

test('a message of several lines becomes one line, and no carriage return hides text', () => {
  assert.equal(lineText('first\r\nsecond\rthird\x07\r\n'), 'first second third^G ')
})

test('colors stay on a terminal and end with the line; without color they are removed', () => {
  assert.equal(terminalText('\x1b[31mred', WITH_COLOR), '\x1b[31mred\x1b[0m')
  assert.equal(terminalText('\x1b[1;38;5;9mred\x1b[0m!', WITHOUT_COLOR), 'red!')
})

test('no sequence moves the cursor, clears the screen, sets a title or makes the terminal answer', () => {
  for (const sequence of [
    '\x1b[2J',
    '\x1b[10;10H',
    '\x1b[1A',
    '\x1b]0;title\x07',
    '\x1b]8;;http://x\x1b\\',
    '\x1b[?1049h',
    '\x1bc',
    '\x1bP+q\x1b\\',
    '\x1b[6n',
    '\x1b(0',
  ]) {
    assert.equal(terminalText(`a${sequence}b`, WITH_COLOR), 'ab', JSON.stringify(sequence))
  }
})

test('no escape character is left, for any bytes', () => {
  for (const tail of ['\x1b', '\x1b[', '\x1b[31', '\x1b]0;x', '\x9b2J', '\x1b\x1b[2J', '\x1b[\x1b[31m2J']) {
    const shown = terminalText(`a${tail}`, WITHOUT_COLOR)
    assert.doesNotMatch(shown, /[\x00-\x08\x0b-\x1f\x7f-\x9f]/, JSON.stringify(tail))
    assert.ok(shown.startsWith('a'))
  }
})

test('other control characters are made visible, and a tab stays', () => {
  assert.equal(terminalText('a\x00b\x07c\x08d\te', WITH_COLOR), 'a^@b^Gc^Hd\te')
})

test('a name does not reverse the text around it, and becomes one line despite any line separators', () => {
  for (const turn of ['\u061c', '\u200e', '\u200f', '\u202a', '\u202e', '\u2066', '\u2069'])
    assert.equal(lineText(`a${turn}b`), 'a\ufffdb')
  assert.equal(lineText('a\u0085b\u009b2Jc\u2028d\te'), 'a\ufffdbc d e')
  assert.equal(linesText('a\u202e\nb\r\x07'), 'a\ufffd\nb ^G')
})

test('output keeps the marks of right-to-left scripts, but nothing forces a direction', () => {
  assert.equal(terminalText('\u200fשלום\u200e', WITH_COLOR), '\u200fשלום\u200e')
  assert.equal(terminalText('a\u202ecod\u2066e', WITH_COLOR), 'a\ufffdcod\ufffde')
  assert.equal(pieceText('a\x1b[2J\u009b\u202eb\tc\n'), 'a[2J\ufffdb\tc\n')
})

test('of a progress bar that overwrites itself, the last state is shown', () => {
  assert.equal(terminalText('10%\r50%\r100%\r', WITH_COLOR), '100%')
})
