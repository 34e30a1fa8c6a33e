import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { ownProgram } from './own-program.ts'

test('a program is its source, or else its bundle next to the bundles or above their parts', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'errand-own-program-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const parts = join(dir, 'parts')
  mkdirSync(parts)
  const found = () => ownProgram(parts, 'program.ts', 'proxy.cjs')
  // The caller reports that the program is missing, and names where the build puts it.
  assert.equal(found(), join(parts, 'proxy.cjs'))
  for (const file of [join(dir, 'proxy.cjs'), join(parts, 'proxy.cjs'), join(parts, 'program.ts')]) {
    writeFileSync(file, '')
    assert.equal(found(), file)
  }
})
