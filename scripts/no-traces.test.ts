import assert from 'node:assert/strict'
import test from 'node:test'
import { tracesOf } from './no-traces.ts'

test('a resolved address in a lock file is found', () => {
  const text = '{\n  "resolved": "https://registry.example/a.tgz"\n}'
  assert.deepEqual(
    tracesOf('web/package-lock.json', text).map((one) => one.line),
    [2],
  )
  assert.deepEqual(tracesOf('docs/lock.md', text), [])
})

test('a folder of one machine is found, a path that every machine has is not', () => {
  assert.equal(tracesOf('a.md', ['', 'home', 'anna', 'errand'].join('/')).length, 1)
  assert.equal(tracesOf('a.md', ['see ', 'Users', 'anna', 'x'].join('/')).length, 1)
  for (const text of [
    '/home/user/flows',
    '/usr/local/bin/errand',
    'src/root/x',
    '~/.errand/data',
    'GET /api/work/x',
  ]) {
    assert.deepEqual(tracesOf('a.md', text), [], text)
  }
})
