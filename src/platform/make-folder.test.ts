import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeFolder, makeFolderSync } from './make-folder.ts'

test('a folder is made with those on the way, by two at once, and may be there or be a link to one', async (t) => {
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

test('where none can be made it says so, also where the system takes no new folders', async (t) => {
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
