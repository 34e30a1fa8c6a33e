import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { TailFile } from './tail-file.ts'

test('a file is read by position while it grows, and after it is closed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = new TailFile(join(folder, 'out'))
  assert.equal(statSync(file.path).mode & 0o777, 0o600)
  assert.equal(file.refresh(), false)
  appendFileSync(file.path, 'hello')
  assert.equal(file.refresh(), true)
  assert.equal((await file.read(1, 3)).toString(), 'ell')
  assert.equal((await file.read(5, 3)).length, 0)
  appendFileSync(file.path, Buffer.alloc(1_000_000, 'x'))
  file.freeze()
  appendFileSync(file.path, 'late')
  assert.equal(file.refresh(), false)
  const reading = file.read(0, 2_000_000)
  file.close()
  file.close()
  assert.equal((await reading).length, 1_000_005)
  assert.equal((await file.read(1_000_000, 100)).toString(), 'xxxxx')
})

test('a file length that was set but not written does not count', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = new TailFile(join(folder, 'out'))
  appendFileSync(file.path, 'written')
  file.refresh()
  truncateSync(file.path, 300 * 1024 ** 3)
  assert.equal(file.refresh(), false)
  appendFileSync(file.path, 'and more')
  file.freeze()
  assert.equal(file.size, 7)
  file.close()
})
