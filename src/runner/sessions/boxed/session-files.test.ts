import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { makeBelow, writeBelow } from './session-files.ts'

function folders(context: TestContext): { home: string; outside: string } {
  const folder = mkdtempSync(join(tmpdir(), 'errand-session-files-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const [home, outside] = [join(folder, 'home'), join(folder, 'outside')]
  for (const each of [home, outside]) mkdirSync(each)
  return { home, outside }
}

test('a file of a session is private, even in folders that did not exist', (context) => {
  const { home } = folders(context)
  const file = join(home, 'codex', 'deep', 'config.toml')
  writeBelow(home, file, 'one')
  writeBelow(home, file, 'two')
  writeBelow(home, join(home, 'top'), 'three')
  assert.equal(readFileSync(file, 'utf8'), 'two')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.equal(readFileSync(join(home, 'top'), 'utf8'), 'three')
})

test('a link that an agent left as the file, its folder or a folder above is replaced, not followed', (context) => {
  const { home, outside } = folders(context)
  const outsideFile = join(outside, 'config.toml')
  writeFileSync(outsideFile, 'the hub')
  symlinkSync(outsideFile, join(home, 'config.toml'))
  symlinkSync(outside, join(home, 'codex'))
  symlinkSync(outside, join(home, 'opencode'))
  symlinkSync(outside, join(home, 'user'))
  writeBelow(home, join(home, 'config.toml'), 'ours')
  writeBelow(home, join(home, 'codex', 'config.toml'), 'ours')
  writeBelow(home, join(home, 'opencode', 'data', 'auth.json'), 'ours')
  makeBelow(home, 'user')
  assert.equal(readFileSync(outsideFile, 'utf8'), 'the hub')
  assert.ok(!existsSync(join(outside, 'data')))
  assert.ok(!existsSync(join(outside, 'auth.json')))
  assert.equal(readFileSync(join(home, 'codex', 'config.toml'), 'utf8'), 'ours')
})

test('a folder in place of a file and a file in place of a folder are replaced', (context) => {
  const { home } = folders(context)
  mkdirSync(join(home, 'config.toml', 'full'), { recursive: true })
  writeFileSync(join(home, 'codex'), '')
  writeBelow(home, join(home, 'config.toml'), 'ours')
  writeBelow(home, join(home, 'codex', 'auth.json'), 'ours')
  assert.equal(readFileSync(join(home, 'config.toml'), 'utf8'), 'ours')
  assert.equal(readFileSync(join(home, 'codex', 'auth.json'), 'utf8'), 'ours')
})

test('nothing is written outside the home', (context) => {
  const { home, outside } = folders(context)
  assert.throws(() => writeBelow(home, join(outside, 'file'), 'ours'), /is not below/)
})
