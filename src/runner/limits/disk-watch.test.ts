import assert from 'node:assert/strict'
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { folderSize } from './disk-watch.ts'

const NAMES = 1_000
const signal = new AbortController().signal
const enoughBytes = Number.POSITIVE_INFINITY

/** Makes one file of 10,000 bytes with many names, beside a folder whose name is not UTF-8. */
function linked(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-folder-size-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, '0')
  writeFileSync(file, Buffer.alloc(10_000))
  for (let index = 1; index < NAMES; index++) linkSync(file, join(folder, String(index)))
  const odd = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe])])
  mkdirSync(odd)
  writeFileSync(Buffer.concat([odd, Buffer.from('/file')]), Buffer.alloc(50_000))
  return folder
}

test('further names of a file count only a minimum each, and its content counts once', async (t) => {
  const folder = linked(t)
  const content = await folderSize(folder, { signal, enoughBytes })
  assert.ok(content >= 60_000 && content < 90_000, String(content))
  const names = await folderSize(folder, { signal, enoughBytes, leastBytes: 4096 })
  assert.ok(names >= 60_000 + (NAMES - 1) * 4096 && names < 90_000 + NAMES * 4096, String(names))
})

test('an endless folder is counted only until the size is enough', async (t) => {
  const bytes = await folderSize(linked(t), { signal, enoughBytes: 200_000, leastBytes: 4096 })
  assert.ok(bytes > 200_000 && bytes < 300_000, String(bytes))
})
