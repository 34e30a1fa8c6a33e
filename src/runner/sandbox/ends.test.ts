import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { processesOf } from '../../../test/support/programs.ts'
import {
  type AttemptFixture,
  command,
  endOf,
  textOf,
  until,
} from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { listProcesses, procText, signal } from '../../platform/proc.ts'
import { limitsHere } from '../limits/limit-keeper.ts'

const skip = sandboxMissing()

/** Returns a program that hides: in its own session, without variables, its parent gone. */
const hiding = (mark: string) =>
  `env -i /usr/bin/setsid -f /bin/sh -c "trap '' TERM HUP; while :; do sleep 0.1; done # ${mark}"`

const inWorkspace = (here: AttemptFixture, file: string) => join(here.path, 'workspaces/run_test', file)
const read = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '')

test('a successful step leaves nothing running, even if it hides', { skip }, async () => {
  using here = boxPlace()
  const attempts = here.open()
  const mark = randomUUID()
  const attempt = await attempts.start(command(`${hiding(mark)}; sleep 1000 & echo done`), 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.message, await textOf(attempt)], ['success', undefined, 'done\n'])
  assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})

test('a cancel lets the program end by itself, and then ends everything', { skip }, async () => {
  using here = boxPlace()
  const attempts = here.open()
  const mark = randomUUID()
  const cmd = `trap 'echo bye; exit 7' TERM; ${hiding(mark)}; echo up; while :; do sleep 0.1; done`
  const attempt = await attempts.start(command(cmd), 1)
  await until(async () => (await textOf(attempt)) === 'up\n' && processesOf(mark).length > 0)
  attempt.cancel(60_000, 'canceled')
  // The hidden process ignores SIGTERM, and so gets the whole grace.
  await until(async () => (await textOf(attempt)) === 'up\nbye\n')
  attempt.cancel(0, 'canceled')
  assert.equal((await endOf(attempt)).outcome, 'canceled')
  assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})

test('a program that ignores SIGTERM is killed after the grace period, also at a timeout', {
  skip,
}, async () => {
  using here = boxPlace()
  const attempts = here.open({ timeoutGraceMs: 50 })
  const mark = randomUUID()
  const cmd = `trap '' TERM; ${hiding(mark)}; echo up; while :; do sleep 0.1; done`
  const attempt = await attempts.start(command(cmd, { timeout_ms: 500 }), 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.reason, await textOf(attempt)], ['timeout', 'up\n'])
  assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})

/** Program of a runner in its own process, whose steps run in boxes. */
const RUNNER = `
import { boxPlace } from ${JSON.stringify(new URL('../../../test/support/runner/box-fixture.ts', import.meta.url).href)}
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
import { builtinActionRegistry } from ${JSON.stringify(new URL('../../actions/registry.ts', import.meta.url).href)}
const [path, spec] = process.argv.slice(1)
const { boxes } = boxPlace({ stateDir: path + '/state' })
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: builtinActionRegistry, boxes,
})
await attempts.recover()
await attempts.start(JSON.parse(spec), 1)
process.stdout.write('started')
setInterval(() => {}, 1000)
`

/** Starts it; the returned function kills it, like a power cut. */
async function otherRunner(here: AttemptFixture, spec: AttemptSpec) {
  const args = ['--input-type=module', '-e', RUNNER, here.path, JSON.stringify(spec)]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: here.path },
  })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  return async () => {
    child.kill('SIGKILL')
    await exited
  }
}

test('a boxed step outlives its runner: output and exit code are there once, and nothing is left', {
  skip,
}, async () => {
  using here = boxPlace()
  const mark = randomUUID()
  const spec = command(
    `${hiding(mark)}; i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; [ $i = 100 ] && while [ ! -e go ]; do sleep 0.02; done; done; exit 5`,
  )
  const kill = await otherRunner(here, spec)
  const stdout = join(here.path, 'attempts', spec.attempt_id, 'stdout')
  await until(() => read(stdout).endsWith('\n100\n'))
  await kill()
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal(attempt!.ended, false)
  writeFileSync(inWorkspace(here, 'go'), '')
  const end = await endOf(attempt!)
  assert.deepEqual([end.outcome, end.exit_code], ['failed', 5])
  assert.equal(await textOf(attempt!), Array.from({ length: 300 }, (_, i) => `${i + 1}\n`).join(''))
  assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})

test('a step that ended without a runner has its exit code, and the next runner ends what it left', {
  skip,
}, async () => {
  using here = boxPlace()
  const mark = randomUUID()
  const spec = command(`${hiding(mark)}; while [ ! -e go ]; do sleep 0.02; done; echo late; exit 3`)
  const kill = await otherRunner(here, spec)
  await until(() => existsSync(join(here.path, 'attempts', spec.attempt_id, 'claim.1')))
  await kill()
  writeFileSync(inWorkspace(here, 'go'), '')
  await until(() => read(join(here.path, 'attempts', spec.attempt_id, 'exit')) !== '')
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  const end = await endOf(attempt!)
  assert.deepEqual([end.exit_code, await textOf(attempt!)], [3, 'late\n'])
  assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})

