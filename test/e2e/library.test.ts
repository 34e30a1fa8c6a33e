import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import * as library from 'errand'

test('the example of an embedded engine runs its own action, calls its notifier and ends', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-embed-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const example = join(import.meta.dirname, '../../examples/embed.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [example], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 180_000,
  })
  assert.equal(status, 0, stderr)
  const lines = stdout.split('\n')
  for (const line of [
    'good day, Anna',
    'Anna was greeted',
    'embedded-1 is running (greet)',
    'embedded-1 is success',
    'it ended success',
  ]) {
    assert.ok(lines.includes(line), `"${line}" is not in:\n${stdout}`)
  }
  assert.match(stderr, /lost when this process ends/)
  assert.deepEqual(readdirSync(folder), [])
})

test('the library has an engine, three stores, hosts and a client', () => {
  for (const name of [
    ...[
      'Engine',
      'MemoryRunStore',
      'FileRunStore',
      'openSqliteRunStore',
      'BoundedOutputStore',
      'LocalHost',
      'HttpHost',
    ],
    ...[
      'ErrandClient',
      'ErrandError',
      'builtinActions',
      'builtinActionRegistry',
      'parseWorkflow',
      'workflowSchema',
    ],
  ]) {
    assert.ok(name in library, name)
  }
})

test('an unfinished run of a store on disk is resumed by another engine', async (t) => {
  const { BoundedOutputStore, builtinActionRegistry, Engine, FileRunStore, LocalHost } = library
  const folder = mkdtempSync(join(tmpdir(), 'errand-resume-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const open = () => {
    const store = new FileRunStore({ dir: join(folder, 'runs') })
    const host = new LocalHost({ registry: builtinActionRegistry })
    const outputs = new BoundedOutputStore({ spillDir: join(folder, 'output') })
    return { store, host, outputs, engine: new Engine({ store, host, outputs }) }
  }
  const first = open()
  await first.engine.submit({
    run_id: 'unfinished',
    yaml: 'version: v0.1\nname: w\nsteps:\n  - {name: ask, action: approval.wait}\n  - {name: go, action: noop}\n',
  })
  for (const part of [first.engine, first.host, first.outputs, first.store]) await part.close()

  const second = open()
  await second.engine.resume()
  await second.engine.answer('unfinished', { step: 'ask', decision: 'approve' })
  assert.equal((await second.engine.done('unfinished')).status, 'success')
  for (const part of [second.engine, second.host, second.outputs, second.store]) await part.close()
})
