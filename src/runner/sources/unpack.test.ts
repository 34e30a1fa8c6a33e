import assert from 'node:assert/strict'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { pax, type RawEntry, rawTar } from '../../../test/support/sources/archive-fixture.ts'
import { ErrandError } from '../../contract/errors.ts'
import { unpack } from './unpack.ts'

const top = mkdtempSync(join(tmpdir(), 'errand-unpack-'))
after(() => rmSync(top, { recursive: true }))
let count = 0

const chunked = (bytes: Buffer, size = 700) =>
  Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
    })(),
  )

async function unpacked(bytes: Buffer, options?: Parameters<typeof unpack>[2]) {
  const target = join(top, String(count++), 'code')
  await unpack(chunked(bytes), target, options)
  return target
}

/** Returns the error, and checks that nothing is left beside it. */
async function refused(bytes: Buffer, options?: Parameters<typeof unpack>[2]): Promise<ErrandError> {
  const parent = join(top, String(count++))
  const error = await unpack(chunked(bytes), join(parent, 'code'), options).then(
    () => assert.fail('it was taken'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ErrandError, String(error))
  assert.deepEqual(readdirSync(parent), [])
  return error
}

test('files and folders unpack unchanged, from tar and tar.gz, with safe modes', async () => {
  const entries: RawEntry[] = [
    { name: './', type: '5', mode: 0o755 },
    { name: './bot.py', content: 'print(1)\n' },
    { name: 'pkg/run.sh', content: '#!/bin/sh\n', mode: 0o700 },
    { name: 'empty/', type: '5' },
    { name: 'big.bin', content: Buffer.alloc(100_000, 7) },
    pax({ path: 'длинное/имя.txt' }),
    { name: 'short', content: 'x' },
  ]
  for (const bytes of [rawTar(entries), gzipSync(rawTar(entries))]) {
    const target = await unpacked(bytes)
    assert.equal(readFileSync(join(target, 'bot.py'), 'utf8'), 'print(1)\n')
    assert.equal(readFileSync(join(target, 'длинное/имя.txt'), 'utf8'), 'x')
    assert.equal(readFileSync(join(target, 'big.bin')).length, 100_000)
    assert.equal(statSync(join(target, 'bot.py')).mode & 0o777, 0o644 & ~process.umask())
    assert.equal(statSync(join(target, 'pkg/run.sh')).mode & 0o111, 0o111 & ~process.umask())
    assert.deepEqual(readdirSync(join(target, 'empty')), [])
  }
})

const symlink = (name: string, linkname: string): RawEntry => ({ name, type: '2', linkname })
const file = (name: string): RawEntry => ({ name, content: `of ${name}` })

test('symbolic links that stay inside are preserved, in any order of entries', async () => {
  const target = await unpacked(
    rawTar([
      symlink('early', 'later/file'),
      symlink('chain', 'dir/again'),
      symlink('dir', './later/'),
      file('later/file'),
      symlink('later/again', '../early'),
      symlink('later/up', '..'),
      symlink('a/b/c', '../../later'),
      symlink('not-there', 'build/made.later'),
      symlink('self', '.'),
    ]),
  )
  for (const path of ['early', 'chain', 'dir/file', 'a/b/c/file', 'later/up/later/file', 'self/early'])
    assert.equal(readFileSync(join(target, path), 'utf8'), 'of later/file', path)
  assert.equal(readlinkSync(join(target, 'chain')), 'dir/again')
  assert.equal(readlinkSync(join(target, 'not-there')), 'build/made.later')
})

const evil: [what: string, entries: RawEntry[], message: RegExp][] = [
  ['a path up', [{ name: '../x', content: 'x' }], /"\.\.\/x" leads out/],
  ['a path up in the middle', [{ name: 'a/../../x', content: 'x' }], /leads out/],
  ['an absolute path', [{ name: '/etc/x', content: 'x' }], /absolute/],
  ['a drive letter', [{ name: 'C:\\x', content: 'x' }], /backslash/],
  ['a drive letter with slashes', [{ name: 'C:/x', content: 'x' }], /drive letter/],
  ['a backslash', [{ name: '..\\x', content: 'x' }], /backslash/],
  ['a line end', [{ name: 'a\nb', content: 'x' }], /control character/],
  ['an absolute symlink', [symlink('a', '/etc'), file('b')], /"a" is a link that leads out/],
  ['an absolute symlink with a drive', [symlink('a', 'C:/x'), file('b')], /leads out/],
  ['a symlink up', [symlink('a', '..'), file('b')], /"a" is a link that leads out/],
  ['a symlink far up', [symlink('a/b/c', '../../../x'), file('b')], /leads out/],
  ['a symlink up and in again', [symlink('a', '../code/b'), file('b')], /leads out/],
  ['a symlink up from nothing', [symlink('a', 'no/../../x'), file('b')], /leads out/],
  ['a symlink to nothing', [symlink('a', ''), file('b')], /leads nowhere/],
  ['a symlink to itself', [symlink('a', 'a'), file('b')], /in a circle/],
  ['symlinks in a circle', [symlink('a', 'b/x'), symlink('b', 'a'), file('c')], /in a circle/],
  ['a long way round', [pax({ linkpath: './'.repeat(505) }), symlink('a', 'x'), file('c')], /too many steps/],
  ['a symlink with a long path', [pax({ linkpath: 'x/'.repeat(600) }), symlink('a', 'x'), file('c')], /1024/],
  ['a symlink with a backslash', [symlink('a', '..\\x'), file('b')], /backslash/],
  ['a PAX link path', [pax({ linkpath: '/etc' }), symlink('a', 'b'), file('b')], /leads out/],
  [
    'a symlink that is up only through another one, which comes later',
    [symlink('x', 'deep/../y'), file('d/e/f'), symlink('deep', 'd'), symlink('z', 'deep/../../q')],
    /"z" is a link that leads out/,
  ],
  [
    'a symlink up after a folder that is a symlink to a higher one',
    [file('top'), file('a/b/c'), symlink('a/b/up', '../..'), symlink('out', 'a/b/up/../x')],
    /"out" is a link that leads out/,
  ],
  ['a symlink by another case', [file('D/x'), symlink('a', 'd/x')], /leads to "D" in a different case/],
  ['a file below a symlink', [symlink('a', 'd'), file('d/y'), file('a/x')], /"a\/x" is below "a"/],
  ['a file below a later symlink', [file('a/x'), symlink('a', 'b')], /second time/],
  ['a file below a symlink of another case', [symlink('A', 'd'), file('a/x')], /collides/],
  ['a folder in the place of a symlink', [symlink('a', 'd'), { name: 'a/', type: '5' }], /second time/],
  ['a symlink in the place of a file', [file('a'), symlink('a', 'b')], /second time/],
  ['a symlink twice', [symlink('a', 'b'), symlink('a', 'c'), file('d')], /second time/],
  ['nothing but a symlink', [symlink('a', 'b')], /contains no files/],
  ['a hard link', [{ name: 'a', type: '1', linkname: '/etc/passwd' }], /hard link/],
  ['a character device', [{ name: 'a', type: '3' }], /device/],
  ['a block device', [{ name: 'a', type: '4' }], /device/],
  ['a FIFO', [{ name: 'a', type: '6' }], /FIFO/],
  ['an unknown kind', [{ name: 'a', type: 'S', content: 'x' }], /unknown type/],
  ['setuid', [{ name: 'a', content: 'x', mode: 0o4755 }], /setuid/],
  ['setgid', [{ name: 'a', content: 'x', mode: 0o2755 }], /setuid or setgid/],
  [
    'the same name twice',
    [
      { name: 'a', content: 'x' },
      { name: './a', content: 'y' },
    ],
    /second time/,
  ],
  [
    'a file as a folder',
    [
      { name: 'a', content: 'x' },
      { name: 'a/b', content: 'y' },
    ],
    /second time/,
  ],
  [
    'a folder as a file',
    [
      { name: 'a/b', content: 'x' },
      { name: 'a', content: 'y' },
    ],
    /second time/,
  ],
  [
    'names that differ by case',
    [
      { name: 'Bot.py', content: 'x' },
      { name: 'bot.py', content: 'y' },
    ],
    /collides with "Bot.py"/,
  ],
  [
    'folders that differ by case',
    [
      { name: 'A/x', content: 'x' },
      { name: 'a/y', content: 'y' },
    ],
    /collides/,
  ],
  [
    'Unicode forms',
    [
      pax({ path: '\u00e9' }),
      { name: 'e', content: 'x' },
      pax({ path: 'e\u0301' }),
      { name: 'f', content: 'y' },
    ],
    /collides/,
  ],
  ['a PAX path', [pax({ path: '/etc/x' }), { name: 'tame', content: 'x' }], /absolute/],
  [
    'a global PAX path',
    [{ ...pax({ path: '../x' }), type: 'g' }, pax({ mtime: '1' }), { name: 'tame', content: 'x' }],
    /leads out/,
  ],
  ['a PAX path with NUL', [pax({ path: 'a\0b' }), { name: 'tame', content: 'x' }], /control character/],
  [
    'a long GNU name',
    [
      { name: 'L', type: 'L', content: '../../x\0' },
      { name: 'tame', content: 'x' },
    ],
    /leads out/,
  ],
  [
    'a sparse file',
    [pax({ 'GNU.sparse.major': '1', 'GNU.sparse.name': 'x' }), { name: 'a', content: 'x' }],
    /sparse/,
  ],
  ['a file with no name', [{ name: '.', content: 'x' }], /without a name/],
  [
    'a deep path',
    [{ name: 'a/'.repeat(40), type: '5' }, pax({ path: 'a/'.repeat(70) }), { name: 'b', type: '5' }],
    /folders deep/,
  ],
  ['a long name', [pax({ path: 'x'.repeat(300) }), { name: 'a', content: 'x' }], /255 bytes/],
  ['nothing but folders', [{ name: 'a/', type: '5' }], /contains no files/],
]

for (const [what, entries, message] of evil) {
  test(`${what} is refused, and nothing is left`, async () => {
    const error = await refused(rawTar(entries))
    assert.equal(error.code, 'source_refused')
    assert.match(error.message, message)
    assert.ok(error.hint)
  })
}

test('a false size, a truncated archive and anything but an archive are refused', async () => {
  const whole = rawTar([{ name: 'a', content: Buffer.alloc(5000, 1) }])
  assert.match(
    (await refused(rawTar([{ name: 'a', content: 'x', size: 10 ** 9 }]))).message,
    /cannot be read|cut off/,
  )
  assert.match((await refused(whole.subarray(0, 3000))).message, /cannot be read|cut off/)
  assert.match((await refused(rawTar([{ name: 'a', content: 'x' }], { end: false }))).message, /cut off/)
  assert.match((await refused(gzipSync(whole).subarray(0, 60))).message, /cannot be read/)
  assert.match((await refused(Buffer.from('7z\xbc\xaf and so on', 'latin1'))).message, /is a 7z file/)
  assert.match((await refused(Buffer.alloc(0))).message, /is empty/)
  assert.match(
    (await refused(Buffer.from('no archive at all, but text'.repeat(100)))).message,
    /cannot be read/,
  )
})

test('bombs are limited by their real bytes and the number of entries', async () => {
  const limits = { maxBytes: 1024 * 1024, maxEntries: 100 }
  const bomb = gzipSync(rawTar([{ name: 'a', content: Buffer.alloc(20 * 1024 * 1024) }]))
  assert.ok(bomb.length < 100_000)
  assert.match((await refused(bomb, { limits })).message, /more than \d+ bytes/)
  const many = rawTar(Array.from({ length: 101 }, (_, n) => ({ name: `f${n}`, content: '' })))
  assert.match((await refused(many, { limits })).message, /more than 100 files/)
})

test('an existing link at the target is neither followed nor replaced', async () => {
  const parent = join(top, String(count++))
  mkdirSync(join(parent, 'elsewhere'), { recursive: true })
  symlinkSync(join(parent, 'elsewhere'), join(parent, 'code'))
  await assert.rejects(unpack(chunked(rawTar([{ name: 'a', content: 'x' }])), join(parent, 'code')))
  assert.deepEqual(readdirSync(join(parent, 'elsewhere')), [])
})

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

test('any archive is either unpacked below its target or refused whole', async () => {
  const part = fc.constantFrom('a', 'A', '..', '.', '', 'b.py', 'é', 'é', 'C:', '\\', '~', ' ')
  const entry = fc.record({
    name: fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/')),
    type: fc.constantFrom('0', '0', '0', '5', '1', '2', '2', '2', '3', '6', '7', 'x', 'g', 'L', 'S', 'Z'),
    content: fc.constantFrom('', 'x', '20 path=../../evil\n', '../evil\0'),
    mode: fc.constantFrom(0o644, 0o755, 0o4755, 0),
    linkname: fc.constantFrom('', '.', '..', '/etc', 'a', 'A/..', 'a/../..', '../a', 'b.py/../../a', 'é/..'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 6 }), fc.boolean(), async (entries, zipped) => {
      const parent = join(top, String(count++))
      const bytes = rawTar(entries)
      const result = await unpack(chunked(zipped ? gzipSync(bytes) : bytes), join(parent, 'x', 'code')).catch(
        (error: unknown) => error,
      )
      assert.ok(result === undefined || result instanceof ErrandError, String(result))
      assert.deepEqual(readdirSync(parent), ['x'])
      assert.deepEqual(readdirSync(join(parent, 'x')), result === undefined ? ['code'] : [])
      const found =
        result === undefined
          ? readdirSync(join(parent, 'x/code'), { recursive: true, withFileTypes: true })
          : []
      for (const file of found) {
        assert.ok(file.isFile() || file.isDirectory() || file.isSymbolicLink(), file.name)
        // Nothing else exists here: what leads out is at the top of this test, or does not exist.
        const real = attempt(() => realpathSync(join(file.parentPath, file.name)))
        assert.ok(
          real === undefined || real.startsWith(join(parent, 'x/code')),
          `${file.name} leads to ${real}`,
        )
      }
    }),
    { numRuns: 600 },
  )
})

