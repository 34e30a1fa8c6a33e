import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DataSize } from './data-size.ts'

test('counts a folder with everything below it, follows no link, and says when there is more', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'errand-size-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  mkdirSync(join(dir, 'a/b'), { recursive: true })
  writeFileSync(join(dir, 'one'), 'x'.repeat(1000))
  writeFileSync(join(dir, 'a/b/two'), 'x'.repeat(500))
  const link = join(dir, 'a/loop')
  symlinkSync(dir, link)
  const { bytes, is_whole, free_bytes } = await new DataSize(dir).now()
  assert.ok(bytes >= 1500 && bytes < 1500 + dir.length + 10, String(bytes))
  assert.ok(is_whole && free_bytes > 0)
  assert.equal((await new DataSize(dir, 1).now()).is_whole, false)
  await assert.rejects(new DataSize(join(dir, 'gone')).now(), { code: 'ENOENT' })
})
