import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { affectedTests, changesSince, cleanCommit } from './test-affected.ts'

function folderWith(t: TestContext, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-affected-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) write(join(folder, name), text)
  return folder
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

function git(folder: string, ...args: string[]): string {
  const person = ['-c', 'user.name=A', '-c', 'user.email=a@example.org', '-c', 'init.defaultBranch=main']
  return execFileSync('git', [...person, ...args], { cwd: folder, encoding: 'utf8', stdio: 'pipe' }).trim()
}

/** Commits a change of these files and returns the new commit. */
function commit(folder: string, ...files: string[]): string {
  for (const file of files) write(join(folder, file), `${Math.random()}`)
  git(folder, 'add', '-A')
  git(folder, 'commit', '-qm', 'a change')
  return git(folder, 'rev-parse', 'HEAD')
}

function repository(t: TestContext): string {
  const folder = folderWith(t, {})
  git(folder, 'init', '-q')
  return folder
}

/** Creates a repository, and a clone that follows its branch. */
function cloned(t: TestContext, ...files: string[]) {
  const origin = repository(t)
  const base = commit(origin, ...files)
  const folder = folderWith(t, {})
  git(folder, 'clone', '-q', origin, '.')
  return { origin, folder, base }
}

const changed = (folder: string, lastPassed?: string) => {
  const changes = changesSince(folder, lastPassed)
  return changes && { ...changes, files: changes.files.sort() }
}
const since = (commit: string) => commit.slice(0, 8)

test('changes since the merge base with the upstream branch count, committed or not', (t) => {
  const { origin, folder, base } = cloned(t, 'kept', 'edited', 'staged', 'gone', 'moved')
  commit(folder, 'first')
  commit(folder, 'src/second')
  commit(origin, 'theirs')
  git(folder, 'fetch', '-q')
  write(join(folder, 'edited'), 'anew')
  write(join(folder, 'staged'), 'anew')
  git(folder, 'add', 'staged')
  git(folder, 'mv', 'moved', 'here')
  unlinkSync(join(folder, 'gone'))
  write(join(folder, 'src/new'), '')
  write(join(folder, '.gitignore'), 'ignored')
  write(join(folder, 'ignored'), '')
  assert.deepEqual(changed(folder), {
    files: ['.gitignore', 'edited', 'first', 'gone', 'here', 'moved', 'src/new', 'src/second', 'staged'],
    since: since(base),
  })
})

test('the last commit that passed does not matter when the branch is ahead of its upstream', (t) => {
  const { folder, base } = cloned(t, 'a')
  const passed = commit(folder, 'b')
  commit(folder, 'c')
  assert.deepEqual(changed(folder, passed), { files: ['b', 'c'], since: since(base) })
})

test('a branch without an upstream is compared with what is checked out at the origin', (t) => {
  const { folder, base } = cloned(t, 'a')
  git(folder, 'checkout', '-q', '--no-track', '-b', 'mine')
  commit(folder, 'b')
  commit(folder, 'c')
  assert.deepEqual(changed(folder), { files: ['b', 'c'], since: since(base) })
})

test('a fresh clone is compared with the last commit that passed here, or else with the previous commit', (t) => {
  const origin = repository(t)
  const [first, second] = [commit(origin, 'a'), commit(origin, 'b')]
  const third = commit(origin, 'c')
  const folder = folderWith(t, {})
  git(folder, 'clone', '-q', origin, '.')
  assert.deepEqual(changed(folder), { files: ['c'], since: since(second) })
  assert.deepEqual(changed(folder, first), { files: ['b', 'c'], since: since(first) })
  // Nothing has changed since then, so the comparison is with the commit before.
  assert.deepEqual(changed(folder, third), { files: ['c'], since: since(second) })
})

test('a last passed commit counts from the merge base, and an unknown one does not count', (t) => {
  const folder = repository(t)
  const [first, second] = [commit(folder, 'a'), commit(folder, 'b')]
  const third = commit(folder, 'c')
  git(folder, 'checkout', '-q', '-b', 'other', first)
  const other = commit(folder, 'd')
  git(folder, 'checkout', '-q', '--orphan', 'unrelated')
  const unrelated = commit(folder, 'e')
  git(folder, 'checkout', '-q', 'main')
  assert.deepEqual(changed(folder, other), { files: ['b', 'c'], since: since(first) })
  for (const none of [unrelated, '0'.repeat(40), 'no commit', ''])
    assert.deepEqual(changed(folder, none), { files: ['c'], since: since(second) }, none)
  // The passed commit is later than the one that is checked out.
  git(folder, 'checkout', '-q', second)
  assert.deepEqual(changed(folder, third), { files: ['b'], since: since(first) })
})

test('with a single commit, only uncommitted changes count', (t) => {
  const folder = repository(t)
  const first = commit(folder, 'a')
  assert.deepEqual(changed(folder), { files: [], since: since(first) })
  write(join(folder, 'a'), 'anew')
  write(join(folder, 'b'), '')
  assert.deepEqual(changed(folder), { files: ['a', 'b'], since: since(first) })
})

test('a name that Git would quote is returned unquoted', (t) => {
  const folder = repository(t)
  commit(folder, 'a')
  commit(folder, 'src/größe "2".ts')
  write(join(folder, 'src/naïve.ts'), '')
  assert.deepEqual(changed(folder)?.files, ['src/größe "2".ts', 'src/naïve.ts'])
})

