import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { test as registerHere } from 'node:test'
import type { AttemptLimits, AttemptSpec } from '../../../src/contract/attempt.ts'
import { hasMark, isAlive, processStat } from '../../../src/platform/proc.ts'
import { chooseLimits, giveBack } from '../../../src/runner/limits/limit-choice.ts'
import { LimitKeeper } from '../../../src/runner/limits/limit-keeper.ts'
import type { HeldBy } from '../../../src/runner/limits/limiter.ts'
import { command, endOf, place, textOf, until } from '../runner/attempt-fixture.ts'
import { sessionPlace } from '../runner/session-fixture.ts'

const MiB = 1024 ** 2
/** Allocates so many MiB of memory, touches them, says so and stays. */
const HOG = `node -e '
  const held = []
  for (let n = 0; n < Number(process.argv[1]) / 16; n++) held.push(Buffer.alloc(16 * 1024 * 1024, 1))
  console.log("took it")
  setTimeout(() => {}, 100000)
'`
/** Uses so many milliseconds of CPU time. */
const BURN = `node -e 'while (process.cpuUsage().user + process.cpuUsage().system < Number(process.argv[1]) * 1000);'`
/** Leaves its session, its group, its parent and its environment. */
const DAEMON = `setsid env -i sh -c 'sleep 1000 & echo $! >daemon.draft; mv daemon.draft daemon' & until [ -e daemon ]; do sleep 0.05; done`

/** Returns why this machine cannot enforce limits in this way, or false. */
export function limitsMissing(heldBy: HeldBy): string | false {
  const probe = chooseLimits(`errand-probe-${randomBytes(4).toString('hex')}`, heldBy)
  giveBack(probe)
  return probe.heldBy === heldBy ? false : `not on this machine: ${'why' in probe ? probe.why : ''}`
}

/** The `test` of `node:test`, or a function that runs each of these tests elsewhere. */
export type RegisterTest = (
  name: string,
  options: { skip: string | false },
  run: () => Promise<void>,
) => unknown

