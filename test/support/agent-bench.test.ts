import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { benchFolder } from './agent-bench.ts'

test('a folder is removed after all its cleanups, last first, even if one fails', async () => {
  const done: string[] = []
  const folder = benchFolder()
  folder.atEnd(() => void done.push('server'))
  folder.atEnd(() => assert.fail('it cannot be killed'))
  folder.atEnd(() => void done.push('process'))
  await assert.rejects(folder.remove(), /it cannot be killed/)
  assert.deepEqual(done, ['process', 'server'])
  assert.equal(existsSync(dirname(folder.cwd)), false)
  await folder.remove()
})

test('nothing is left of a test that fails or is ended', async (t) => {
  const place = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(place, { recursive: true, force: true }))
  const bench = join(import.meta.dirname, 'agent-bench.ts')
  const outcome = async (then: string) => {
    const code = `
      import { test } from 'node:test'
      import { benchFolder } from ${JSON.stringify(bench)}
      test('made', async (t) => { benchFolder(t); console.log('made'); ${then} })`
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      env: { ...env, TMPDIR: place },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    child.stdout.once('data', () => then.includes('setTimeout') && child.kill('SIGTERM'))
    child.stdout.resume()
    await once(child, 'close')
    return readdirSync(place).filter((name) => name.startsWith('errand-agent-'))
  }
  assert.deepEqual(await outcome('throw new Error("it fails")'), [])
  assert.deepEqual(await outcome('process.exit(1)'), [])
  // Sleeps: the file must not end by itself, because the test ends it from outside.
  assert.deepEqual(await outcome('await new Promise((done) => setTimeout(done, 600_000))'), [])
})