test('headers that cost more than their files are refused at once', async () => {
  const records = Array.from({ length: 400 }, (_, n) => `12 k${100000 + n}=\n`).join('')
  const large: RawEntry = { name: 'g', type: 'g', content: records }
  const one: RawEntry = { name: 'a', content: 'x' }
  assert.match((await refused(rawTar([large, one]))).message, /header that is too large/)
  assert.match((await refused(rawTar([pax({ comment: 'x'.repeat(70_000) }), one]))).message, /too large/)
  const many = Array.from({ length: 500 }, () => pax({ comment: 'x' }))
  const limits = { maxBytes: 1024 * 1024, maxEntries: 100 }
  assert.match((await refused(rawTar([...many, one]), { limits })).message, /too many headers/)
  const folders = Array.from({ length: 101 }, (): RawEntry => ({ name: 'a/', type: '5' }))
  assert.match((await refused(rawTar(folders), { limits })).message, /more than 100 files/)
})

test('an abort ends the unpacking while no data comes, and nothing is left', async () => {
  const parent = join(top, String(count++))
  const abort = new AbortController()
  const silent = new Readable({ read() {} })
  const unpacking = unpack(silent, join(parent, 'code'), { signal: abort.signal })
  abort.abort()
  await assert.rejects(unpacking, { name: 'AbortError' })
  assert.deepEqual(readdirSync(parent), [])
})
