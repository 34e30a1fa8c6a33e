import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { noMountNamespace } from '../../../test/faults/small-disk.ts'
import { command, place } from '../../../test/support/runner/attempt-fixture.ts'

/** Program that fills the disk except for a number of blocks, and prints how an attempt then runs. */
const PROGRAM = `
import { appendFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
import { builtinActionRegistry } from ${JSON.stringify(new URL('../../actions/registry.ts', import.meta.url).href)}
const [path, blocks, spec] = process.argv.slice(1)
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: builtinActionRegistry, timeoutGraceMs: 100,
})
let filled = 0
try {
  for (;; filled += 4096) appendFileSync(path + '/filler', Buffer.alloc(4096))
} catch {}
truncateSync(path + '/filler', filled - Number(blocks) * 4096)
try {
  const attempt = await attempts.start(JSON.parse(spec), 1)
  while (!attempt.ended) await new Promise((resolve) => setTimeout(resolve, 10))
  console.log(JSON.stringify({ ...attempt.reports.at(-1), stdout: attempt.length('stdout') }))
  await attempt.release()
} catch (error) {
  console.log(JSON.stringify({ code: error.code, message: error.message }))
}
await attempts.close()
`

/** Runs on a separate disk of 1 MB, which only that process sees. */
function onFullDisk(path: string, blocks: number, cmd: string) {
  const inner = `mount -t tmpfs -o size=1m,mode=700 full "$1" && exec "$0" --input-type=module -e "$2" "$1" "$3" "$4"`
  const args = [process.execPath, path, PROGRAM, String(blocks), JSON.stringify(command(cmd))]
  return spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', inner, ...args], {
    encoding: 'utf8',
  })
}

const skip = noMountNamespace()

test('on a full disk an attempt is refused or fails, and never succeeds', { skip }, () => {
  using here = place()
  const results = [0, 1, 2, 3].map((blocks) => {
    const { stdout, stderr } = onFullDisk(here.path, blocks, 'echo a; echo b')
    assert.equal(stderr, '')
    return JSON.parse(stdout)
  })
  assert.equal(results[0].code, 'disk_full')
  for (const result of results)
    assert.ok(result.code === 'disk_full' || result.outcome === 'failed', JSON.stringify(result))
})

test('a command that fills the disk sees the error itself, and its output so far is stored', { skip }, () => {
  using here = place()
  const { stdout } = onFullDisk(here.path, 32, 'head -c 10000000 /dev/zero || exit 9')
  const end = JSON.parse(stdout)
  assert.equal(end.outcome, 'failed')
  assert.ok(end.stdout > 0 && end.stdout < 200_000, stdout)
})
