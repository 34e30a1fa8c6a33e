import assert from 'node:assert/strict'
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { eventually } from '../errand-command.ts'
import { guestMissing, runInGuest } from './guest.ts'

const skip = guestMissing()

/** Creates a test file and a folder for the guest's files. */
function place(t: TestContext, text: string): { file: string; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'errand-guest-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'in the guest.mjs')
  writeFileSync(file, text)
  return { file, folder }
}

test('a guest has cgroup v2 and runs a test file, and returns the result of each of its tests', {
  skip,
}, async (t) => {
  const { file, folder } = place(
    t,
    `import { readFileSync, writeFileSync } from 'node:fs'
     import { test } from 'node:test'
     test('has cgroup v2', () => {
       const found = readFileSync('/sys/fs/cgroup/cgroup.controllers', 'utf8')
       if (!/cpu.*memory.*pids/.test(found)) throw new Error(found)
     })
     test('cannot write to the host', () => writeFileSync(import.meta.filename + '.more', ''))
     test('is not for here', { skip: 'because' }, () => {})
     console.log('printed by the file')`,
  )
  const { tests, code, lastLines } = await runInGuest(file, { folder })
  assert.deepEqual(
    tests.map(({ name, passed, skipped }) => ({ name, passed, skipped })),
    [
      { name: 'has cgroup v2', passed: true, skipped: undefined },
      { name: 'cannot write to the host', passed: false, skipped: undefined },
      { name: 'is not for here', passed: true, skipped: 'because' },
    ],
  )
  assert.match(tests[1]!.error!, /EROFS/)
  assert.equal(code, 1)
  assert.match(lastLines, /printed by the file/)
  assert.deepEqual(readdirSync(folder), ['in the guest.mjs'])
})

test('a guest that hangs is ended with all its processes, and its last lines are reported', {
  skip,
}, async (t) => {
  const { file, folder } = place(
    t,
    `import { test } from 'node:test'
     test('is done', () => console.log('hangs now'))
     test('hangs', () => new Promise(() => setInterval(() => {}, 1000)))`,
  )
  const ending = new AbortController()
  const run = runInGuest(file, { folder, signal: ending.signal })
  const rejected = assert.rejects(run, /was ended: too long.*hangs now/s)
  await eventually('the first test', () =>
    globSync(`${folder}/*/report/tests`).some((path) => readFileSync(path, 'utf8') !== ''),
  )
  assert.ok(usersOf(folder).length > 1)
  ending.abort('too long')
  await rejected
  assert.deepEqual(usersOf(folder), [])
  assert.deepEqual(readdirSync(folder), ['in the guest.mjs'])
})

/** Returns the processes that have mapped a file below the folder, as all processes of a guest have its memory. */
function usersOf(folder: string): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/maps`, 'latin1').includes(`${folder}/`)
    } catch {
      return false
    }
  })
}
