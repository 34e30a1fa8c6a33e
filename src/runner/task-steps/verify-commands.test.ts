import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { place } from '../../../test/support/runner/attempt-fixture.ts'
import { Playbook } from '../../contract/tasks/playbook.ts'
import { SNAPSHOT_COMMAND, verifyCommands } from './verify-commands.ts'

function git(folder: string, ...args: string[]): string {
  const who = ['-c', 'user.name=a', '-c', 'user.email=a@b']
  return execFileSync('git', ['-C', folder, ...who, ...args], { encoding: 'utf8' }).trimEnd()
}

function write(folder: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

test('a snapshot contains all files except ignored ones, and leaves the index unchanged', () => {
  using here = place()
  const { path } = here
  git(path, 'init', '-q')
  write(path, { 'a.txt': '1', '.gitignore': 'out/\n' })
  git(path, 'add', '-A')
  git(path, 'commit', '-qm', 'one')
  write(path, { 'a.txt': '2', 'new/b.txt': '3', 'out/c.txt': '4' })
  execFileSync('/bin/sh', ['-c', SNAPSHOT_COMMAND], { cwd: path })
  const stored = git(path, 'ls-tree', '-r', '--name-only', 'refs/errand/snapshot')
  assert.equal(stored, '.gitignore\na.txt\nnew/b.txt')
  assert.equal(git(path, 'show', 'refs/errand/snapshot:a.txt'), '2')
  assert.equal(git(path, 'status', '--porcelain'), ' M a.txt\n?? new/')
})

test('a change in the same moment as the previous commit is in the snapshot', () => {
  using here = place()
  const { path } = here
  const moment = new Date(Date.now() - 60_000)
  const atThatMoment = (file: string) => utimesSync(join(path, file), moment, moment)
  git(path, 'init', '-q')
  // Imitates a clock that has not moved on.
  git(path, 'config', 'core.trustctime', 'false')
  write(path, { 'a.txt': '1' })
  atThatMoment('a.txt')
  git(path, 'add', '-A')
  git(path, 'commit', '-qm', 'one')
  write(path, { 'a.txt': '2' })
  for (const file of ['a.txt', '.git/index']) atThatMoment(file)
  execFileSync('/bin/sh', ['-c', SNAPSHOT_COMMAND], { cwd: path })
  assert.equal(git(path, 'show', 'refs/errand/snapshot:a.txt'), '2')
})

test("a formatter's changes are in the snapshot, and files left by tests are not", () => {
  using here = place()
  const { path } = here
  git(path, 'init', '-q')
  write(path, { 'a.txt': 'a' })
  const steps = [
    { name: 'format', command: 'echo formatted > a.txt', commits: true },
    { name: 'unit', command: 'touch left-behind', env: { A: 1 } },
  ]
  const { commands, text } = verifyCommands(Playbook.parse({ name: 'p', steps }), {})
  for (const command of commands) execFileSync('/bin/sh', ['-c', command], { cwd: path })
  assert.equal(git(path, 'ls-tree', '-r', '--name-only', 'refs/errand/snapshot'), 'a.txt')
  assert.equal(git(path, 'show', 'refs/errand/snapshot:a.txt'), 'formatted')
  assert.equal(text, 'echo formatted > a.txt\ntouch left-behind')
})
