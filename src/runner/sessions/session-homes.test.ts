import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { noMountNamespace } from '../../../test/faults/small-disk.ts'
import { place } from '../../../test/support/runner/attempt-fixture.ts'
import { SessionHomes } from './session-homes.ts'

/**
 * Program that adopts its attempts, with two sessions that were not used for eight days; a disk is mounted in one of
 * them.
 */
const PROGRAM = `
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdirSync, readdirSync, utimesSync } from 'node:fs'
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
const path = process.argv[1]
const homes = path + '/sessions/homes'
for (const name of ['run_kept.1', 'run_old.1']) {
  mkdirSync(homes + '/' + name + '/disk', { recursive: true })
  mkdirSync(path + '/workspaces/' + name.slice(0, -2), { recursive: true })
  const old = Date.now() / 1000 - 8 * 24 * 3600
  utimesSync(homes + '/' + name, old, old)
}
spawnSync('mount', ['-t', 'tmpfs', 'busy', homes + '/run_kept.1/disk'])
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: {},
  agents: { known: [], folder: path, sessionsDir: path + '/sessions', allowedDirs: 'any' },
})
await attempts.recover()
const over = attempts.runs()
await attempts.close()
spawnSync('umount', [homes + '/run_kept.1/disk'])
console.log(JSON.stringify([readdirSync(homes), over, readdirSync(path + '/workspaces').sort()]))
`
const UNSHARE = ['--map-root-user', '--mount']

test('an old session that cannot be deleted does not keep a runner from starting', {
  skip: noMountNamespace(),
}, () => {
  using here = place()
  const program = [process.execPath, '--input-type=module', '-e', PROGRAM, here.path]
  const { stdout, stderr } = spawnSync('unshare', [...UNSHARE, ...program], { encoding: 'utf8' })
  assert.equal(stderr, '')
  // The files of a run go when it is over, which this runner cannot know: it may wait for an approval.
  assert.deepEqual(JSON.parse(stdout), [['run_kept.1'], ['run_old'], ['run_kept', 'run_old']])
})

test("an agent that names another's session does not take it over, unless that one is gone", () => {
  using here = place()
  const homes = new SessionHomes(here.path)
  const own = homes.take('acp', undefined, 'run_a.1')
  homes.keep('acp', 'session', own)
  const others = homes.take('acp', undefined, 'run_b.1')
  homes.keep('acp', 'session', others)
  assert.equal(homes.take('acp', 'session', 'run_c.1'), own)
  rmSync(own, { recursive: true })
  homes.keep('acp', 'session', others)
  assert.equal(homes.take('acp', 'session', 'run_d.1'), others)
})