test('outside a checkout, before its first commit and in a folder inside one, nothing is known', (t) => {
  assert.equal(changesSince(folderWith(t, { a: '' }), undefined), undefined)
  const folder = repository(t)
  assert.equal(changesSince(folder, undefined), undefined)
  commit(folder, 'inner/a')
  assert.equal(changesSince(join(folder, 'inner'), undefined), undefined)
  assert.notEqual(changesSince(folder, undefined), undefined)
})

test('a commit is clean while nothing differs from it', (t) => {
  const folder = repository(t)
  assert.equal(cleanCommit(folder), undefined)
  const first = commit(folder, '.gitignore', 'a')
  assert.equal(cleanCommit(folder), first)
  write(join(folder, 'b'), '')
  assert.equal(cleanCommit(folder), undefined)
  git(folder, 'add', 'b')
  assert.equal(cleanCommit(folder), undefined)
  const second = commit(folder)
  assert.equal(cleanCommit(folder), second)
  write(join(folder, 'a'), 'anew')
  assert.equal(cleanCommit(folder), undefined)
  assert.equal(cleanCommit(folderWith(t, {})), undefined)
})

const imports = {
  'src/base.ts': 'export const base = 1\nexport type Base = 1\n',
  'src/static.ts': "import { base } from './base.ts'\nexport const one = base\n",
  'src/passed-on.ts': "export { base } from './base.ts'\n",
  'src/all.ts': "export * from './static.ts'\n",
  'src/typed.ts': "import type { Base } from './base.ts'\nexport const typed: Base = 1\n",
  'src/named.ts': "import { type Base } from './base.ts'\nexport const typed: Base = 1\n",
  'web/page.tsx': "import { base } from '../src/base'\nimport './page.css'\n",
  'web/page.css': '',
  'web/unit.test.ts': "import unit from '../deploy/errand.service?raw'\n",
  'src/base.test.ts': "import {\n  base,\n} from './base.ts'\n",
  'src/static.test.ts': "import { one } from './static.ts'\n",
  'src/late.test.ts': "test('late', async () => { await import('./static.ts') })\n",
  'src/passed-on.test.ts': "import { base } from './passed-on.ts'\n",
  'test/all.test.ts': "import { one } from '../src/all.ts'\n",
  'test/near.test.ts': "import { one } from '../src/all.ts'\nimport '../src/base.ts'\n",
  'test/page.test.ts': "import { Page } from '../web/page.tsx'\n",
  'src/typed.test.ts': "import { typed } from './typed.ts'\nimport { typed as same } from './named.ts'\n",
  'src/type.test.ts': "type Base = import('./base.ts').Base\n",
  'src/none.test.ts': '',
}
const tests = Object.keys(imports).filter((file) => file.endsWith('.test.ts'))

test('static, dynamic and re-exported imports affect tests, by the shortest path; type imports do not', (t) => {
  const root = folderWith(t, imports)
  const affected = (...files: string[]) =>
    Object.fromEntries([...(affectedTests(root, tests, files) ?? [])].sort())
  assert.deepEqual(affected('src/base.ts'), {
    'src/base.test.ts': 1,
    'src/late.test.ts': 2,
    'src/passed-on.test.ts': 2,
    'src/static.test.ts': 2,
    'test/all.test.ts': 3,
    'test/near.test.ts': 1,
    'test/page.test.ts': 2,
  })
  assert.deepEqual(affected('web/page.css'), { 'test/page.test.ts': 2 })
  assert.deepEqual(affected('deploy/errand.service'), { 'web/unit.test.ts': 1 })
  assert.deepEqual(affected('src/none.test.ts'), { 'src/none.test.ts': 0 })
  assert.deepEqual(affected('src/typed.ts', 'web/page.tsx', 'src/typed.test.ts'), {
    'src/typed.test.ts': 0,
    'test/page.test.ts': 1,
  })
  assert.deepEqual(affected(), {})
  assert.deepEqual(affected('README.md', 'src/gone.test.ts'), {})
})

test('files that import each other do not cause an endless loop', (t) => {
  const root = folderWith(t, {
    'src/a.ts': "import './b.ts'\n",
    'src/b.ts': "import './a.ts'\n",
    'src/a.test.ts': "import './a.ts'\n",
  })
  assert.deepEqual([...affectedTests(root, ['src/a.test.ts'], ['src/b.ts'])!], [['src/a.test.ts', 2]])
})

test('a file that imports a removed file is affected', (t) => {
  const root = folderWith(t, {
    'src/a.test.ts': "import './gone.ts'\n",
    'web/b.test.ts': "import './gone'\n",
    'web/c.test.ts': "import './gone.tsx'\n",
  })
  const all = ['src/a.test.ts', 'web/b.test.ts', 'web/c.test.ts']
  const affected = affectedTests(root, all, ['src/gone.ts', 'web/gone.ts', 'web/gone.tsx'])
  assert.deepEqual([...affected!.keys()], all)
})

test('a change that decides how every test runs puts no test before the others', (t) => {
  const root = folderWith(t, imports)
  for (const file of [
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.web.json',
    'scripts/test.ts',
    'scripts/test-files.ts',
    'scripts/setup.mjs',
    'test/support/test-reporter.ts',
  ])
    assert.equal(affectedTests(root, tests, ['src/base.ts', file]), undefined, file)
  for (const file of [
    'src/package.json',
    'scripts/build.ts',
    'scripts/test-plan.test.ts',
    'test/support/other.ts',
    '.ci/run',
  ])
    assert.notEqual(affectedTests(root, tests, [file]), undefined, file)
})
