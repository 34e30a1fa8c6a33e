import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { limitConformance, noPerl } from '../../../test/support/limits/limit-conformance.ts'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import { processStat } from '../../platform/proc.ts'
import { ProcessTable, WatchdogLimiter } from './watchdog.ts'

const MiB = 1024 ** 2

limitConformance('watchdog')

test('watchdog: processes that ended since they were listed no longer count', {
  skip: noPerl(),
}, async (t) => {
  const forks = `my $held = "x" x (50 << 20); for (1..5) { fork or do { sleep 1000; exit } } $| = 1; print "forked"; sleep 1000`
  const wrapper = spawn('sh', ['-c', `perl -e '${forks}'; :`], { detached: true })
  t.after(() => process.kill(-wrapper.pid!, 'SIGKILL'))
  await once(wrapper.stdout, 'data')

  const table = new ProcessTable()
  const members = table.entries(0).filter(({ group }) => group === wrapper.pid)
  const perl = members.find(({ parent }) => parent === wrapper.pid)!
  const children = members.filter(({ parent }) => parent === perl.pid)
  assert.equal(children.length, 5)
  for (const { pid } of children) process.kill(pid, 'SIGKILL')
  await until(() => children.every(({ pid }) => processStat(pid) === undefined))

  const hold = new WatchdogLimiter({ mark: 'NONE=1', limits: { memory_bytes: 1024 * MiB }, table })
  hold.begun(wrapper.pid!)
  hold.look()
  assert.ok(hold.measure().peak_memory_bytes! < 250 * MiB, `${hold.measure().peak_memory_bytes}`)
})
