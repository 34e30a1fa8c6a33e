import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { TailFile } from '../../platform/tail-file.ts'
import { LineReader, LineWriter, MAX_LINE_BYTES } from './line-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('lines are passed on once they are complete, up to the requested offset', async () => {
  const path = join(folder, 'wire')
  writeFileSync(path, 'one\ntwo\nthr')
  const file = new TailFile(path)
  const wire = new LineReader(file)
  const lines: string[] = []
  const take = (line: string) => lines.push(line) > 0
  await wire.read(4, take)
  assert.deepEqual([lines, wire.offset], [['one'], 4])
  await wire.read(file.size, take)
  assert.deepEqual([lines, wire.offset], [['one', 'two'], 8])
  appendFileSync(path, 'ee\nlast')
  file.refresh()
  await wire.read(file.size, take, true)
  assert.deepEqual([lines, wire.offset], [['one', 'two', 'three', 'last'], 18])
  file.close()
})

test('reading stops on request, and continues from there', async () => {
  const path = join(folder, 'stop')
  writeFileSync(path, 'a\nb\nc\n')
  const file = new TailFile(path)
  const wire = new LineReader(file)
  const lines: string[] = []
  for (let i = 0; i < 3; i++) await wire.read(file.size, (line) => lines.push(line) < 0)
  assert.deepEqual(lines, ['a', 'b', 'c'])
  file.close()
})

test('a line too long for any protocol is skipped, and does not stay in memory', async () => {
  const path = join(folder, 'long')
  writeFileSync(path, `${'x'.repeat(MAX_LINE_BYTES + 1)}\nfine\n`)
  const file = new TailFile(path)
  const lines: string[] = []
  await new LineReader(file).read(file.size, (line) => lines.push(line) > 0)
  assert.deepEqual(lines, ['fine'])
  file.close()
})

test('resent lines are compared: a line that was cut off is completed, and a different one is refused', () => {
  const path = join(folder, 'input')
  const first = new LineWriter(path)
  first.send('one')
  first.send('two')
  first.close()
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, -2))
  const again = new LineWriter(path)
  again.send('one')
  again.send('two')
  again.send('three')
  again.close()
  assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\nthree\n')
  const other = new LineWriter(path)
  assert.throws(() => other.send('other'), /something else/)
  other.close()
})
