import assert from 'node:assert/strict'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path, { join } from 'node:path'
import test, { it } from 'node:test'
import { makeFolder, makeFolderSync, writeFileAtomic } from './files.ts'

it('replaces a whole file with the requested mode, and leaves nothing beside it', (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-atomic-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = path.join(dir, 'a.json')
  writeFileAtomic(file, 'first, and longer')
  writeFileAtomic(file, 'second', { mode: 0o600 })
  writeFileAtomic(file, Buffer.from('third'), { mode: 0o600, durable: false })
  assert.equal(readFileSync(file, 'utf8'), 'third')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(dir), ['a.json'])
})

it('leaves only the old file when the new one cannot be put in place', (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-atomic-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(path.join(dir, 'taken', 'deep'), { recursive: true })
  assert.throws(() => writeFileAtomic(path.join(dir, 'taken'), 'x'))
  assert.throws(() => writeFileAtomic(path.join(dir, 'none', 'a'), 'x'), { code: 'ENOENT' })
  assert.deepEqual(readdirSync(dir), ['taken'])
})

test('a folder is created with its parents, also twice at once, and may already exist or be a link to one', async (t) => {
  const here = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(here, { recursive: true }))
  await Promise.all([makeFolder(join(here, 'a/b/c')), makeFolder(join(here, 'a/b/c'))])
  assert.ok(statSync(join(here, 'a/b/c')).isDirectory())
  symlinkSync('a/b', join(here, 'link'))
  await makeFolder(join(here, 'link'))
  await makeFolder(join(here, 'link/d/'))
  assert.ok(statSync(join(here, 'a/b/d')).isDirectory())
  for (const name of ['e/f', 'e/f', 'link/g/']) makeFolderSync(join(here, name))
  assert.ok(statSync(join(here, 'a/b/g')).isDirectory())
})

test('a folder that cannot be created is an error, also where the system accepts no new folders', async (t) => {
  const here = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(here, { recursive: true }))
  writeFileSync(join(here, 'file'), '')
  await assert.rejects(makeFolder(join(here, 'file')), { code: 'EEXIST' })
  await assert.rejects(makeFolder(join(here, 'file/a/b')), { code: 'ENOTDIR' })
  await assert.rejects(makeFolder('/proc/errand/a'), { code: 'ENOENT' })
  assert.throws(() => makeFolderSync(join(here, 'file')), { code: 'EEXIST' })
  assert.throws(() => makeFolderSync(join(here, 'file/a/b')), { code: 'ENOTDIR' })
  assert.throws(() => makeFolderSync('/proc/errand/a'), { code: 'ENOENT' })
})
