import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { type DiffFile, parseDiff } from './parse-diff.ts'

/** Returns the diff that git itself writes between two sets of files. */
function diffOf(
  t: { after(call: () => void): void },
  before: Record<string, string>,
  change: (folder: string) => void,
): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-diff-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', '-C', folder, ...args], {
      encoding: 'utf8',
    })
  git('init', '-q')
  for (const [name, text] of Object.entries(before)) writeFileSync(join(folder, name), text)
  git('add', '-A')
  git('commit', '-qm', 'before', '--allow-empty')
  change(folder)
  git('add', '-A')
  return git('diff', '--cached', '--binary', '--full-index', '-M', 'HEAD')
}

const short = ({ path, oldPath, change, added, removed }: DiffFile) =>
  [path, oldPath, change, added, removed] as const

test("git's output for added, deleted, moved, mode-changed and binary files is read", (t) => {
  const long = Array.from({ length: 30 }, (_, index) => `line ${index}\n`).join('')
  const text = diffOf(
    t,
    { 'gone.txt': 'one\ntwo\n', 'old name.txt': long, 'run.sh': 'echo\n', 'same.txt': 'a\nb\nc' },
    (folder) => {
      rmSync(join(folder, 'gone.txt'))
      renameSync(join(folder, 'old name.txt'), join(folder, 'neü "name".txt'))
      writeFileSync(join(folder, 'neü "name".txt'), long.replace('line 7\n', 'line seven\n'))
      chmodSync(join(folder, 'run.sh'), 0o755)
      writeFileSync(join(folder, 'same.txt'), 'a\nB\nc\n')
      writeFileSync(join(folder, 'picture.bin'), Buffer.from([0, 1, 2, 255, 0, 7]))
      writeFileSync(join(folder, 'with space.txt'), 'diff --git a/x b/x\n@@ -1 +1 @@\n--- a\n+++ b\n')
    },
  )
  const files = parseDiff(text)
  assert.deepEqual(files.map(short), [
    ['gone.txt', undefined, 'removed', 0, 2],
    ['neü "name".txt', 'old name.txt', 'renamed', 1, 1],
    ['picture.bin', undefined, 'added', 0, 0],
    ['run.sh', undefined, 'changed', 0, 0],
    ['same.txt', undefined, 'changed', 2, 2],
    ['with space.txt', undefined, 'added', 4, 0],
  ])
  const [, moved, picture, mode, unended, fake] = files
  assert.deepEqual([picture?.isBinary, mode?.mode], [true, '100644 → 100755'])
  const lines = moved!.hunks[0]!.lines.map(({ kind, before, after, text }) => [kind, before, after, text])
  assert.deepEqual(lines.slice(2, 6), [
    ['same', 7, 7, 'line 6'],
    ['removed', 8, undefined, 'line 7'],
    ['added', undefined, 8, 'line seven'],
    ['same', 9, 9, 'line 8'],
  ])
  assert.deepEqual(
    unended!.hunks[0]!.lines.filter((line) => line.unended).map(({ kind, text }) => [kind, text]),
    [['removed', 'c']],
  )
  assert.deepEqual(
    fake!.hunks[0]!.lines.map(({ text }) => text),
    ['diff --git a/x b/x', '@@ -1 +1 @@', '--- a', '+++ b'],
  )
})

test('a patch after a message, a truncated patch and an empty one give what they contain', () => {
  const patch = `From 0 Mon\nSubject: it\n\n---\n a | 1 +\n\ndiff --git a/a b/a\nnew file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/a\n@@ -0,0 +1,3 @@\n+one\n+tw`
  assert.deepEqual(parseDiff(patch).map(short), [['a', undefined, 'added', 2, 0]])
  assert.deepEqual(parseDiff(''), [])
  assert.deepEqual(parseDiff('@@ -1 +1 @@\n-a\n+b\n'), [])
})
