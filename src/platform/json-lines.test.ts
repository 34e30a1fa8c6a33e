import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { JsonLines, readJsonLines } from './json-lines.ts'

function newFile(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'errand-json-lines-'))
  t.after(() => rmSync(dir, { recursive: true }))
  return join(dir, 'log.jsonl')
}

const number = (text: string): number | undefined => {
  const value: unknown = JSON.parse(text)
  return typeof value === 'number' ? value : undefined
}

test('entries are there when the file is reopened, and only its user may read it', (t) => {
  const file = newFile(t)
  const log = new JsonLines<{ a: string }>(file)
  assert.deepEqual(log.entries, [])
  log.append({ a: 'ü\n' })
  log.append({ a: 'b' })
  log.close()
  log.close()
  assert.throws(() => log.append({ a: 'c' }), /log\.jsonl is closed/)
  const again = new JsonLines<{ a: string }>(file, { durable: true })
  assert.deepEqual([again.entries, again.dropped], [[{ a: 'ü\n' }, { a: 'b' }], 0])
  again.append({ a: 'c' })
  again.close()
  assert.equal(readFileSync(file, 'utf8'), '{"a":"ü\\n"}\n{"a":"b"}\n{"a":"c"}\n')
  assert.equal(statSync(file).mode & 0o777, 0o600)
})

for (const [what, end] of [
  ['a part of a line', '12'],
  ['a line that is not JSON, with all that follows', '\0\0\n3\n'],
  ['a line that is not an entry, with all that follows', '"x"\n3\n'],
] as const)
  test(`opening cuts off ${what}, and the next entry follows the last valid one`, (t) => {
    const file = newFile(t)
    writeFileSync(file, `1\n2\n${end}`)
    const log = new JsonLines<number>(file, { parse: number })
    assert.deepEqual([log.entries, log.dropped], [[1, 2], Buffer.byteLength(end)])
    log.append(4)
    log.close()
    assert.equal(readFileSync(file, 'utf8'), '1\n2\n4\n')
  })

test('a fresh log is empty even if the file had content', (t) => {
  const file = newFile(t)
  writeFileSync(file, '1\n2\n')
  const log = new JsonLines<number>(file, { fresh: true })
  log.append(3)
  log.close()
  assert.deepEqual([log.entries, readFileSync(file, 'utf8')], [[], '3\n'])
})

test('a reader continues from its byte, skips invalid entries, and waits for the end of a line', (t) => {
  const file = newFile(t)
  assert.deepEqual(readJsonLines(file, 0, number), { entries: [], offset: 0 })
  writeFileSync(file, '1\n"x"\n2\n3')
  assert.deepEqual(readJsonLines(file, 0, number), { entries: [1, 2], offset: 8 })
  assert.deepEqual(readJsonLines(file, 8, number), { entries: [], offset: 8 })
  appendFileSync(file, '4\n')
  assert.deepEqual(readJsonLines(file, 8, number), { entries: [34], offset: 11 })
  assert.deepEqual(readJsonLines(file, 11, number), { entries: [], offset: 11 })
})
