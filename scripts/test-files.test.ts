import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'

/** A project of its own with the test command and these test files. */
function project(t: TestContext, files: Record<string, string>) {
  const root = mkdtempSync(join(tmpdir(), 'errand-test-files-'))
  t.after(() => rmSync(root, { recursive: true }))
  for (const folder of ['scripts', 'src']) mkdirSync(join(root, folder))
  for (const name of ['test.ts', 'test-files.ts'])
    copyFileSync(join(import.meta.dirname, name), join(root, 'scripts', name))
  writeFileSync(join(root, 'package.json'), '{"type":"module"}')
  const start = "import test from 'node:test'\nimport fs from 'node:fs'\n"
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, 'src', name), start + text)
  return (env: Record<string, string> = {}) => {
    const { NODE_TEST_CONTEXT, ERRAND_TEST_NO_SKIPS, ERRAND_TEST_UNSTABLE, ERRAND_TEST_SECONDS, ...rest } =
      process.env
    const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/test.ts'], {
      cwd: root,
      env: { ...rest, ...env },
      encoding: 'utf8',
    })
    return { status, output: stdout + stderr }
  }
}

const passing = "test('passes', () => {})\n"
const failing = "test('fails', () => { console.log('it says so'); throw new Error('broken') })\n"
const exiting = 'process.exit(3)\n'
const skipped = "test('skipped', { skip: 'no engine' }, () => {})\n"
const endless = "test('ends', () => { setInterval(() => {}, 1000); throw new Error('why') })\n"
/** Fails the first time. */
const once =
  "test('once', () => { if (!fs.existsSync('seen')) { fs.writeFileSync('seen', ''); throw new Error('first') } })\n"

test('a failure is told with what its file has printed; a file that dies has failed', (t) => {
  const run = project(t, { 'a.test.ts': passing + failing, 'b.test.ts': passing, 'c.test.ts': exiting })
  const { status, output } = run()
  assert.equal(status, 1)
  assert.match(output, /FAILED src\/a\.test\.ts:4 fails.*Error: broken/s)
  assert.match(output, /printed by src\/a\.test\.ts\nit says so/)
  assert.match(output, /FAILED src\/c\.test\.ts/)
  assert.match(output, /\n2 passed, 2 failed\n/)
})

test('a file that does not end is ended, has failed, and tells what it has found', (t) => {
  const run = project(t, { 'a.test.ts': endless, 'b.test.ts': passing })
  const { status, output } = run({ ERRAND_TEST_SECONDS: '5' })
  assert.equal(status, 1)
  assert.match(output, /FAILED src\/a\.test\.ts:3 ends.*Error: why.*It had not ended after 5 s/s)
  assert.match(output, /\n1 passed, /)
})

test('a skip is told with its reason, and fails where none is allowed', (t) => {
  const run = project(t, { 'a.test.ts': passing + skipped })
  const usual = run()
  assert.equal(usual.status, 0)
  assert.match(usual.output, /Skipped:\n {2}src\/a\.test\.ts:4 skipped: no engine/)
  const strict = run({ ERRAND_TEST_NO_SKIPS: '1' })
  assert.equal(strict.status, 1)
  assert.match(strict.output, /no test may be skipped here/)
})

test('files with failures are run again alone where so many may be: what passes then is told as unstable', (t) => {
  const files = { 'a.test.ts': once + passing, 'b.test.ts': passing }
  assert.equal(project(t, files)().status, 1)
  const { status, output } = project(t, files)({ ERRAND_TEST_UNSTABLE: '1' })
  assert.equal(status, 0, output)
  assert.match(output, /FAILED src\/a\.test\.ts:3 once.*Error: first.*UNSTABLE src\/a\.test\.ts/s)
  assert.match(output, /\n3 passed, 0 failed\n$/)
})

test('what fails again alone has failed, and more than so many files are not run again', (t) => {
  const broken = project(t, { 'a.test.ts': failing + passing })({ ERRAND_TEST_UNSTABLE: '1' })
  assert.equal(broken.status, 1)
  assert.match(broken.output, /FAILED AGAIN src\/a\.test\.ts.*1 passed, 1 failed/s)
  const many = project(t, { 'a.test.ts': once, 'b.test.ts': failing })({ ERRAND_TEST_UNSTABLE: '1' })
  assert.equal(many.status, 1)
  assert.doesNotMatch(many.output, /AGAIN|UNSTABLE/)
})
