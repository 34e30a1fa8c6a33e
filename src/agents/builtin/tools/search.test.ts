import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ToolFixture } from '../../../../test/support/agents/tool-fixture.ts'
import { globPattern } from './list-files.ts'

const git = (cwd: string, ...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { cwd, stdio: 'ignore' })

test('a thousand files can be searched by pattern, glob and case', async (context) => {
  const tools = new ToolFixture(context)
  for (let folder = 0; folder < 10; folder++) {
    mkdirSync(join(tools.cwd, `d${folder}`))
    for (let file = 0; file < 100; file++)
      writeFileSync(
        join(tools.cwd, `d${folder}/f${file}.${file % 2 ? 'ts' : 'md'}`),
        `first\nneedle ${folder}-${file}\r\n`,
      )
  }
  assert.equal(await tools.use('search', { pattern: 'needle 7-31$' }), 'd7/f31.ts:2: needle 7-31')
  assert.equal(
    await tools.use('search', { pattern: 'NEEDLE 7-31$', ignore_case: true }),
    'd7/f31.ts:2: needle 7-31',
  )
  assert.equal(await tools.use('search', { pattern: 'NEEDLE' }), '(nothing in 1000 files)')
  assert.equal(
    await tools.use('search', { pattern: 'needle .*-3$', glob: 'd2/*.ts' }),
    'd2/f3.ts:2: needle 2-3',
  )
  assert.equal(await tools.use('search', { pattern: 'needle', path: 'd3/f4.md' }), 'f4.md:2: needle 3-4')
  const many = (await tools.use('search', { pattern: 'needle' })).split('\n')
  assert.equal(many.length, 201)
  assert.match(many.at(-1)!, /there is more/)
  assert.match(await tools.use('search', { pattern: '(' }), /Invalid regular expression/)
  assert.match(await tools.use('list_files', { glob: '*.ts', path: 'd1' }), /^f1\.ts\nf11\.ts/)
  writeFileSync(join(tools.cwd, 'one.more'), '')
  assert.match(await tools.use('list_files', {}), /… \(1 more/)
})

test('a pattern that would never finish is stopped', async (context) => {
  const tools = new ToolFixture(context)
  writeFileSync(join(tools.cwd, 'a.txt'), `${'a'.repeat(60)}b`)
  assert.match(await tools.use('search', { pattern: '(a+)+$' }), /takes too long/)
  assert.match(await tools.use('search', { pattern: 'b$' }), /a\.txt:1/)
})

test('a search leaves out files that git ignores and files that are not text', async (context) => {
  const tools = new ToolFixture(context)
  const { cwd } = tools
  git(cwd, 'init')
  mkdirSync(join(cwd, 'built'))
  mkdirSync(join(cwd, 'nested'))
  writeFileSync(join(cwd, '.gitignore'), 'built/\n*.log\n')
  for (const path of [
    'built/out.js',
    'x.log',
    'tracked.js',
    'new.js',
    'nested/in.js',
    'gone.js',
    'sp ace "ü".js',
  ])
    writeFileSync(join(cwd, path), 'needle')
  writeFileSync(join(cwd, 'binary.js'), 'needle\0')
  git(join(cwd, 'nested'), 'init')
  git(cwd, 'add', 'tracked.js', 'gone.js')
  renameSync(join(cwd, 'gone.js'), join(cwd, 'x.log'))
  const found = (await tools.use('search', { pattern: 'needle' }))
    .split('\n')
    .map((line) => line.split(':')[0])
  assert.deepEqual(found, ['nested/in.js', 'new.js', 'sp ace "ü".js', 'tracked.js'])
  assert.match(await tools.use('list_files', {}), /^\.gitignore\nbinary\.js\nnested\/in\.js\nnew\.js/)
  // A folder that is ignored as a whole is listed when it is requested.
  assert.equal(await tools.use('list_files', { path: 'built' }), 'out.js')
})

test('a search follows no links, and runs nothing that a repository names', async (context) => {
  const tools = new ToolFixture(context)
  const { cwd, folder } = tools
  mkdirSync(join(folder, 'outside'))
  writeFileSync(join(folder, 'outside/file.js'), 'needle')
  mkdirSync(join(cwd, 'sub'))
  writeFileSync(join(cwd, 'sub/file.js'), 'needle')
  git(cwd, 'init')
  git(cwd, 'add', '.')
  git(cwd, 'config', 'core.fsmonitor', `touch ${join(folder, 'ran')};`)
  renameSync(join(cwd, 'sub'), join(folder, 'moved'))
  symlinkSync(join(folder, 'outside'), join(cwd, 'sub'))
  symlinkSync(join(folder, 'outside/file.js'), join(cwd, 'link.js'))
  assert.match(await tools.use('search', { pattern: 'needle' }), /^\(nothing in/)
  assert.throws(() => execFileSync('ls', [join(folder, 'ran')], { stdio: 'ignore' }))
})

test('globs match what they match in a shell', () => {
  const fits = (glob: string, path: string) => globPattern(glob).test(path)
  for (const [glob, path] of [
    ['*.ts', 'a.ts'],
    ['*.ts', 'src/deep/a.ts'],
    ['src/**/*.ts', 'src/a.ts'],
    ['src/**/*.{ts,tsx}', 'src/x/y/a.tsx'],
    ['./src/?.ts', 'src/a.ts'],
    ['[!a]*.ts', 'b.ts'],
    ['a+(b).ts', 'a+(b).ts'],
    ['src/**', 'src/a/b'],
  ] as const)
    assert.ok(fits(glob, path), `${glob} ${path}`)
  for (const [glob, path] of [
    ['src/*.ts', 'src/x/a.ts'],
    ['*.ts', 'a.tsx'],
    ['[!a]*.ts', 'a.ts'],
    ['src/**', 'lib/a'],
    ['{1..30000000}', '7'],
  ] as const)
    assert.ok(!fits(glob, path), `${glob} ${path}`)
  assert.throws(() => globPattern('[z-a]'), /is not valid/)
})
