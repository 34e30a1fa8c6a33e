import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Durations } from './test-durations.ts'
import { type PlanOptions, planTests } from './test-plan.ts'

/** 22 test files without imports, named by their number. The later ones take longer. */
const many = Array.from({ length: 22 }, (_, n) => `src/${String(n).padStart(2, '0')}.test.ts`)
const longestFirst = many.toReversed()
const without = (files: readonly string[], ...left: string[]) => files.filter((file) => !left.includes(file))

function write(folder: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
}

const importing = (path: string) => `import '${path}'\n`

/** Creates a folder with those test files and these; `committed` makes it a Git checkout. */
function projectWith(t: TestContext, files: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-plan-'))
  t.after(() => rmSync(folder, { recursive: true }))
  write(folder, { ...Object.fromEntries(many.map((file) => [file, ''])), ...files })
  const durations = new Durations(folder, join(folder, 'cache.json'))
  many.forEach((file, n) => {
    durations.record(file, 'usual', { wallMs: 100 * (n + 1) })
  })
  const git = (...args: string[]) => {
    const person = ['-c', 'user.name=A', '-c', 'user.email=a@example.org']
    return execFileSync('git', [...person, ...args], { cwd: folder, encoding: 'utf8' }).trim()
  }
  const commit = () => {
    git('add', '-A')
    git('commit', '-qm', 'a change', '--allow-empty')
    return git('rev-parse', 'HEAD').slice(0, 8)
  }
  const committed = () => {
    git('init', '-q')
    return commit()
  }
  const plan = (tests: readonly string[] = many, options: Partial<PlanOptions> = {}) => {
    const { works, note } = planTests(folder, tests, { durations, variantOf: () => 'usual', ...options })
    return { works, note, files: works.map(({ file }) => file) }
  }
  return { folder, durations, committed, commit, plan }
}

test('files that import the change come first, the nearest before the others, the longest first in each group', (t) => {
  const { folder, committed, plan } = projectWith(t, {
    'src/base.ts': '',
    'src/one.ts': importing('./base.ts'),
    [many[3]!]: importing('./one.ts'),
    [many[9]!]: importing('./one.ts'),
    [many[4]!]: importing('./base.ts'),
    [many[6]!]: importing('./base.ts'),
  })
  const head = committed()
  write(folder, { 'src/base.ts': 'export const changed = 1\n', [many[0]!]: '// changed\n' })
  const first = [many[0]!, many[6]!, many[4]!, many[9]!, many[3]!]
  const { files, note } = plan()
  assert.deepEqual(files, [...first, ...without(longestFirst, ...first)])
  assert.equal(note, `what has changed since ${head} affects 5 files, which come first`)
})

test('if half of all files are affected, only direct importers come first, and the note says so', (t) => {
  const far = many.slice(0, 9)
  const { folder, committed, plan } = projectWith(t, {
    'src/base.ts': '',
    'src/one.ts': importing('./base.ts'),
    ...Object.fromEntries(far.map((file) => [file, importing('./one.ts')])),
    [many[12]!]: importing('./base.ts'),
  })
  const head = committed()
  write(folder, { 'src/base.ts': 'export const changed = 1\n', [many[15]!]: '// changed\n' })
  const { files, note } = plan()
  const first = [many[15]!, many[12]!]
  assert.deepEqual(files, [...first, ...without(longestFirst, ...first)])
  assert.equal(note, `usual order after 2 files: what has changed since ${head} affects 11 files`)
})

test('if fewer than half are affected, indirect importers come first too', (t) => {
  const far = many.slice(0, 10)
  const { folder, committed, plan } = projectWith(t, {
    'src/base.ts': '',
    'src/one.ts': importing('./base.ts'),
    ...Object.fromEntries(far.map((file) => [file, importing('./one.ts')])),
  })
  committed()
  write(folder, { 'src/base.ts': 'export const changed = 1\n' })
  const { files, note } = plan()
  assert.deepEqual(files, [...far.toReversed(), ...without(longestFirst, ...far)])
  assert.match(note, /affects 10 files, which come first$/)
})

