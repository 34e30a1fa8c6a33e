import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { changesIn } from './runs-diff.ts'

test("the figures of a diff equal git's, for lines of any form", (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'errand-diff-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], {
      cwd: dir,
      encoding: 'utf8',
    })
  const write = (name: string, text: string | Buffer) => writeFileSync(join(dir, name), text)
  git('init', '-q')
  write('a b.txt', 'one\n-- two\nthree\n')
  write('gone.txt', 'x')
  write('moved.txt', 'the same\n'.repeat(20))
  git('add', '.')
  git('commit', '-qm', 'one')
  write('a b.txt', 'one\n++ two\ndiff --git a/q b/q\n@@ -1 +1 @@\n')
  write('new.bin', Buffer.from([0, 1, 2]))
  git('rm', '-q', 'gone.txt')
  git('mv', 'moved.txt', 'other.txt')
  git('add', '.')
  const figures = git('diff', '--cached', '-M', '--numstat', '-z')
  const expected = figures
    .replace(/\0([^\0\t]+)\0([^\0\t]+)\0/g, '$2\0')
    .split('\0')
    .filter(Boolean)
  const found = changesIn(git('diff', '--cached', '-M')).map(({ path, added, removed, binary }) =>
    binary ? `-\t-\t${path}` : `${added}\t${removed}\t${path}`,
  )
  assert.deepEqual(found.sort(), expected.sort())
})
