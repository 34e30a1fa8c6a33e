import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  type ExportFixture,
  exportFixture,
  forge,
  hostileBox,
} from '../../../test/support/runner/export-fixture.ts'
import { makeRepository, run } from '../../../test/support/sources/git-fixture.ts'
import { StepFailure } from '../platform-steps/platform-step.ts'
import { EXPORTED_REF } from './export-change.ts'

const fails = async (work: Promise<unknown>, reason: string, words: RegExp): Promise<string> => {
  const error = await work.then(
    () => assert.fail('nothing was refused'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof StepFailure, String((error as Error).stack))
  assert.equal(error.reason, reason, error.message)
  assert.match(error.message, words)
  return error.message
}

test('commits and uncommitted changes are exported as ours, the same each time', async () => {
  using place = exportFixture()
  const { git, write, own_git, start } = place
  write('src/b.txt', 'new\n')
  git('add', '.')
  git(
    'commit',
    '-qm',
    'First\n\nWhy.\n\nErrand-Task: another\nReviewed-by: B',
    '--author=Linus <l@example.org>',
  )
  write('src/a.txt', 'one\n2\n')
  write('run.sh', '#!/bin/sh\n')
  chmodSync(join(place.work, 'run.sh'), 0o755)
  symlinkSync('src/a.txt', join(place.work, 'link'))
  rmSync(join(place.work, 'README.md'))
  const exported = await place.exportChange()
  assert.deepEqual({ ...exported, tip: 0 }, { tip: 0, files: 5, added: 4, deleted: 2, asked: [] })
  assert.deepEqual(await place.exportChange(), exported)
  const { tip } = exported
  assert.equal(run(own_git, ['rev-parse', EXPORTED_REF]), tip)
  assert.equal(run(own_git, ['rev-list', '--count', `${start}..${tip}`]), '2')
  assert.equal(
    run(own_git, ['log', '--reverse', '--format=%an %ae|%cn %ct|%B', `${start}..${tip}`]),
    [
      'Agent agent@example.org|Errand 1700000000|First\n\nWhy.\n\nReviewed-by: B\nErrand-Run: run_1\nErrand-Task: task_1\n\n',
      'Agent agent@example.org|Errand 1700000000|Do it\n\nErrand-Run: run_1\nErrand-Task: task_1',
    ].join(''),
  )
  assert.match(run(own_git, ['ls-tree', '-r', tip]), /^100755 blob \w+\trun.sh$/m)
  assert.deepEqual(
    [...place.kept.keys()],
    ['checkpoint.pack', 'files.json', 'change.diff', 'patch/0001.patch', 'patch/0002.patch'],
  )
  // What is stored is enough to restore the work.
  const other = join(place.dir, 'other')
  run(place.dir, ['clone', '-q', place.mirror, other])
  writeFileSync(join(place.dir, 'kept.pack'), place.kept.get('checkpoint.pack')!)
  run(other, ['index-pack', '--stdin', '--fix-thin'], place.kept.get('checkpoint.pack') as unknown as string)
  assert.equal(run(other, ['cat-file', '-t', tip]), 'commit')
  writeFileSync(join(place.dir, 'change.diff'), place.kept.get('change.diff')!)
  run(other, ['apply', '--index', join(place.dir, 'change.diff')])
  assert.equal(run(other, ['write-tree']), run(own_git, ['rev-parse', `${tip}^{tree}`]))
  assert.ok(!existsSync(join(place.dir, 'attempt/carry')))
})

test('the snapshot that passed is exported without what tests left, and squashing gives one commit', async () => {
  using place = exportFixture()
  const { git, write, own_git, start } = place
  write('src/a.txt', 'good\n')
  git('commit', '-qam', 'one')
  const snapshot = git('rev-parse', 'HEAD^{tree}')
  write('coverage/report.txt', 'left behind\n')
  const { tip } = await place.exportChange({ snapshot })
  assert.equal(run(own_git, ['diff', '--name-only', start, tip]), 'src/a.txt')
  const squashed = await place.exportChange({ commits: 'squash' })
  assert.equal(run(own_git, ['rev-list', '--parents', '-1', squashed.tip]), `${squashed.tip} ${start}`)
  assert.equal(place.file(squashed.tip, 'coverage/report.txt'), 'left behind')
  assert.equal(place.list().history, 'squashed')
})

test('no change means no commit, and a rewritten history is exported as one commit', async () => {
  using place = exportFixture()
  const { git, write, own_git, start } = place
  git('commit', '-q', '--allow-empty', '-m', 'empty')
  assert.equal((await place.exportChange()).tip, '')
  assert.equal(place.kept.size, 0)
  git('reset', '-q', '--hard', start)
  write('x', 'x\n')
  git('add', '.')
  git('commit', '-q', '--amend', '-m', 'Mine')
  const { tip } = await place.exportChange()
  assert.equal(run(own_git, ['rev-list', '--parents', '-1', tip]), `${tip} ${start}`)
  assert.match(place.reported.join(), /history_rewritten/)
})

test('Git LFS content is not exported, which is reported', async () => {
  const oid = createHash('sha256').update('big\n').digest('hex')
  const content = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize 4\n`
  using place = exportFixture([
    { path: '.gitattributes', content: '*.bin filter=lfs\n' },
    { path: 'big.bin', content },
  ])
  place.write('big.bin', 'big\n')
  place.git('update-index', '--skip-worktree', 'big.bin')
  place.write('more.txt', 'more\n')
  assert.equal((await place.exportChange()).files, 1)
  assert.ok(!place.reported.join().includes('Git LFS'))
  place.write('big.bin', 'changed\n')
  assert.equal((await place.exportChange()).files, 1)
  assert.match(place.reported.join(), /Left out, since Git LFS keeps it: big\.bin/)
  // Without the flag it would be in the commit.
  place.git('update-index', '--no-skip-worktree', 'big.bin')
  await assert.rejects(place.exportChange(), {
    reason: 'unsafe_change',
    message: /files in Git LFS: "big\.bin"/,
  })
})

test('a change within a submodule is reported and left out', async () => {
  using place = exportFixture()
  const sub = join(place.dir, 'sub.git')
  makeRepository(sub, [{ path: 'in.txt', content: 'in\n' }])
  place.git('-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', sub, 'libs/sub')
  place.git('commit', '-qm', 'with sub')
  const start = place.git('rev-parse', 'HEAD')
  run(place.own_git, ['fetch', '-q', place.work, 'HEAD'])
  place.write('libs/sub/in.txt', 'changed\n')
  place.write('more.txt', 'more\n')
  const exported = await place.exportChange({ start })
  assert.deepEqual([exported.files, place.file(exported.tip, 'more.txt')], [1, 'more'])
  assert.match(place.reported.join(), /Left out, since it is changed within a submodule: libs\/sub/)
})

test('no setting, hook, filter, attribute or nested repository of the agent runs or counts', async () => {
  using place = exportFixture([
    { path: '.gitattributes', content: '*.txt filter=evil\n' },
    { path: 'a.txt', content: 'a\n' },
  ])
  const { git, write, work } = place
  const ran = join(place.dir, 'ran')
  const evil = `sh -c 'echo $0 >> ${ran}; cat'`
  const settings = [
    'core.fsmonitor',
    'filter.evil.clean',
    'filter.evil.smudge',
    'core.pager',
    'core.sshCommand',
  ]
  write('a.txt', 'b\n')
  run(place.dir, ['clone', '-q', place.mirror, join(work, 'nested')])
  for (const setting of settings) {
    git('config', setting, evil)
    run(join(work, 'nested'), ['config', setting, evil])
  }
  for (const hook of ['pre-commit', 'post-index-change', 'reference-transaction'])
    writeFileSync(join(work, '.git/hooks', hook), `#!/bin/sh\necho ${hook} >> ${ran}\n`, { mode: 0o755 })
  const { tip } = await place.exportChange()
  assert.equal(place.file(tip, 'a.txt'), 'b')
  assert.equal(place.list().files.length, 1)
  assert.match(place.reported.join(), /Left out, since it is a repository of its own: nested/)
  assert.ok(!existsSync(ran))
  // Whatever has become of the agent's repository, its files are there.
  writeFileSync(join(work, '.git/index'), 'garbage')
  assert.equal((await place.exportChange()).tip, tip)
  rmSync(join(work, '.git'), { recursive: true })
  writeFileSync(join(work, '.git'), 'gitdir: /nowhere\n')
  assert.equal((await place.exportChange()).tip, tip)
})

test('a pack that is invalid, cut off, lacks objects or holds what git forbids is refused', async () => {
  using place = exportFixture()
  const { folder, commit } = forge(place)
  const blob = run(folder, ['hash-object', '-w', '--stdin'], 'x')
  const tree = run(folder, ['mktree'], `100644 blob ${blob}\tx`)
  const all = commit(tree)
  const ids = { head: place.start, tree, all }
  const input = `${all}\n^${place.start}\n`
  const exportChange = (more: object, revs = input, change?: (pack: Buffer) => Buffer) =>
    place.exportChange({}, { boxed: hostileBox(folder, { ...ids, ...more }, revs, change) })
  assert.notEqual((await exportChange({})).tip, '')
  await fails(
    exportChange({}, input, () => Buffer.from('echo "no pack"')),
    'unsafe_change',
    /not a Git pack/,
  )
  await fails(
    exportChange({}, input, (pack) => pack.subarray(0, -30)),
    'unsafe_change',
    /Git refused the pack/,
  )
  await fails(exportChange({}, `${tree}\n`), 'unsafe_change', /./)
  await fails(exportChange({ tree: run(folder, ['mktree'], `100644 blob ${blob}\ty`) }), 'unsafe_change', /./)
  const forbidden = ['.git', '.GIT', 'git~1', '..', '.g\u200cit'].map((name) =>
    run(folder, ['mktree', '-z'], `040000 tree ${tree}\t${name}\0`),
  )
  for (const each of forbidden) {
    const bad = commit(each)
    await fails(
      exportChange({ tree: each, all: bad }, `${bad}\n^${place.start}\n`),
      'unsafe_change',
      /Git refused the pack/,
    )
  }
  const absent = commit(run(folder, ['mktree', '--missing'], `100644 blob ${'1'.repeat(40)}\tx`))
  const lacking = run(folder, ['cat-file', 'commit', absent]).slice(5, 45)
  const without = { boxed: hostileBox(folder, { ...ids, tree: lacking, all: absent }, `${lacking}`) }
  await fails(place.exportChange({}, without), 'unsafe_change', /./)
})

test('bombs are refused by their size before anything reads them', async () => {
  using place = exportFixture()
  const { folder, commit } = forge(place)
  const big = run(folder, ['hash-object', '-w', '--stdin'], '0'.repeat(3_000_000))
  const one = run(folder, ['mktree'], `100644 blob ${big}\tbig`)
  const exportChange = (tree: string, limits = {}) => {
    const all = commit(tree)
    return place.exportChange(limits, {
      boxed: hostileBox(folder, { head: place.start, tree, all }, `${all}\n^${place.start}\n`),
    })
  }
  await fails(
    exportChange(one, { max_file_bytes: 2_000_000 }),
    'too_large',
    /"big" has 3000000 bytes; the limit is 2000000/,
  )
  await fails(exportChange(one, { max_bytes: 2_000_000 }), 'too_large', /more than 2000000 bytes/)
  await fails(exportChange(one, { max_bytes: 1_000 }), 'too_large', /more than 1000 bytes/)
  let tree = run(folder, ['mktree'], `100644 blob ${run(folder, ['hash-object', '-w', '--stdin'], 'x')}\tx`)
  for (let level = 0; level < 9; level++)
    tree = run(
      folder,
      ['mktree'],
      Array.from({ length: 10 }, (_, at) => `040000 tree ${tree}\td${at}`).join('\n'),
    )
  await fails(exportChange(tree), 'too_large', /more than 100000 paths/)
})

test('new names, links, modes and submodules that break on other machines are refused', async () => {
  const old = [
    { path: 'Readme', content: 'a' },
    { path: 'readme', content: 'b' },
    { path: 'out', content: '/etc/passwd', mode: '120000' as const },
    { path: 'lib/in', content: 'x' },
  ]
  using place = exportFixture(old)
  const { git, write, start } = place
  const entry = (mode: string, id: string, path: string) =>
    git('update-index', '--add', '--cacheinfo', `${mode},${id},${path}`)
  const link = (path: string, target: string) => {
    write(`${path}.near`, '')
    symlinkSync(target, join(place.work, path))
  }
  write('Readme', 'changed')
  write('lib/new', 'new')
  assert.notEqual((await place.exportChange()).tip, '')
  git('reset', '-q', '--hard', start)
  write('LIB/x', 'x')
  write('a\nb', 'x')
  write('a\\b', 'x')
  link('l1', '/etc')
  link('d/l2', '../../x')
  link('d/l3', 'e/../../../x')
  link('l4', '.GIT/config')
  const message = await fails(
    place.exportChange(),
    'unsafe_change',
    /"LIB(\/x)?" differs from "lib(\/x)?" only in case/,
  )
  assert.match(message, /"a\\nb" has a control character/)
  assert.match(message, /"a\\\\b" has a backslash/)
  assert.match(message, /"l1" is a link that leads outside the repository or into .git \("\/etc"\)/)
  for (const path of ['d/l2', 'd/l3', 'l4'])
    assert.match(message, new RegExp(`"${path}" is a link that leads outside`))
  assert.ok(place.kept.has('change.diff'))
  const inner = run(place.mirror, ['rev-parse', 'main'])
  const submodule = (url: string) => {
    write('.gitmodules', `[submodule "s"]\n\tpath = s\n\turl = ${url}\n`)
    git('add', '.gitmodules')
    entry('160000', inner, 's')
  }
  git('reset', '-q', '--hard', start)
  submodule('ext::sh -c touch% x')
  entry('160000', inner, 'n')
  const refused = await fails(
    place.exportChange({ snapshot: git('write-tree') }),
    'unsafe_change',
    /not https:\/\/ or ssh/,
  )
  assert.match(refused, /"n" is a repository inside the repository/)
  // A good one comes out, and is displayed.
  git('reset', '-q', '--hard', start)
  submodule('https://example.org/s.git')
  await place.exportChange({ snapshot: git('write-tree') })
  assert.equal(place.list().files.find(({ path }) => path === 's')?.kind, 'submodule')
})

test('a file that one commit adds and the next removes is checked too', async () => {
  using place = exportFixture()
  const { git, write, start } = place
  const addAndTakeAway = (x: string) => {
    git('reset', '-q', '--hard', start)
    write('x', x)
    write('.github/workflows/ci.yml', 'on: push\n')
    git('add', '.')
    git('commit', '-qm', 'one')
    git('rm', '-qrf', 'x', '.github')
    write('y', 'y\n')
    git('add', '.')
    git('commit', '-qm', 'two')
  }
  addAndTakeAway(`token = "${'ghp_'}${'a1'.repeat(18)}"\n`)
  await fails(place.exportChange(), 'unsafe_change', /"x", line 1: a GitHub token/)
  assert.deepEqual((await place.exportChange({ commits: 'squash' })).asked, [])
  addAndTakeAway('nothing\n')
  assert.deepEqual((await place.exportChange()).asked, ['.github/workflows/ci.yml'])
})

test('protected files are refused or need approval under both names, and tests are listed separately', async () => {
  using place = exportFixture([
    { path: '.github/workflows/ci.yml', content: 'on: push\n' },
    { path: 'test/a.test.ts', content: 'old\n' },
  ])
  const { git, write, start } = place
  write('test/a.test.ts', 'weaker\n')
  await place.exportChange()
  assert.deepEqual(place.list().files, [
    {
      path: 'test/a.test.ts',
      status: 'changed',
      mode: '100644',
      added: 1,
      deleted: 1,
      kind: 'test',
      decision: 'flag',
    },
  ])
  const forbid = { protect: [{ paths: ['test/**'], decision: 'forbid' as const }] }
  await fails(place.exportChange(forbid), 'protected_path', /protected paths: "test\/a.test.ts"/)
  git('reset', '-q', '--hard', start)
  git('mv', '.github/workflows/ci.yml', 'off.yml')
  assert.deepEqual((await place.exportChange()).asked, ['.github/workflows/ci.yml'])
  assert.deepEqual(
    [...place.kept.keys()],
    ['checkpoint.pack', 'files.json', 'change.diff', 'patch/0001.patch'],
  )
  assert.equal(place.list().files[0]?.decision, 'ask')
})

test('secrets are found in every form, with file and line, and are not shown', async () => {
  using place = exportFixture()
  const secret = 'correct horse battery staple'
  const exportChange = (at: ExportFixture = place) =>
    at.exportChange({}, { secrets: { OTHER: 'another secret', TEST_DB: secret } })
  place.write('src/a.txt', `one\ntwo\nfour\n${Buffer.from(secret).toString('base64')}\n`)
  assert.ok(
    !(
      await fails(exportChange(), 'unsafe_change', /secrets\. "src\/a.txt", line 4: the secret TEST_DB\./)
    ).includes(secret),
  )
  assert.equal(place.kept.size, 0)
  place.git('checkout', '-q', '.')
  place.write('bin', `\0\0${'x'.repeat(300_000)}${secret}${'y'.repeat(300_000)}`)
  await fails(exportChange(), 'unsafe_change', /"bin", line 1: the secret TEST_DB\./)
  rmSync(join(place.work, 'bin'))
  place.write('key.pem', `a\nb\n-----BEGIN RSA ${'PRIVATE KEY'}-----\n`)
  await fails(exportChange(), 'unsafe_change', /"key.pem", line 3: a private key/)
  rmSync(join(place.work, 'key.pem'))
  const lines = 'kind: Config\ntoken: sesame-7\nname: all of it'
  place.write('config.yaml', 'kind: Config\ntoken: another\n')
  await place.exportChange({}, { secrets: { CLUSTER: lines } })
  place.write('config.yaml', 'kind: Config\nuser:\n  token: sesame-7\n')
  const found = place.exportChange({}, { secrets: { CLUSTER: lines } })
  await fails(found, 'unsafe_change', /"config.yaml", line 3: the secret CLUSTER/)
  rmSync(join(place.work, 'config.yaml'))
  place.kept.clear()
  place.write('ok', 'ok\n')
  place.git('add', '.')
  place.git('commit', '-qm', `Uses ${secret}`)
  await fails(exportChange(), 'unsafe_change', /a commit message or a file name: the secret TEST_DB/)
})