test('a checkout without a branch is compared with the last commit that passed', (t) => {
  const { folder, committed, commit, plan } = projectWith(t)
  const passed = committed()
  write(folder, { [many[2]!]: '// changed\n' })
  commit()
  const before = commit()
  assert.equal(plan().note, '')
  assert.deepEqual(plan().files, longestFirst)
  assert.notEqual(before, passed)
  const { files, note } = plan(many, { lastPassed: passed })
  assert.equal(files[0], many[2])
  assert.match(note, new RegExp(`since ${passed}`))
})

test('outside a checkout the longest files come first, and the note says why', (t) => {
  const { files, note } = projectWith(t).plan()
  assert.deepEqual(files, longestFirst)
  assert.equal(note, 'usual order: this is not a Git checkout')
})

test('a change that decides how every file runs gives the usual order, and the note says why', (t) => {
  const { folder, committed, plan } = projectWith(t)
  const head = committed()
  write(folder, { 'package.json': '{}', [many[0]!]: '// changed\n' })
  const { files, note } = plan()
  assert.deepEqual(files, longestFirst)
  assert.equal(note, `usual order: what has changed since ${head} affects all files`)
})

test('with few files the longest come first regardless of changes, without a note', (t) => {
  const { folder, committed, plan } = projectWith(t)
  committed()
  write(folder, { [many[0]!]: '// changed\n' })
  const { files, note } = plan(many.slice(0, 20))
  assert.deepEqual(files, longestFirst.slice(2))
  assert.equal(note, '')
  assert.notEqual(plan(many.slice(0, 21)).note, '')
})

test('for a person who waits, fast files come before long ones, after the affected files', (t) => {
  const { folder, committed, plan } = projectWith(t)
  committed()
  const [fast, long] = [longestFirst.slice(12), longestFirst.slice(0, 12)]
  assert.equal(fast[0], many[9])
  assert.deepEqual(plan(many, { fastFirst: true }).files, [...fast, ...long])
  assert.deepEqual(plan(many.slice(5, 15), { fastFirst: true }).files, [
    ...fast.slice(0, 5),
    ...long.slice(7),
  ])
  write(folder, { [many[20]!]: '// changed\n', [many[1]!]: '// changed\n' })
  const first = [many[1]!, many[20]!]
  assert.deepEqual(plan(many, { fastFirst: true }).files, [
    ...first,
    ...without([...fast, ...long], ...first),
  ])
})

test('a new file counts as average, and files of equal duration are sorted by name', (t) => {
  const { durations, folder } = projectWith(t)
  durations.record('src/long.test.ts', 'usual', { wallMs: 3001 })
  durations.record('src/short.test.ts', 'usual', { wallMs: 2999 })
  const tests = ['src/short.test.ts', 'src/new.test.ts', 'src/long.test.ts', 'src/also-new.test.ts']
  const { works } = planTests(folder, tests, { durations, variantOf: () => 'usual' })
  assert.deepEqual(
    works.map(({ file, duration }) => [file, duration?.wallMs]),
    [
      ['src/long.test.ts', 3001],
      ['src/also-new.test.ts', undefined],
      ['src/new.test.ts', undefined],
      ['src/short.test.ts', 2999],
    ],
  )
})

test('the order uses the durations at the size of the run', (t) => {
  const { durations, plan } = projectWith(t)
  durations.record(many[0]!, 'large', { wallMs: 60_000 })
  assert.equal(plan().files[0], many[21])
  const { works } = plan(many, { variantOf: () => 'large' })
  assert.equal(works[0]!.file, many[0])
  assert.deepEqual(works[1]!.duration, { wallMs: 2200 })
})

// Concatenated, so that this file asks for neither.
const [CLUSTER, ENGINE] = ['kubernetesHere()', 'dockerHere()']

test('each file has its services, and whether it must be alone with the cluster', (t) => {
  const { plan } = projectWith(t, {
    [many[1]!]: `await ${CLUSTER}\n`,
    [many[2]!]: `await ${CLUSTER}\nkubernetesFor({ alone: true })\n`,
    [many[3]!]: `await ${ENGINE}\nconst other = { alone: true }\n`,
  })
  const works = plan(many.slice(0, 4)).works.map(({ file, services, alone }) => [file, services, alone])
  assert.deepEqual(works, [
    [many[3], ['docker'], undefined],
    [many[2], ['kubernetes'], 'kubernetes'],
    [many[1], ['kubernetes'], undefined],
    [many[0], [], undefined],
  ])
})