/** Checks what every way of enforcing limits does. The tests are skipped, with the reason, on machines without it. */
export function limitConformance(heldBy: HeldBy, test: RegisterTest = registerHere): void {
  const skip = limitsMissing(heldBy)
  const byKernel = heldBy !== 'watchdog'

  function machine(defaults?: AttemptLimits) {
    const name = `errand-test-${randomBytes(6).toString('hex')}`
    const here = place()
    const keeper = () => new LimitKeeper({ choice: chooseLimits(name, heldBy), defaults })
    return {
      path: here.path,
      keeper,
      open: () => here.open({ limits: keeper(), env: process.env }),
      /** Removes its cgroups, which is possible only if no process is left in them. */
      empty: () => giveBack(chooseLimits(name, heldBy)),
      work: (file: string) => join(here.path, 'workspaces/run_test', file),
      [Symbol.dispose]() {
        giveBack(chooseLimits(name, heldBy))
        here[Symbol.dispose]()
      },
    }
  }
  const limited = (cmd: string, limits: AttemptLimits, more: Partial<AttemptSpec> = {}) =>
    command(cmd, { limits, ...more })

  test(`${heldBy}: a process over its memory limit ends as oom, with the figure`, {
    skip,
  }, async () => {
    using here = machine()
    const attempts = here.open()
    const end = await endOf(await attempts.start(limited(`${HOG} 1024`, { memory_bytes: 200 * MiB }), 1))
    assert.equal(end.outcome, 'failed')
    assert.equal(end.reason, 'oom')
    assert.match(end.message!, /used \d+(\.\d)? [MG]B of 200 MB/)
    assert.equal(end.usage?.held_by, heldBy)
    assert.ok(end.usage!.peak_memory_bytes! > 150 * MiB, `${end.usage!.peak_memory_bytes}`)
    await attempts.close()
  })

  test(`${heldBy}: memory counts over all processes, and all of them end`, { skip }, async () => {
    using here = machine()
    const attempts = here.open()
    const cmd = `sleep 1000 & echo $! >bystander; for n in 1 2 3 4; do ${HOG} 128 & done; wait`
    const end = await endOf(await attempts.start(limited(cmd, { memory_bytes: 400 * MiB }), 1))
    assert.equal(end.reason, 'oom')
    const bystander = Number(readFileSync(here.work('bystander'), 'utf8'))
    assert.equal(processStat(bystander), undefined)
    await attempts.close()
  })

  test(`${heldBy}: memory that forked processes share counts once`, { skip: skip || noPerl() }, async () => {
    using here = machine()
    const attempts = here.open()
    const cmd = `perl -e 'my $held = "x" x (100 << 20); for (1..5) { fork or do { sleep 1; exit } } 1 while wait > 0'`
    const end = await endOf(await attempts.start(limited(cmd, { memory_bytes: 450 * MiB }), 1))
    assert.equal(end.outcome, 'success', JSON.stringify(end))
    const peak = end.usage!.peak_memory_bytes!
    assert.ok(peak > 90 * MiB && peak < 450 * MiB, `${peak}`)
    await attempts.close()
  })

  test(`${heldBy}: a step within its limits succeeds, with its peak and its CPU time`, {
    skip,
  }, async () => {
    using here = machine()
    const attempts = here.open()
    const limits = { memory_bytes: 1024 * MiB, processes: 200, cpus: cpus().length, disk_bytes: 100 * MiB }
    const end = await endOf(await attempts.start(limited(`${BURN} 400`, limits), 1))
    assert.equal(end.outcome, 'success', JSON.stringify(end))
    const { peak_memory_bytes, cpu_ms } = end.usage!
    assert.ok(cpu_ms! >= 390 && cpu_ms! < 5_000, `${cpu_ms}`)
    assert.ok(peak_memory_bytes! > 5 * MiB && peak_memory_bytes! < 500 * MiB, `${peak_memory_bytes}`)
    await attempts.close()
  })

  test(`${heldBy}: CPU time is also recorded without limits`, { skip }, async () => {
    using here = machine()
    const attempts = here.open()
    const end = await endOf(await attempts.start(command(`${BURN} 300`), 1))
    assert.ok(end.usage!.cpu_ms! >= 290 && end.usage!.cpu_ms! < 5_000, JSON.stringify(end.usage))
    assert.equal(end.usage!.not_held, undefined)
    await attempts.close()
  })

  test(`${heldBy}: a fork bomb is limited to its number of processes`, { skip }, async () => {
    using here = machine()
    const attempts = here.open()
    // Bounded, so that it does no harm if it is not held back but ended.
    const bomb = `n=0; while [ $n -lt 300 ]; do sleep 1000 & n=$((n + 1)); done; wait`
    const attempt = await attempts.start(limited(bomb, { processes: 40 }), 1)
    if (byKernel) {
      const end = await endOf(attempt)
      assert.equal(end.outcome, 'failed')
      assert.match(await textOf(attempt, 'stderr'), /fork/i)
    } else {
      const end = await endOf(attempt)
      assert.equal(end.reason, 'quota')
      assert.match(end.message!, /Too many processes: \d+ of 40/)
    }
    assert.deepEqual(survivors(attempt.spec.attempt_id), [])
    await attempts.close()
  })

  test(`${heldBy}: a daemon that left its group, its parent and its environment ends with a cancel`, {
    skip,
  }, async () => {
    using here = machine()
    const attempts = here.open()
    const attempt = await attempts.start(command(`${DAEMON}; sleep 1000`, { limits: { processes: 1000 } }), 1)
    await until(() => existsSync(here.work('daemon')), 'the daemon')
    const pid = Number(readFileSync(here.work('daemon'), 'utf8'))
    const { start } = processStat(pid)!
    attempt.cancel(100, 'canceled')
    const end = await endOf(attempt)
    assert.equal(end.outcome, 'canceled')
    if (byKernel) assert.equal(isAlive(pid, start), false)
    else if (isAlive(pid, start)) process.kill(pid, 'SIGKILL')
    await attempts.close()
  })

  test(`${heldBy}: a process that a step leaves behind on purpose continues after a success`, {
    skip,
  }, async () => {
    using here = machine()
    const attempts = here.open()
    const attempt = await attempts.start(command(DAEMON), 1)
    assert.equal((await endOf(attempt)).outcome, 'success')
    const pid = Number(readFileSync(here.work('daemon'), 'utf8'))
    assert.ok(processStat(pid))
    process.kill(pid, 'SIGKILL')
    await attempt.release()
    await attempts.close()
    await until(here.empty)
  })

  test(`${heldBy}: a workspace that grows past its limit ends the step as quota`, { skip }, async () => {
    using here = machine()
    const attempts = here.open()
    const cmd = `mkdir -p a/b; head -c 30000000 /dev/urandom >a/b/file; sleep 1000`
    const end = await endOf(await attempts.start(limited(cmd, { disk_bytes: 10 * MiB }), 1))
    assert.equal(end.reason, 'quota')
    assert.match(end.message!, /its workspace uses \d+ MB of 10 MB/)
    await attempts.close()
  })

  test(`${heldBy}: a step that fills its workspace and ends at once is over its limit too`, {
    skip,
  }, async () => {
    using here = machine()
    const attempts = here.open()
    const end = await endOf(
      await attempts.start(limited('head -c 30000000 /dev/urandom >file', { disk_bytes: 10 * MiB }), 1),
    )
    assert.equal(end.reason, 'quota', JSON.stringify(end))
    await attempts.close()
  })

  test(`${heldBy}: a CPU limit holds, or the usage says that it does not`, { skip }, async () => {
    using here = machine()
    const attempts = here.open()
    const attempt = await attempts.start(limited(`${BURN} 400; cat /proc/self/cgroup`, { cpus: 0.2 }), 1)
    const end = await endOf(attempt)
    assert.equal(end.outcome, 'success')
    if (end.usage!.not_held === undefined) {
      // A fifth of a core at most: the wall time is at least that, however loaded the machine is.
      assert.ok(end.duration_ms! >= end.usage!.cpu_ms! * 3, JSON.stringify(end))
    } else assert.deepEqual(end.usage!.not_held, ['cpus'])
    assert.equal(end.usage!.not_held === undefined, byKernel)
    await attempts.close()
  })

  test(`${heldBy}: limits still hold after the runner was killed, and the usage is recorded`, {
    skip,
  }, async () => {
    using here = machine()
    const first = here.open()
    const go = `until [ -e go ]; do sleep 0.05; done`
    const hog = limited(`${go}; ${HOG} 1024`, { memory_bytes: 200 * MiB })
    const burner = limited(`${BURN} 300; ${go}`, { memory_bytes: 800 * MiB })
    for (const spec of [hog, burner]) await first.start(spec, 1)
    await until(() => first.all().every(({ reports }) => reports.length > 0))
    // As after `kill -9`: nothing of it is watching any more.
    await first.close()
    const second = here.open()
    const found = await second.recover()
    assert.equal(found.length, 2)
    const writer = spawn('touch', [here.work('go')])
    await new Promise((resolve) => writer.once('exit', resolve))
    const [oom, burnt] = await Promise.all([hog, burner].map((spec) => endOf(second.get(spec.attempt_id)!)))
    assert.equal(oom!.reason, 'oom', JSON.stringify(oom))
    assert.equal(burnt!.outcome, 'success')
    assert.ok(burnt!.usage!.cpu_ms! >= 290, JSON.stringify(burnt!.usage))
    for (const attempt of second.all()) await attempt.release()
    await second.close()
  })

  test(`${heldBy}: an attempt that ended while no runner was there has its usage and its reason`, {
    skip,
  }, async () => {
    using here = machine()
    const first = here.open()
    const hog = limited(`${HOG} 1024`, { memory_bytes: 200 * MiB })
    const burner = command(`${BURN} 300; touch burnt`)
    for (const spec of [hog, burner]) await first.start(spec, 1)
    await first.close()
    await until(() => existsSync(here.work('burnt')))
    const exit = (spec: AttemptSpec) => join(here.path, 'attempts', spec.attempt_id, 'exit')
    if (byKernel) await until(() => existsSync(exit(hog)))
    await until(() => existsSync(exit(burner)))
    const second = here.open()
    await second.recover()
    const [oom, burnt] = await Promise.all([hog, burner].map((spec) => endOf(second.get(spec.attempt_id)!)))
    assert.equal(oom!.reason, 'oom', JSON.stringify(oom))
    assert.ok(burnt!.usage!.cpu_ms! >= 290, JSON.stringify(burnt!.usage))
    await second.close()
  })

  test(`${heldBy}: an agent's session has its step's limits`, { skip }, async () => {
    using here = machine()
    using session = sessionPlace()
    const attempts = session.open({ limits: here.keeper(), env: process.env })
    const hog = `${HOG} 1024`
      .replaceAll(/\s*\n\s*/g, ';')
      .replace("';", "'")
      .replace(";'", "'")
    const spec = session.spec(`run ${hog}\nhang`, {}, { limits: { memory_bytes: 400 * MiB } })
    const end = await endOf(await attempts.start(spec, 1))
    assert.equal(end.reason, 'oom', JSON.stringify(end))
    assert.equal(end.usage?.held_by, heldBy)
    assert.deepEqual(survivors(spec.attempt_id), [])
    await attempts.close()
  })

  test(`${heldBy}: no step gets more than the machine allows`, { skip }, async () => {
    using here = machine({ memory_bytes: 200 * MiB })
    const attempts = here.open()
    const spec = limited(`${HOG} 1024`, { memory_bytes: 4096 * MiB })
    const end = await endOf(await attempts.start(spec, 1))
    assert.equal(end.reason, 'oom')
    assert.match(end.message!, /of 200 MB/)
    await attempts.close()
  })
}

/** Returns the processes with the attempt's id in their environment. */
function survivors(attemptId: string): number[] {
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((name) => name > 0)
  return pids.filter((pid) => hasMark(pid, `ERRAND_ATTEMPT_ID=${attemptId}`))
}

export const noPerl = () => (existsSync('/usr/bin/perl') ? false : "there is no perl (Debian's package perl)")
