import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { VAR_NAME_RULE } from '../../contract/names.ts'
import { ExportScanner } from './exported-variables.ts'

function scan(...chunks: (string | Buffer)[]) {
  const scanner = new ExportScanner()
  for (const chunk of chunks) scanner.push(Buffer.from(chunk))
  scanner.end()
  return { ...scanner.found.toRecord() }
}

test('lines that start with the prefix become variables, and the last one of a name counts', () => {
  assert.deepEqual(scan('a\nBOPS_EXPORT:A=1\nx BOPS_EXPORT:B=2\nBOPS_EXPORT:A=3=4\nBOPS_EXPORT:C=\n'), {
    A: '3=4',
    C: '',
  })
})

test('CRLF is tolerated, and a last line without its newline counts', () => {
  assert.deepEqual(scan('BOPS_EXPORT:A=1\r\nBOPS_EXPORT:B=2'), { A: '1', B: '2' })
})

test('bad names, NUL and invalid UTF-8 break nothing', () => {
  const text = Buffer.from(
    'BOPS_EXPORT:1A=x\nBOPS_EXPORT:=x\nBOPS_EXPORT:A\nBOPS_EXPORT:B=a\0b\nBOPS_EXPORT:__proto__=p\nBOPS_EXPORT:C=',
  )
  assert.deepEqual(Object.entries(scan(Buffer.concat([text, Buffer.from([0xff, 10])]))), [
    ['B', 'ab'],
    ['C', '\ufffd'],
  ])
})

test('lines that look like exports but are invalid are reported with the reason, up to a readable number', () => {
  const warningOf = (text: string) => {
    const scanner = new ExportScanner()
    for (const byte of Buffer.from(text)) scanner.push(Buffer.from([byte]))
    scanner.end()
    return scanner.warning
  }
  assert.equal(warningOf('BOPS_EXPORT:A=1\nx BOPS_EXPORT:B\nBOPS_EXPORT\n'), undefined)
  assert.equal(
    warningOf('BOPS_EXPORT:TOKEN abc\r\nBOPS_EXPORT:A=1\n'),
    'A line is not a valid export: "BOPS_EXPORT:TOKEN abc" (it has no "=").',
  )
  const long = 'x'.repeat(500)
  assert.equal(
    warningOf(`BOPS_EXPORT:1A=x\nBOPS_EXPORT:=\x1b[2J\nBOPS_EXPORT:${long}\nBOPS_EXPORT:\nBOPS_EXPORT: A=1`),
    `5 lines are not valid exports: "BOPS_EXPORT:1A=x" (${VAR_NAME_RULE}); "BOPS_EXPORT:=\\u001b[2J" (${VAR_NAME_RULE}); ` +
      `"BOPS_EXPORT:${'x'.repeat(100)}…" (it has no "="); and 2 more.`,
  )
})

test('a variable over 1 MiB is reported as too large, and the following lines are read', () => {
  const long = `BOPS_EXPORT:LONG=${'x'.repeat(1024 * 1024)}`
  for (const chunks of [
    [long.slice(0, 500_000), long.slice(500_000), '\nBOPS_EXPORT:A=1\n'],
    [long, long, '\nBOPS_EXPORT:A=1\n'],
    [`${long}\nBOPS_EXPORT:A=1\n`],
  ]) {
    const scanner = new ExportScanner()
    for (const chunk of chunks) scanner.push(Buffer.from(chunk))
    assert.deepEqual(scanner.found.toRecord(), { A: '1' })
    assert.equal(scanner.found.tooLarge, true)
  }
})

test('a long line that names no variable is ignored, however it begins', () => {
  const long = 'x'.repeat(1024 * 1024)
  for (const line of [long, `BOPS_EXPORT:${long}`, `BOPS_EXPORT:1A=${long}`, `x BOPS_EXPORT:A=${long}`]) {
    const scanner = new ExportScanner()
    for (const chunk of [line, long, '\nBOPS_EXPORT:A=1\n']) scanner.push(Buffer.from(chunk))
    assert.deepEqual(scanner.found.toRecord(), { A: '1' })
    assert.equal(scanner.found.tooLarge, false)
  }
})

test('exceeding the total limit is reported, no matter what follows', () => {
  const scanner = new ExportScanner()
  const value = 'x'.repeat(700_000)
  scanner.push(Buffer.from(`BOPS_EXPORT:A=${value}\nBOPS_EXPORT:A=${value}\n`))
  assert.equal(scanner.found.tooLarge, false)
  scanner.push(Buffer.from(`BOPS_EXPORT:B=${value}\n`))
  assert.equal(scanner.found.tooLarge, true)
})

test('the same variables are found however a stream is cut into chunks', () => {
  const piece = fc.constantFrom('BOPS_EXPORT:', 'BOPS_', 'EXPORT:', 'A=', 'B=1', '\n', '\r\n', 'ü', '=', ' ')
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 40 }),
      fc.array(fc.nat(200), { maxLength: 20 }),
      (pieces, cuts) => {
        const whole = Buffer.from(pieces.join(''))
        const places = [0, ...cuts.filter((cut) => cut < whole.length).sort((a, b) => a - b), whole.length]
        const chunks = places.slice(1).map((end, i) => whole.subarray(places[i], end))
        const lines = whole
          .toString()
          .split('\n')
          .map((line) => line.replace(/\r$/, ''))
        const expected: Record<string, string> = {}
        for (const line of lines) {
          const [, name, value] = /^BOPS_EXPORT:([A-Z_]+)=(.*)$/su.exec(line) ?? []
          if (name !== undefined) expected[name] = value!
        }
        assert.deepEqual(scan(...chunks), expected)
      },
    ),
  )
})
