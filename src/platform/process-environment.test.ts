import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { environmentOf } from './process-environment.ts'

test('a process is known by its environment also while it begins one program after another', async (t) => {
  const again = 'exec sh -c "$AGAIN"'
  const child = spawn('sh', ['-c', again], { env: { PATH: process.env.PATH, AGAIN: again, MARK: 'x' } })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  let seen = 0
  for (let looks = 0; looks < 3000; looks++) {
    const environment = environmentOf(child.pid!)
    if (environment === undefined) continue
    assert.ok(`${environment}\0`.includes('\0MARK=x\0'), `look ${looks}`)
    seen++
  }
  assert.ok(seen > 0)
})

test('a process without an environment, one that is gone and the first one of the machine are answered', async (t) => {
  const child = spawn('/bin/sleep', ['1000'], { env: {} })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  assert.equal(environmentOf(child.pid!), '')
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(environmentOf(child.pid!), '')
  assert.equal(typeof environmentOf(1), 'string')
})
