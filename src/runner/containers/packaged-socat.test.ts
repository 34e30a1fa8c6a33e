import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { elfLoader } from './elf-loader.ts'
import { packagedSocat } from './packaged-socat.ts'

const program = '/bin/ls'
const skip = elfLoader(program) === undefined && `${program} loads nothing here`

test('a program is stored once with all that it loads, and older copies are removed', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-socat-'))
  t.after(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'socat-0123456789abcdef'))
  mkdirSync(join(folder, 'images'))
  const [stored, same] = await Promise.all([packagedSocat(folder, program), packagedSocat(folder, program)])
  assert.equal(stored, same)
  assert.deepEqual(readdirSync(folder).length, 2)
  // Only that folder: no library of the machine is reachable.
  const words = ['--list', join(stored!, 'socat')]
  const { stdout } = spawnSync(join(stored!, 'errand-bridge'), ['--library-path', stored!, ...words])
  const paths = [...String(stdout).matchAll(/=> (\S+)/g)].map(([, path]) => path!)
  assert.ok(paths.length > 0 && paths.every((path) => path.startsWith(stored!)), String(stdout))
  const script = join(folder, 'script')
  writeFileSync(script, '#!/bin/sh\n', { mode: 0o755 })
  assert.equal(await packagedSocat(folder, script), undefined)
  assert.equal(await packagedSocat(folder, join(folder, 'none')), undefined)
  assert.ok(existsSync(stored!))
})
