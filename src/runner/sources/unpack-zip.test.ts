import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { type RawZipEntry, rawZip } from '../../../test/support/sources/archive-fixture.ts'
import { ErrandError } from '../../contract/errors.ts'
import { unpack } from './unpack.ts'

const top = mkdtempSync(join(tmpdir(), 'errand-unzip-'))
after(() => rmSync(top, { recursive: true }))
let count = 0

const LINK = 0o120777
const FILE = 0o100644

async function unpacked(bytes: Buffer, options?: Parameters<typeof unpack>[2]) {
  const parent = join(top, String(count++))
  await unpack(Readable.from([bytes]), join(parent, 'code'), options)
  assert.deepEqual(readdirSync(parent), ['code'])
  return join(parent, 'code')
}

/** Returns the error, and checks that nothing is left beside it. */
async function refused(bytes: Buffer, options?: Parameters<typeof unpack>[2]): Promise<ErrandError> {
  const parent = join(top, String(count++))
  const error = await unpack(Readable.from([bytes]), join(parent, 'code'), options).then(
    () => assert.fail('it was taken'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ErrandError, String(error))
  assert.deepEqual(readdirSync(parent), [])
  return error
}

test('a zip unpacks unchanged: stored and deflated, with modes, links, long numbers and a comment', async () => {
  const entries: RawZipEntry[] = [
    { name: 'pkg/', mode: 0o040755 },
    { name: 'pkg/run.sh', content: '#!/bin/sh\n', mode: 0o100755 },
    { name: 'stored', content: 'as it is', method: 0 },
    { name: 'длинное/имя.txt', content: 'x', zip64: true },
    { name: 'big.bin', content: Buffer.alloc(300_000, 7), mode: FILE },
    { name: 'link', content: 'pkg/run.sh', mode: LINK },
    { name: 'empty', content: '' },
  ]
  const target = await unpacked(rawZip(entries, { comment: 'of a program' }))
  assert.equal(readFileSync(join(target, 'link'), 'utf8'), '#!/bin/sh\n')
  assert.equal(readlinkSync(join(target, 'link')), 'pkg/run.sh')
  assert.notEqual(statSync(join(target, 'pkg/run.sh')).mode & 0o100, 0)
  assert.equal(statSync(join(target, 'stored')).mode & 0o777, 0o644 & ~process.umask())
  assert.equal(readFileSync(join(target, 'длинное/имя.txt'), 'utf8'), 'x')
  assert.equal(readFileSync(join(target, 'big.bin')).length, 300_000)
  assert.equal(readFileSync(join(target, 'stored'), 'utf8'), 'as it is')
})

test('the output of a zip program is readable', async () => {
  const script = `import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as z:
    z.writestr("Dockerfile", "FROM scratch\\n")
    z.writestr("src/bot.py", "print(1)\\n" * 1000)
    with z.open(zipfile.ZipInfo("large"), "w", force_zip64=True) as f: f.write(b"y" * 10)
`
  const file = join(top, 'written.zip')
  execFileSync('python3', ['-c', script, file])
  const target = await unpacked(readFileSync(file))
  assert.equal(readFileSync(join(target, 'src/bot.py'), 'utf8').length, 9000)
  assert.equal(readFileSync(join(target, 'large'), 'utf8'), 'y'.repeat(10))
})

const one: RawZipEntry = { name: 'one', content: 'x' }
const evil: [what: string, entries: RawZipEntry[], message: RegExp][] = [
  ['a path up', [{ name: '../x' }], /"\.\.\/x" leads out/],
  ['an absolute path', [{ name: '/etc/x' }], /absolute/],
  ['a backslash', [{ name: '..\\x' }], /backslash/],
  ['a drive letter', [{ name: 'C:/x' }], /drive letter/],
  ['a line end', [{ name: 'a\nb' }], /control character/],
  ['a name that is not UTF-8', [{ name: Buffer.from([0x61, 0xff]) }], /not UTF-8/],
  ['the same name twice', [one, one], /second time/],
  ['names that differ by case', [one, { name: 'ONE' }], /collides/],
  ['a file as a folder', [one, { name: 'one/x' }], /second time/],
  ['a symlink out', [one, { name: 'a', content: '../../etc', mode: LINK }], /"a" is a link that leads out/],
  ['a file below a symlink', [{ name: 'a', content: 'b', mode: LINK }, { name: 'a/x' }], /is below "a"/],
  ['a long symlink', [one, { name: 'a', content: 'x'.repeat(2000), mode: LINK }], /more than 1024 bytes/],
  ['an empty symlink', [one, { name: 'a', content: Buffer.from([0xff]), mode: LINK }], /"a" is a link that/],
  ['a device', [{ name: 'a', mode: 0o060644 }], /neither a file/],
  ['a folder declared as a file', [{ name: 'a/', mode: FILE }], /neither a file/],
  ['setuid', [{ name: 'a', mode: 0o104755 }], /setuid/],
  ['encryption', [{ name: 'a', content: 'x', flags: 0x801 }], /"a" is encrypted/],
  ['another compression', [{ name: 'a', content: 'x', method: 12 }], /unsupported compression method \(12\)/],
  ['bytes of another entry', [one, { name: 'two', content: 'x', sharedWith: 0 }], /"two" shares bytes/],
  ['a wrong checksum', [{ name: 'a', content: 'x', crc: 1 }], /"a" is damaged/],
  ['more bytes than declared', [{ name: 'a', content: 'x'.repeat(100), size: 10 }], /"a" is damaged/],
  ['fewer bytes than declared', [{ name: 'a', content: 'x', size: 100 }], /"a" is damaged/],
  ['data that is not deflated', [{ name: 'a', stored: Buffer.from('not deflated') }], /"a" is damaged/],
  ['no files', [{ name: 'a/' }], /contains no files/],
  ['nothing', [], /contains no files/],
]

for (const [what, entries, message] of evil) {
  test(`a zip with ${what} is refused, and nothing is left`, async () => {
    const error = await refused(rawZip(entries))
    assert.equal(error.code, 'source_refused')
    assert.match(error.message, message)
    assert.ok(error.hint)
  })
}

test('bombs are limited by their real bytes, no matter what they declare, and by the number of entries', async () => {
  const limits = { maxBytes: 1024 * 1024, maxEntries: 100 }
  const zeros = Buffer.alloc(20 * 1024 * 1024)
  const bomb = rawZip([{ name: 'a', content: zeros }])
  assert.ok(bomb.length < 100_000)
  assert.match((await refused(bomb, { limits })).message, /more than 1048576 bytes/)
  assert.match(
    (await refused(rawZip([{ name: 'a', content: zeros, size: 10 }]), { limits })).message,
    /damaged/,
  )
  const parts = Array.from({ length: 3 }, (_, n) => ({ name: `f${n}`, content: Buffer.alloc(500_000) }))
  assert.match((await refused(rawZip(parts), { limits })).message, /more than 1048576 bytes/)
  const many = Array.from({ length: 101 }, (_, n) => ({ name: `f${n}` }))
  assert.match((await refused(rawZip(many), { limits })).message, /more than 100 files/)
  // An entry whose bytes are the header and bytes of the next one too.
  const inner = rawZip([{ name: 'inner', content: 'x', method: 0 }])
  const quoted = rawZip([{ name: 'outer', content: inner.subarray(0, 36), method: 0 }, one])
  const list = quoted.indexOf(Buffer.from('PK\x01\x02'))
  quoted.writeUInt32LE(35, list + 46 + 'outer'.length + 42)
  assert.match((await refused(quoted)).message, /shares bytes/)
})

test('a truncated or damaged zip is refused whole, or all its content is unchanged', async () => {
  const whole = rawZip([
    { name: 'a/b', content: 'text of b', mode: FILE },
    { name: 'l', content: 'a/b', mode: LINK },
    { name: 'c', content: 'text of c', method: 0 },
  ])
  for (const length of [4, 40, 100, whole.length - 30, whole.length - 1])
    assert.match((await refused(whole.subarray(0, length))).message, /cannot be read/)
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
      const spoiled = Buffer.from(whole)
      spoiled[at]! ^= by
      const parent = join(top, String(count++))
      const result = await unpack(Readable.from([spoiled]), join(parent, 'code')).catch((error) => error)
      assert.ok(result === undefined || result instanceof ErrandError, String(result))
      assert.deepEqual(readdirSync(parent), result === undefined ? ['code'] : [])
      if (result !== undefined) return
      for (const file of readdirSync(join(parent, 'code'), { recursive: true, withFileTypes: true }))
        if (file.isFile())
          assert.match(readFileSync(join(file.parentPath, file.name), 'utf8'), /^(?:text of [bc]|a\/b)$/)
    }),
    { numRuns: 400 },
  )
})

test('an abort ends the unpacking, and nothing is left', async () => {
  const parent = join(top, String(count++))
  const abort = new AbortController()
  const bytes = rawZip([one])
  const slow = new Readable({ read() {} })
  slow.push(bytes.subarray(0, 20))
  const unpacking = unpack(slow, join(parent, 'code'), { signal: abort.signal })
  setImmediate(() => abort.abort())
  await assert.rejects(unpacking, { name: 'AbortError' })
  assert.deepEqual(readdirSync(parent), [])
})
