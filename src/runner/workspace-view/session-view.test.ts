import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { createMasker } from '../masking/masker.ts'
import { CarefulGit } from './careful-git.ts'
import { keepChange } from './keep-change.ts'
import { listFolder, readChange, readTextFile, reportChange, type ViewedFolder } from './session-view.ts'

function world(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'view-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const cwd = join(root, 'work')
  mkdirSync(cwd)
  writeFileSync(join(root, 'outside'), 'not to be seen\n')
  const author = ['-c', 'user.name=Ann', '-c', 'user.email=ann@example.org', '-c', 'commit.gpgsign=false']
  const git = (...args: string[]) =>
    execFileSync('git', [...author, ...args], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const write = (path: string, text: string | Buffer) => writeFileSync(join(cwd, path), text)
  const viewed = (base: string | undefined): ViewedFolder => ({
    ...{ cwd, base },
    git: new CarefulGit(process.env, undefined, () => []),
    masker: createMasker(['hunter2222']),
  })
  return { root, cwd, git, write, viewed }
}

test('nothing outside the folder is shown, and viewing creates nothing', async (t) => {
  const { cwd, root, write, viewed } = world(t)
  mkdirSync(join(cwd, 'src'))
  write('src/a.ts', 'one\nthe key is hunter2222\n')
  write('hunter2222.txt', 'x')
  symlinkSync('../outside', join(cwd, 'link'))
  symlinkSync('..', join(cwd, 'up'))
  execFileSync('mkfifo', [join(cwd, 'pipe')])
  const at = viewed(undefined)
  const { entries, more } = await listFolder(at, '')
  assert.deepEqual(
    entries.map(({ name, kind }) => `${kind} ${name}`),
    ['folder src', 'file ***.txt', 'link link', 'other pipe', 'link up'],
  )
  assert.equal(more, false)
  assert.deepEqual(await readTextFile(at, 'src/a.ts'), {
    ...{ path: 'src/a.ts', bytes: 26, binary: false, cut: false },
    text: 'one\nthe key is ***\n',
  })
  for (const path of [
    'link',
    'up/outside',
    '../outside',
    '/etc/passwd',
    join(root, 'outside'),
    'pipe',
    'src',
    '',
  ])
    await assert.rejects(readTextFile(at, path), { code: 'forbidden', hint: /no links/ }, path)
  for (const path of ['up', '..', '/', 'src/a.ts'])
    await assert.rejects(listFolder(at, path), { code: 'forbidden' }, path)
  for (const path of ['nope', 'nope/deeper', 'x'.repeat(300)]) {
    await assert.rejects(readTextFile(at, path), { code: 'not_found' }, path)
    await assert.rejects(listFolder(at, path), { code: 'not_found' }, path)
  }
  assert.equal(existsSync(join(cwd, 'nope')), false)
})

test('a long file is cut, also inside a secret, and a binary one is shown by its size', async (t) => {
  const { write, viewed } = world(t)
  write('long', `${'x'.repeat(512 * 1024 - 4)}hunter2222${'y'.repeat(100_000)}`)
  write('binary', Buffer.from([1, 0, 2]))
  const long = await readTextFile(viewed(undefined), 'long')
  assert.equal(long.cut, true)
  assert.doesNotMatch(long.text!, /hunt/)
  const binary = await readTextFile(viewed(undefined), 'binary')
  assert.deepEqual(binary, { path: 'binary', bytes: 3, binary: true, cut: false })
})

test('the change is the difference from the start, committed or not, and of each commit', async (t) => {
  const { git, write, viewed } = world(t)
  git('init', '-q', '-b', 'main')
  write('kept', 'same\n')
  write('old name', 'a\nb\nc\nd\ne\n')
  git('add', '.')
  git('commit', '-qm', 'Begin')
  const base = git('rev-parse', 'HEAD').trim()
  const at = viewed(base)
  assert.equal(await readChange(at), '')
  git('mv', 'old name', 'new name')
  git('commit', '-qm', 'Rename hunter2222')
  write('kept', 'changed to hunter2222\n')
  write('.gitignore', 'ignored\n')
  write('ignored', 'x')
  write('fü "x".txt', 'first\nlast')
  write('binary', Buffer.from([0]))
  write('empty', '')
  const change = await reportChange(at)
  assert.deepEqual([change.repository, change.base], [true, base])
  assert.deepEqual(
    change.commits.map(({ subject, author }) => [subject, author]),
    [['Rename ***', 'Ann']],
  )
  const diff = await readChange(at)
  assert.match(diff, /similarity index 100%\nrename from old name\nrename to new name/)
  assert.match(diff, /-same\n\+changed to \*\*\*\n/)
  assert.match(
    diff,
    /\+\+\+ "b\/f\\303\\274 \\"x\\".txt"\n@@ -0,0 \+1,2 @@\n\+first\n\+last\n\\ No newline at end of file\n/,
  )
  assert.match(diff, /Binary files \/dev\/null and b\/binary differ/)
  assert.match(diff, /diff --git a\/empty b\/empty\nnew file mode 100644\n/)
  assert.doesNotMatch(diff, /b\/ignored/)
  const first = await readChange(at, 1)
  assert.match(first, /rename to new name/)
  assert.doesNotMatch(first, /kept/)
  await assert.rejects(readChange(at, 2), { code: 'not_found' })

  const stored: string[] = []
  await keepChange(at, async ({ kind, name }) => {
    stored.push(`${kind} ${name}`)
    return undefined as never
  })
  assert.deepEqual(stored, ['patch 0001.patch', 'diff session.diff'])
})

test('without a repository there is nothing to compare, and without commits everything is new', async (t) => {
  const { git, write, viewed } = world(t)
  write('a', 'x\n')
  assert.equal((await reportChange(viewed(undefined))).repository, false)
  await assert.rejects(readChange(viewed(undefined)), {
    code: 'not_found',
    message: /not in a Git repository/,
  })
  git('init', '-q')
  assert.match(await readChange(viewed('')), /\+\+\+ b\/a\n@@ -0,0 \+1 @@\n\+x\n/)
  git('add', '.')
  git('commit', '-qm', 'First')
  assert.equal((await reportChange(viewed(''))).commits.length, 1)
  assert.match(await readChange(viewed(''), 1), /\+\+\+ b\/a/)
})
