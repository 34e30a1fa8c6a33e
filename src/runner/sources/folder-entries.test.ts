import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { folderEntries, SkippedPaths } from './folder-entries.ts'

test('a walk through a folder ends with its signal, however many files are left', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-entries-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const name of ['a', 'b']) writeFileSync(join(folder, name), '')
  const reason = new Error('too late')
  await assert.rejects(folderEntries(folder, new SkippedPaths(''), AbortSignal.abort(reason)), reason)
})
