import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { LastRun } from './test-last-run.ts'

function checkout(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-last-run-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

test('the next run of the same kind knows the files that passed, and only those', (t) => {
  const root = checkout(t)
  assert.deepEqual(new LastRun(root, 'usual').read(), new Set())
  new LastRun(root, 'usual').write(new Set(['src/b.test.ts', 'src/a.test.ts']))
  assert.deepEqual(new LastRun(root, 'usual').read(), new Set(['src/a.test.ts', 'src/b.test.ts']))
  assert.deepEqual(new LastRun(root, 'all').read(), new Set())
  new LastRun(root, 'usual').write(['src/c.test.ts'])
  new LastRun(root, 'all').write(['src/d.test.ts'])
  assert.deepEqual(new LastRun(root, 'usual').read(), new Set(['src/c.test.ts']))
  assert.deepEqual(new LastRun(root, 'all').read(), new Set(['src/d.test.ts']))
})

test('a damaged record counts as none and is replaced', (t) => {
  const root = checkout(t)
  const lastRun = new LastRun(root, 'usual')
  for (const text of ['', '{"passed":["src/a', 'null', '[]', '{}', '{"passed":"all"}', '{"passed":null}']) {
    lastRun.write(['src/a.test.ts'])
    writeFileSync(join(root, 'node_modules/.cache/errand-tests/last-run-usual.json'), text)
    assert.deepEqual(lastRun.read(), new Set(), text)
    lastRun.write(['src/b.test.ts'])
    assert.deepEqual(lastRun.read(), new Set(['src/b.test.ts']), text)
  }
  const mixed = '{"passed":[null,1,"src/c.test.ts"]}'
  writeFileSync(join(root, 'node_modules/.cache/errand-tests/last-run-usual.json'), mixed)
  assert.deepEqual(lastRun.read(), new Set(['src/c.test.ts']))
})
