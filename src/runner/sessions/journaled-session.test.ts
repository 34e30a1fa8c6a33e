import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { noMountNamespace } from '../../../test/faults/small-disk.ts'
import { place } from '../../../test/support/runner/attempt-fixture.ts'

const PROGRAM = `
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { dropConversation } from ${JSON.stringify(new URL('journaled-session.ts', import.meta.url).href)}
const folder = process.argv[1]
const line = JSON.stringify({ type: 'report', n: 1, report: { type: 'started' } }) + '\\n'
writeFileSync(folder + '/reports', line.repeat(1000))
try {
  for (;;) appendFileSync(folder + '/filler', Buffer.alloc(4096))
} catch {}
dropConversation(folder)
console.log(readFileSync(folder + '/reports', 'utf8') === line.repeat(1000))
`
const UNSHARE = ['--map-root-user', '--mount']

test('on a full disk a conversation that cannot be dropped is removed with its folder, and its reports stay', {
  skip: noMountNamespace(),
}, () => {
  using here = place()
  const inner = 'mount -t tmpfs -o size=1m,mode=700 full "$1" && exec "$0" --input-type=module -e "$2" "$1"'
  const args = [process.execPath, here.path, PROGRAM]
  const { stdout, stderr } = spawnSync('unshare', [...UNSHARE, 'sh', '-c', inner, ...args], {
    encoding: 'utf8',
  })
  assert.deepEqual([stdout.trim(), stderr], ['true', ''])
})
