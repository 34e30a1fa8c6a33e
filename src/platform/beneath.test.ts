import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LeadsOut, withFolderBeneath, writeBeneath } from './beneath.ts'

const skip = process.platform !== 'linux' && 'it takes Linux'

function folders(t: TestContext) {
  const path = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(path, { recursive: true }))
  const [inside, outside] = [join(path, 'inside'), join(path, 'outside')]
  mkdirSync(inside)
  mkdirSync(outside)
  writeFileSync(join(outside, 'kept'), 'as it was')
  return { inside, outside }
}

test('a file is written with its folders and its mode, and replaces an existing one', {
  skip,
}, async (t) => {
  const { inside } = folders(t)
  await writeBeneath(inside, 'a/b/file', 'longer than the next', { mode: 0o600 })
  await writeBeneath(inside, join(inside, 'a/../a/b/file'), 'next', { mode: 0o755 })
  assert.equal(readFileSync(join(inside, 'a/b/file'), 'utf8'), 'next')
  assert.equal(statSync(join(inside, 'a/b/file')).mode & 0o777, 0o755)
  symlinkSync(inside, `${inside}-link`)
  await writeBeneath(`${inside}-link`, 'other', 'x', { mode: 0o644 })
  assert.equal(readFileSync(join(inside, 'other'), 'utf8'), 'x')
  rmSync(`${inside}-link`)
})

test('a path that leads out of the folder is refused, and nothing outside changes', { skip }, async (t) => {
  const { inside, outside } = folders(t)
  symlinkSync(outside, join(inside, 'folder'))
  symlinkSync(join(outside, 'kept'), join(inside, 'file'))
  symlinkSync(join(outside, 'new'), join(inside, 'dangling'))
  mkdirSync(join(inside, 'deep'))
  symlinkSync('../folder', join(inside, 'deep/more'))
  assert.equal(spawnSync('mkfifo', [join(inside, 'pipe')]).status, 0)
  const why = async (path: string) => {
    try {
      await writeBeneath(inside, path, 'taken over', { mode: 0o644 })
      return 'written'
    } catch (error) {
      assert.ok(error instanceof LeadsOut, String(error))
      return error.message
    }
  }
  assert.match(await why('../outside/kept'), /^it is not below/)
  assert.match(await why(join(outside, 'kept')), /^it is not below/)
  assert.equal(await why('.'), 'it is a folder')
  assert.equal(await why('folder/kept'), 'a link or a file is on the way')
  assert.equal(await why('deep/more/kept'), 'a link or a file is on the way')
  assert.equal(await why('file'), 'it is a link')
  assert.equal(await why('dangling'), 'it is a link')
  assert.equal(await why('pipe'), 'it is not a file')
  assert.deepEqual(readdirSync(outside), ['kept'])
  assert.equal(readFileSync(join(outside, 'kept'), 'utf8'), 'as it was')
})

test('a folder in use stays the same folder even when another takes its place', { skip }, async (t) => {
  const { inside, outside } = folders(t)
  await withFolderBeneath(inside, 'out/here', async (place) => {
    renameSync(join(inside, 'out'), join(inside, 'moved'))
    symlinkSync(outside, join(inside, 'out'))
    mkdirSync(join(outside, 'here'))
    linkSync(join(outside, 'kept'), join(place, 'linked'))
    writeFileSync(join(place, 'file'), 'x')
  })
  assert.deepEqual(readdirSync(join(outside, 'here')), [])
  assert.ok(existsSync(join(inside, 'moved/here/file')))
})
