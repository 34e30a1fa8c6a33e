import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { pack } from './pack.ts'
import { unpack } from './unpack.ts'

const top = mkdtempSync(join(tmpdir(), 'errand-pack-'))
after(() => rmSync(top, { recursive: true }))
let count = 0

function folder(files: Record<string, string | Buffer>): string {
  const path = join(top, String(count++))
  mkdirSync(path)
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), content)
  }
  return path
}

/** Returns the names that come out again on the other side. */
async function packed(from: string, options?: Parameters<typeof pack>[1]): Promise<string[]> {
  const target = join(top, String(count++))
  await unpack(Readable.from([(await pack(from, options)).archive]), target)
  return readdirSync(target, { recursive: true, encoding: 'utf8' }).sort()
}

const refused = (from: string, options?: Parameters<typeof pack>[1]) =>
  pack(from, options).then(
    () => assert.fail('it was packed'),
    (error) => error,
  )

test('the same files give the same bytes, whenever and in any order they were written', async () => {
  const one = folder({ 'b.py': 'b', 'a/x.py': 'x', 'a-b': '', 'Ж.txt': 'ж' })
  const two = folder({ 'Ж.txt': 'ж', 'a-b': '', 'a/x.py': 'x', 'b.py': 'b' })
  utimesSync(join(two, 'b.py'), 1, 1)
  chmodSync(join(two, 'b.py'), 0o600)
  assert.deepEqual(await pack(one), await pack(two))
  assert.equal((await pack(one)).files, 4)
})

test('a packed folder unpacks to the same files, also with the tar program', async () => {
  const from = folder({
    'bot.py': 'print(1)',
    'run.sh': '#!/bin/sh',
    'pkg/deep/data.bin': randomBytes(300_000),
  })
  chmodSync(join(from, 'run.sh'), 0o700)
  mkdirSync(join(from, 'empty'))
  symlinkSync('bot.py', join(from, 'link.py'))
  const { archive } = await pack(from)
  const target = join(top, String(count++))
  await unpack(Readable.from([archive]), target)
  assert.equal(readFileSync(join(target, 'link.py'), 'utf8'), 'print(1)')
  assert.deepEqual(
    readFileSync(join(target, 'pkg/deep/data.bin')),
    readFileSync(join(from, 'pkg/deep/data.bin')),
  )
  assert.deepEqual(readdirSync(join(target, 'empty')), [])
  assert.notEqual(statSync(join(target, 'run.sh')).mode & 0o100, 0)
  const listed = execFileSync('tar', ['-tzf', '-'], { input: archive, encoding: 'utf8' }).trim().split('\n')
  assert.deepEqual(listed, [
    'bot.py',
    'empty/',
    'link.py',
    'pkg/',
    'pkg/deep/',
    'pkg/deep/data.bin',
    'run.sh',
  ])
})

test('.git, node_modules, __pycache__ and .venv are left out at any depth, unless requested', async () => {
  const files = {
    'bot.py': '',
    '.git/config': '',
    'web/node_modules/x/index.js': '',
    'a/__pycache__/x.pyc': '',
    '.venv/pyvenv.cfg': '',
  }
  assert.deepEqual(await packed(folder(files)), ['a', 'bot.py', 'web'])
  const included = await packed(folder({ ...files, '.dockerignore': '!**/node_modules\n' }))
  assert.ok(included.includes('web/node_modules/x/index.js'))
  assert.ok(!included.includes('.git'))
})

test('.dockerignore works: comments, folders, stars and exceptions, and the last matching line counts', async () => {
  const from = folder({
    'bot.py': '',
    'notes.md': '',
    'README.md': '',
    'data/a.csv': '',
    'data/keep/b.csv': '',
    'src/x.tmp': '',
    'src/x.py': '',
    '{a}': '',
    'top.tmp': '',
    Dockerfile: '',
    '.dockerignore': '# not these\r\n*.md\n!README.md\n\n/data/\n!data/keep\n**/*.tmp\nDockerfile\n{a}\n',
  })
  const packed_ = ['.dockerignore', 'README.md', 'bot.py', 'data/keep', 'data/keep/b.csv', 'src', 'src/x.py']
  assert.deepEqual(
    (await packed(from)).filter((path) => path !== 'data'),
    packed_,
  )
  assert.ok((await packed(from, { keep: ['Dockerfile'] })).includes('Dockerfile'))
})

