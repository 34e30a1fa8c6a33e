import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { command, endOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { sessionPlace } from '../../../test/support/runner/session-fixture.ts'
import { LimitKeeper } from './limit-keeper.ts'
import { OomKills } from './oom-kills.ts'

const EVENTS = 'low 0\nhigh 0\nmax 9\noom 9\noom_kill COUNT\noom_group_kill 0\n'
const CONTROL = 'oom_kill_disable 0\nunder_oom 0\noom_kill COUNT\n'
const KILLED = 'Out of memory: the kernel killed it. This runner and everything that it runs may use 256 MB.'

/** Makes a runner in a folder that looks like its cgroup, and shell commands that make the kernel count there. */
function machine() {
  const here = sessionPlace()
  const cgroup = join(here.path, 'cgroup')
  mkdirSync(cgroup)
  const count = (kills: number, of = CONTROL, file = 'memory.oom_control') =>
    writeFileSync(join(cgroup, file), of.replace('COUNT', String(kills)))
  count(3)
  writeFileSync(join(cgroup, 'memory.limit_in_bytes'), String(256 * 1024 ** 2))
  const open = (at?: string) =>
    here.open({
      limits: new LimitKeeper({
        choice: { heldBy: 'watchdog', why: 'it is tried' },
        oomKills: new OomKills(at ?? cgroup),
      }),
    })
  const counted = (kills: number) =>
    `echo oom_kill ${kills} > ${cgroup}/draft; mv ${cgroup}/draft ${cgroup}/memory.oom_control;`
  return { ...here, cgroup, count, open, counted, [Symbol.dispose]: () => here[Symbol.dispose]() }
}

test('a command that SIGKILL ends is out of memory if the kernel killed a process since it started', async () => {
  using here = machine()
  const attempts = here.open()
  const of = async (cmd: string) => await endOf(await attempts.start(command(cmd), 1))
  const killed = await of(`${here.counted(4)} kill -9 $$`)
  assert.deepEqual([killed.reason, killed.exit_code, killed.signal], ['oom', 137, 'SIGKILL'])
  assert.equal(killed.message, KILLED)
  assert.equal((await of(`${here.counted(5)} sh -c 'kill -9 $$'; exit 137`)).reason, 'oom')
  assert.equal((await of('kill -9 $$')).reason, 'signal')
  assert.equal((await of(`${here.counted(6)} exit 1`)).reason, 'exit_code')
  assert.equal((await of(`${here.counted(7)} kill $$`)).reason, 'signal')
  assert.equal((await of(here.counted(8))).outcome, 'success')
  await attempts.close()
})

test('one of several parallel attempts is out of memory for each process that the kernel killed', async () => {
  using here = machine()
  const attempts = here.open()
  const other = await attempts.start(
    command('echo began; until test -e go; do sleep 0.05; done; kill -9 $$'),
    1,
  )
  await until(() => other.length('stdout') > 0)
  const killed = await endOf(await attempts.start(command(`${here.counted(4)} kill -9 $$`), 1))
  assert.equal(killed.reason, 'oom')
  await endOf(await attempts.start(command('touch go'), 1))
  assert.equal((await endOf(other)).reason, 'signal')
  await attempts.close()
})

test('a canceled attempt stays canceled even if the kernel killed a process', async () => {
  using here = machine()
  const attempts = here.open()
  const attempt = await attempts.start(
    command(`trap "" TERM; ${here.counted(4)} echo began; while :; do sleep 1; done`),
    1,
  )
  await until(() => attempt.length('stdout') > 0)
  attempt.cancel(0, 'canceled')
  assert.equal((await endOf(attempt)).outcome, 'canceled')
  await attempts.close()
})

test('a later process of the runner knows about the kill too, wherever it runs', async () => {
  using here = machine()
  const first = here.open()
  const spec = command(`until test -e go; do sleep 0.05; done; ${here.counted(4)} kill -9 $$`)
  await first.start(spec, 1)
  await first.close()
  const second = here.open(join(here.path, 'elsewhere'))
  await second.recover()
  // Nothing is counted there.
  await endOf(await second.start(command('touch go'), 1))
  assert.equal((await endOf(second.get(spec.attempt_id)!)).reason, 'oom')
  await second.close()
})

test('an agent whose program the kernel killed is out of memory too', async () => {
  using here = machine()
  const attempts = here.open()
  const go = join(here.path, 'go')
  const killed = await endOf(
    await attempts.start(here.spec(`run ${here.counted(4)} touch ${go}\nwait ${go}\nexit 137`), 1),
  )
  assert.deepEqual([killed.reason, killed.message], ['oom', KILLED])
  const ended = await endOf(await attempts.start(here.spec(`exit 137`), 1))
  assert.equal(ended.reason, 'action_failed')
  await attempts.close()
})

test('version 2 counts only the cgroup itself, and older kernels also count those below it', () => {
  using here = machine()
  const kills = new OomKills(here.cgroup)
  here.count(1, EVENTS, 'memory.events')
  writeFileSync(join(here.cgroup, 'memory.max'), 'max\n')
  const first = kills.mark()!
  assert.equal(first.kills, 1)
  here.count(2, EVENTS, 'memory.events')
  assert.equal(kills.take(first)?.reason, 'oom')
  assert.equal(kills.take(first), undefined)
  here.count(0, EVENTS, 'memory.events.local')
  assert.equal(kills.mark()!.kills, 0)
  assert.equal(new OomKills(join(here.path, 'none')).mark(), undefined)
})

test('without a cgroup limit the message names none', () => {
  using here = machine()
  writeFileSync(join(here.cgroup, 'memory.limit_in_bytes'), '9223372036854771712\n')
  const kills = new OomKills(here.cgroup)
  const mark = kills.mark()!
  here.count(4)
  assert.equal(kills.take(mark)?.message, 'Out of memory: the kernel killed it.')
})