for (const [victim, of] of [
  ['the wrapper', (pids: readonly number[]) => pids[0]!],
  ['bubblewrap', (pids: readonly number[]) => pids[1]!],
  ['the first process inside', (pids: readonly number[]) => pids[2]!],
] as const)
  test(`when ${victim} is killed the whole box ends, and the step has failed`, { skip }, async () => {
    using here = boxPlace()
    const attempts = here.open()
    const mark = randomUUID()
    const attempt = await attempts.start(command(`${hiding(mark)}; echo up; while :; do sleep 0.1; done`), 1)
    await until(async () => (await textOf(attempt)) === 'up\n' && processesOf(mark).length > 0)
    const started = attempt.reports.find((report) => report.type === 'started')
    const chain = [started!.pid!]
    for (const each of [1, 2]) {
      const child = listProcesses()!.find(
        ({ pid, parent }) => parent === chain.at(-1) && procText(pid, 'comm')?.trim() === 'bwrap',
      )
      assert.ok(child, `process ${each} of the chain`)
      chain.push(child.pid)
    }
    signal(of(chain), 'SIGKILL')
    const end = await endOf(attempt)
    assert.equal(end.outcome, 'failed')
    assert.deepEqual(processesOf(mark), [])
    await attempts.close()
  })

test('the next runner starts an attempt whose box never started, once', { skip }, async () => {
  using here = boxPlace()
  const first = here.open()
  const spec = command('echo ran >>runs; echo out')
  const folder = join(here.path, 'attempts', spec.attempt_id)
  const held = await first.start(spec, 1)
  // It has prepared its box, and begins only in a later turn.
  await first.close()
  assert.equal(held.ended, false)
  const began = existsSync(join(folder, 'claim.1'))
  const second = here.open()
  const [attempt] = await second.recover()
  assert.equal((await endOf(attempt!)).outcome, 'success')
  assert.equal(await textOf(attempt!), 'out\n')
  assert.equal(read(inWorkspace(here, 'runs')), 'ran\n', `started before: ${began}`)
  await second.close()
})

test('a step that forks up to its limit is ended, with all its processes', { skip }, async () => {
  using here = boxPlace()
  const attempts = here.open()
  const mark = randomUUID()
  const cmd = `fork() { env -i /usr/bin/setsid -f /bin/sh -c 'sleep 1000 # ${mark}'; }; while :; do fork; done`
  const attempt = await attempts.start(command(cmd, { limits: { processes: 40 } }), 1)
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'failed', JSON.stringify(end))
  assert.equal(end.reason, 'quota', JSON.stringify(end))
  assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})

test('a step that fills its workspace is ended, with the figure', { skip }, async () => {
  using here = boxPlace()
  const attempts = here.open()
  const cmd = 'dd if=/dev/zero of=big bs=1M count=64 2>/dev/null; while :; do sleep 0.1; done'
  const attempt = await attempts.start(command(cmd, { limits: { disk_bytes: 8 * 1024 ** 2 } }), 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'quota'], JSON.stringify(end))
  assert.match(end.message ?? '', /^Disk limit exceeded: its workspace uses 64 MB of 8 MB\.$/)
  await attempts.close()
})

test('a box with all its processes is in the cgroups of its attempt', {
  skip: skip || noCgroups(),
}, async () => {
  using here = boxPlace()
  const limits = limitsHere(join(here.path, 'attempts'), {})
  const attempts = here.open({ limits })
  const mark = randomUUID()
  const eats = `/usr/bin/perl -e 'my @a; push @a, "x" x 1000000 while 1' # ${mark}`
  const cmd = `env -i /usr/bin/setsid -f /bin/sh -c '${eats.replaceAll("'", "'\\''")}'; while :; do sleep 0.1; done`
  const attempt = await attempts.start(command(cmd, { limits: { memory_bytes: 64 * 1024 ** 2 } }), 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'oom'], JSON.stringify(end))
  assert.match(end.usage!.held_by!, /^cgroup/)
  assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})

function noCgroups(): string | false {
  const keeper = limitsHere(join(tmpdir(), randomUUID()), {})
  const { choice } = keeper
  keeper.close()
  return choice.heldBy === 'watchdog' && `there are no cgroups: ${choice.why}`
}

test('a box that cannot be created is a start failure, and not a failure of the program', {
  skip,
}, async () => {
  using here = boxPlace()
  const attempts = here.open()
  const gone = join(here.path, 'sandbox/filter')
  const first = await attempts.start(command('true'), 1)
  assert.equal((await endOf(first)).outcome, 'success')
  rmSync(gone)
  const attempt = await attempts.start(command('echo ran'), 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason, await textOf(attempt)], ['failed', 'start_failed', ''])
  assert.match(end.message!, /^The sandbox could not be created: its stderr says why\.$/)
  await attempts.close()
})
