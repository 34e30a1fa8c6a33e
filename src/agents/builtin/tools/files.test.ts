import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ToolFixture } from '../../../../test/support/agents/tool-fixture.ts'

test('a file can be read as a whole, by range, and in parts if it is long', async (context) => {
  const tools = new ToolFixture(context)
  const lines = Array.from({ length: 5000 }, (_, index) => `line ${index + 1} é`)
  writeFileSync(join(tools.cwd, 'long.txt'), `${lines.join('\n')}\n`)
  writeFileSync(join(tools.cwd, 'short.txt'), 'a\nb\nc')
  writeFileSync(join(tools.cwd, 'empty.txt'), '')
  const read = (path: string, more: object = {}) => tools.use('read_file', { path, ...more })
  assert.equal(await read('short.txt'), 'a\nb\nc')
  assert.equal(await read('short.txt', { first_line: 2, lines: 1 }), 'b\n… (continue with first_line 3)')
  assert.equal(await read('short.txt', { first_line: 3, lines: 9 }), 'c')
  assert.equal(await read('short.txt', { first_line: 4 }), '(the file ends before line 4)')
  assert.equal(await read('empty.txt'), '(the file is empty)')
  assert.match(await read('long.txt', { first_line: 4999, lines: 5 }), /^line 4999 é\nline 5000 é\n$/)
  // The parts together are the whole file.
  let [all, next] = ['', 1]
  for (let more = true; more; ) {
    const part = await read('long.txt', { first_line: next, lines: 700 })
    const note = /… \(continue with first_line (\d+)\)$/.exec(part)
    all += note === null ? part : part.slice(0, note.index)
    more = note !== null
    next = Number(note?.[1])
  }
  assert.equal(all, readFileSync(join(tools.cwd, 'long.txt'), 'utf8'))
  assert.match(await read('.'), /is a folder/)
  assert.match(await read('no'), /ENOENT/)
})

test('a huge file, a huge line, a binary file or a pipe does not exhaust memory or hang', async (context) => {
  const tools = new ToolFixture(context)
  writeFileSync(join(tools.cwd, 'huge.txt'), 'begin\n')
  writeFileSync(join(tools.cwd, 'line.txt'), 'x'.repeat(3_000_000))
  writeFileSync(join(tools.cwd, 'binary'), Buffer.from([1, 2, 0, 3]))
  writeFileSync(join(tools.cwd, 'latin1.txt'), Buffer.from('gr\xfc\xdfe', 'latin1'))
  truncateSync(join(tools.cwd, 'binary'), 5_000_000_000)
  writeFileSync(join(tools.cwd, 'huge.txt'), `${'A line of the huge file.\n'.repeat(40_000)}`)
  for (let size = 1; size < 6; size++) {
    const content = readFileSync(join(tools.cwd, 'huge.txt'))
    writeFileSync(join(tools.cwd, 'huge.txt'), content, { flag: 'a' })
  }
  execFileSync('mkfifo', [join(tools.cwd, 'pipe')])
  assert.match(await tools.use('read_file', { path: 'huge.txt', first_line: 1_200_000, lines: 2 }), /^A line/)
  assert.match(await tools.use('read_file', { path: 'line.txt' }), /cut within line 1;/)
  assert.match(await tools.use('read_file', { path: 'binary' }), /is binary \(5000000000 bytes\)/)
  assert.equal(await tools.use('read_file', { path: 'latin1.txt' }), 'gr\ufffd\ufffde')
  assert.match(await tools.use('read_file', { path: 'pipe' }), /not a regular file/)
  for (const path of ['huge.txt', 'binary', 'latin1.txt', 'pipe'])
    assert.match(await tools.use('edit_file', { path, old_text: 'A', new_text: 'B' }), /^Error/, path)
  assert.match(await tools.use('search', { pattern: 'line of', path: 'huge.txt' }), /left out: 1 files over/)
})

test('one exact piece of a file is replaced once, and nothing else changes', async (context) => {
  const tools = new ToolFixture(context)
  const file = join(tools.cwd, 'a.ts')
  const before = '\ufeffone $& two\r\nthree\r\nthree\r\n'
  writeFileSync(file, before)
  chmodSync(file, 0o751)
  const edit = (old_text: string, new_text: string) =>
    tools.use('edit_file', { path: 'a.ts', old_text, new_text })
  assert.match(await edit('three', 'x'), /occurs 2 times/)
  assert.match(await edit('absent', 'x'), /is not in a\.ts/)
  assert.match(await edit('one', 'one'), /are the same/)
  assert.match(await edit('', 'x'), /are not valid/)
  assert.equal(readFileSync(file, 'utf8'), before)
  assert.match(await edit('two\nthree\nthree', 'two $1\n$&'), /^Edited/)
  assert.equal(readFileSync(file, 'utf8'), '\ufeffone $& two $1\r\n$&\r\n')
  assert.equal(statSync(file).mode & 0o777, 0o751)
  const [diff] = tools.last?.diffs ?? []
  assert.deepEqual([diff?.path, diff?.old_text], [file, before])
})

test('a change to a large file is shown as only the part that changed', async (context) => {
  const tools = new ToolFixture(context)
  const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index + 1}`)
  writeFileSync(join(tools.cwd, 'large.txt'), lines.join('\n'))
  const old_text = 'line 10000\n'
  await tools.use('edit_file', { path: 'large.txt', old_text, new_text: 'new\nnewer\n' })
  assert.equal(
    tools.last?.diffs?.[0]?.unified,
    [
      '@@ -9997,7 +9997,8 @@',
      ...[' line 9997', ' line 9998', ' line 9999', '-line 10000', '+new', '+newer'],
      ...[' line 10001', ' line 10002', ' line 10003'],
    ].join('\n'),
  )
})

test('a file can be written through a link within the folder, and its mode does not change', async (context) => {
  const tools = new ToolFixture(context)
  mkdirSync(join(tools.cwd, 'real'))
  writeFileSync(join(tools.cwd, 'real/run.sh'), 'old')
  chmodSync(join(tools.cwd, 'real/run.sh'), 0o755)
  symlinkSync('real/run.sh', join(tools.cwd, 'run.sh'))
  await tools.use('write_file', { path: 'run.sh', content: 'new' })
  assert.equal(readFileSync(join(tools.cwd, 'real/run.sh'), 'utf8'), 'new')
  assert.equal(statSync(join(tools.cwd, 'real/run.sh')).mode & 0o777, 0o755)
  assert.match(await tools.use('write_file', { path: 'real', content: 'x' }), /is a folder/)
  assert.match(await tools.use('write_file', { path: 'run.sh/x', content: 'x' }), /^Error/)
})