test('links that stay inside are packed as links, to files, folders and missing targets', async () => {
  const from = folder({ 'pkg/a.py': 'a', 'node_modules/x': '' })
  for (const [path, to] of [
    ['x.py', 'pkg/a.py'],
    ['lib', 'pkg'],
    ['pkg/up', '..'],
    ['gone', 'not/there'],
    ['modules', 'node_modules/x'],
    ['absolute', join(from, 'pkg/a.py')],
  ] as const)
    symlinkSync(to, join(from, path))
  const target = join(top, String(count++))
  const { archive, files } = await pack(from)
  assert.equal(files, 1)
  await unpack(Readable.from([archive]), target)
  for (const path of ['x.py', 'lib/a.py', 'pkg/up/lib/a.py', 'absolute'])
    assert.equal(readFileSync(join(target, path), 'utf8'), 'a', path)
  const names = ['x.py', 'lib', 'pkg/up', 'gone', 'modules', 'absolute']
  assert.deepEqual(
    names.map((path) => readlinkSync(join(target, path))),
    ['pkg/a.py', 'pkg', '..', 'not/there', 'node_modules/x', 'pkg/a.py'],
  )
})

test('links that lead out or in a circle, and special files, are refused by name', async () => {
  const cases: [string, RegExp][] = [
    ['/etc/passwd', /"x" is a link that leads out/],
    ['..', /"x" is a link that leads out/],
    ['pkg/../..', /"x" is a link that leads out/],
    ['x', /"x" is a link that leads in a circle/],
  ]
  for (const [to, message] of cases) {
    const from = folder({ 'pkg/a.py': '' })
    symlinkSync(to, join(from, 'x'))
    const error = await refused(from)
    assert.equal(error.code, 'source_refused')
    assert.match(error.message, message)
    assert.match(error.hint, /\.dockerignore/)
    writeFileSync(join(from, '.dockerignore'), 'x')
    assert.ok((await packed(from)).includes('pkg/a.py'))
  }
  const from = folder({ 'a.py': '' })
  execFileSync('mkfifo', [join(from, 'pipe')])
  assert.match((await refused(from)).message, /"pipe" is neither a file nor a folder/)
})

test('files that the other side would refuse are refused before sending', async () => {
  assert.match((await refused(folder({ 'Bot.py': '', 'bot.py': '' }))).message, /collides with "Bot.py"/)
  assert.match((await refused(folder({ 'a\\b': '' }))).message, /backslash/)
  assert.match((await refused(folder({ '.git/x': '' }))).message, /contains no files to pack/)
  assert.match((await refused(join(top, 'nowhere'))).message, /Folder ".*" not found/)
  const limits = { maxBytes: 1000, maxEntries: 3 }
  assert.match((await refused(folder({ a: '', b: '', c: '', d: '' }), { limits })).message, /4 files/)
  const unpacked = await refused(folder({ a: Buffer.alloc(2 * 1024 * 1024), b: 'x' }), { limits })
  assert.match(unpacked.hint, /The largest: a \(2 MB\), b/)
  const zipped = await refused(folder({ a: randomBytes(2 * 1024 * 1024) }), { maxBytes: 1024 * 1024 })
  assert.match(zipped.message, /packed folder is larger than 1 MB/)
})

test('a .dockerignore that is a folder or has too many rules is refused', async () => {
  const isFolder = await refused(folder({ 'a.py': '', '.dockerignore/x': '' }))
  assert.equal(isFolder.code, 'source_refused')
  assert.equal(isFolder.message, 'Entry ".dockerignore" is a folder.')
  const fits = '#'.repeat(16 * 1024)
  assert.deepEqual(await packed(folder({ 'a.py': '', '.dockerignore': fits })), ['.dockerignore', 'a.py'])
  const error = await refused(folder({ 'a.py': '', '.dockerignore': `${fits}#` }))
  assert.equal(error.code, 'invalid_argument')
  assert.match(error.message, /16385 bytes; the limit is 16384/)
})
