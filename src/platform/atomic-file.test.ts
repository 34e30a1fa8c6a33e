import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { it } from 'node:test'
import { writeFileAtomic } from './atomic-file.ts'

it('replaces a file whole, with the mode asked for, and leaves nothing beside it', (t) => {
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

it('leaves the old one and nothing else where the new one cannot be put', (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-atomic-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(path.join(dir, 'taken', 'deep'), { recursive: true })
  assert.throws(() => writeFileAtomic(path.join(dir, 'taken'), 'x'))
  assert.throws(() => writeFileAtomic(path.join(dir, 'none', 'a'), 'x'), { code: 'ENOENT' })
  assert.deepEqual(readdirSync(dir), ['taken'])
})
