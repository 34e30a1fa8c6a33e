import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AttemptFixture,
  command,
  endOf,
  place,
  textOf,
  until,
} from '../../../test/support/runner/attempt-fixture.ts'
import { seeded } from '../../../test/support/seeded.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { processStat, signal } from '../../platform/proc.ts'
import { AttemptFolder } from './attempt-folder.ts'
import { spawnWrapped } from './wrapped-process.ts'

/** Program of a runner in its own process, which starts the attempts it is given and prints that. */
const RUNNER = `
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
import { builtinActionRegistry } from ${JSON.stringify(new URL('../../actions/registry.ts', import.meta.url).href)}
const [path, specs] = process.argv.slice(1)
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: builtinActionRegistry, timeoutGraceMs: 100,
})
await attempts.recover()
process.stdout.write('recovered\\n')
for (const spec of JSON.parse(specs)) {
  await attempts.start(spec, 1)
  process.stdout.write('started\\n')
}
setInterval(() => {}, 1000)
`

/** Starts such a runner; the returned function kills it at any moment, like a power cut. */
async function otherRunner(
  here: AttemptFixture,
  specs: AttemptSpec[],
  from: 'recovered' | 'started' = 'started',
) {
  const args = ['--input-type=module', '-e', RUNNER, here.path, JSON.stringify(specs)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  await until(() => output.split(from).length > (from === 'started' ? specs.length : 1), 'the other runner')
  return async () => {
    child.kill('SIGKILL')
    await exited
  }
}

const random = seeded()
const read = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '')
const inWorkspace = (here: AttemptFixture, file: string) => join(here.path, 'workspaces/run_test', file)

test('a command outlives its runner: after recovery each line is there once, and it ran once', async () => {
  using here = place()
  const spec = command(
    'echo begun >>runs; i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; [ $i = 100 ] && while [ ! -e go ]; do sleep 0.02; done; done; exit 5',
  )
  const kill = await otherRunner(here, [spec])
  const stdout = join(here.path, 'attempts', spec.attempt_id, 'stdout')
  await until(() => read(stdout).includes('99\n'))
  await kill()
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal(attempt!.ended, false)
  assert.deepEqual(attempt!.spec, spec)
  writeFileSync(inWorkspace(here, 'go'), '')
  const end = await endOf(attempt!)
  assert.deepEqual([end.outcome, end.exit_code], ['failed', 5])
  assert.equal(await textOf(attempt!), Array.from({ length: 300 }, (_, i) => `${i + 1}\n`).join(''))
  assert.equal(read(inWorkspace(here, 'runs')), 'begun\n')
  assert.deepEqual(
    attempt!.reports.map((report) => report.type),
    ['started', 'ended'],
  )
  await attempts.close()
})

test('a command that ended without a runner has its exit code, and a stored end is restored', async () => {
  using here = place()
  const spec = command('while [ ! -e go ]; do sleep 0.02; done; echo BOPS_EXPORT:A=late; exit 3', {
    args: { export_vars: true },
  })
  await (await otherRunner(here, [spec]))()
  writeFileSync(inWorkspace(here, 'go'), '')
  const exit = join(here.path, 'attempts', spec.attempt_id, 'exit')
  await until(() => read(exit) !== '')
  let reports: unknown
  for (const round of [1, 2]) {
    const attempts = here.open()
    const [attempt] = await attempts.recover()
    const end = await endOf(attempt!)
    assert.deepEqual([end.exit_code, end.exports], [3, { A: 'late' }], `round ${round}`)
    assert.equal(await textOf(attempt!), 'BOPS_EXPORT:A=late\n')
    reports ??= attempt!.reports
    assert.deepEqual(JSON.stringify(attempt!.reports), JSON.stringify(reports))
    await attempts.close()
  }
  // A truncated last line of the journal counts as not written.
  const journal = join(here.path, 'attempts', spec.attempt_id, 'reports')
  truncateSync(journal, readFileSync(journal).length - 2)
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal((await endOf(attempt!)).exit_code, 3)
  await attempt!.release()
  await attempts.close()
})

test('a process that vanished or was killed is lost, and no process of it is left', async () => {
  using here = place()
  const spec = command('sleep 1000 & echo $!; wait')
  await (await otherRunner(here, [spec]))()
  const folder = new AttemptFolder(join(here.path, 'attempts', spec.attempt_id))
  await until(() => read(folder.file('stdout')).endsWith('\n'))
  const claim = folder.claim(1)
  assert.ok(claim.type === 'wrapper')
  signal(claim.pid, 'SIGKILL')
  await until(() => processStat(claim.pid) === undefined)
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  const end = await endOf(attempt!)
  assert.deepEqual([end.outcome, end.reason], ['interrupted', 'lost'])
  assert.equal(processStat(Number(read(folder.file('stdout')))), undefined)
  await attempts.close()
})

test('another process with the same number is not mistaken for it', async () => {
  using here = place()
  const spec = command('true')
  const folder = new AttemptFolder(join(here.path, 'attempts', spec.attempt_id))
  mkdirSync(join(here.path, 'attempts'))
  folder.create({ spec, epoch: 1, key: 'none', export_vars: false })
  const stat = readFileSync('/proc/self/stat', 'utf8').trim().replace(/\d+$/, '1').split(' ')
  stat[21] = '1'
  writeFileSync(
    folder.file('claim.1'),
    `${process.pid}\n${stat.join(' ')}\n${read('/proc/sys/kernel/random/boot_id')}`,
  )
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal((await endOf(attempt!)).reason, 'lost')
  await attempts.close()
})

test('an attempt that was stored but not started is started, and its first wrapper can never run it', async () => {
  using here = place()
  const spec = command('echo ran >>runs')
  const folder = new AttemptFolder(join(here.path, 'attempts', spec.attempt_id))
  mkdirSync(join(here.path, 'attempts'))
  folder.create({ spec, epoch: 1, key: 'key', export_vars: false })
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal((await endOf(attempt!)).outcome, 'success')
  const late = spawnWrapped({
    claimFile: folder.file('claim.1'),
    exitFile: folder.file('exit'),
    enter: [],
    argv: ['/bin/sh', '-c', 'echo late >>runs'],
    cwd: join(here.path, 'workspaces/run_test'),
    env: {},
    stdoutFd: 1,
    stderrFd: 2,
  })
  assert.deepEqual(await once(late, 'exit'), [75, null])
  assert.equal(read(inWorkspace(here, 'runs')), 'ran\n')
  await attempts.close()
})

test('when a wrapper and a runner claim an attempt at the same time, exactly one wins', async () => {
  using here = place()
  for (let round = 0; round < 30; round++) {
    const folder = new AttemptFolder(join(here.path, `a${round}`))
    folder.create({ spec: command('true'), epoch: 1, key: 'key', export_vars: false })
    const wrapper = spawnWrapped({
      claimFile: folder.file('claim.1'),
      exitFile: folder.file('exit'),
      enter: [],
      argv: ['/bin/true'],
      cwd: here.path,
      env: {},
      stdoutFd: 1,
      stderrFd: 2,
    })
    const exited = once(wrapper, 'exit')
    // Sleeps: the moment of a kill is random.
    await sleep(random.between(0, 4))
    const taken = folder.takeClaim(1)
    const [code] = await exited
    assert.equal(code, taken ? 75 : 0)
    assert.equal(folder.claim(1).type, taken ? 'runner' : 'wrapper')
  }
})

test('runners that are killed at any moment run each attempt once', async () => {
  using here = place()
  const specs = Array.from({ length: 12 }, () => command('echo $ERRAND_ATTEMPT_ID >>runs; echo out'))
  for (let at = 0; at < specs.length; at += 4) {
    const kill = await otherRunner(here, specs.slice(at, at + 4), 'recovered')
    // Sleeps: the moment of a kill is random.
    await sleep(random.between(0, 12))
    await kill()
  }
  const attempts = here.open()
  const held = await attempts.recover()
  for (const attempt of held) {
    const end = await endOf(attempt)
    assert.equal(end.outcome, 'success', JSON.stringify(end))
    assert.equal(await textOf(attempt), 'out\n')
  }
  const ids = held.map((attempt) => attempt.spec.attempt_id).sort()
  assert.deepEqual(read(inWorkspace(here, 'runs')).split('\n').filter(Boolean).sort(), ids)
  await attempts.close()
})

test('an attempt with an incomplete spec was never accepted, and its folder is removed', async () => {
  using here = place()
  const folder = join(here.path, 'attempts', 'run_test.1')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'spec.json'), '{"spec":{"attempt_id":')
  const attempts = here.open()
  assert.deepEqual(await attempts.recover(), [])
  assert.equal(existsSync(folder), false)
  await attempts.close()
})

test('a claim that was never written counts as none', async () => {
  using here = place()
  const spec = command('echo ran')
  const folder = new AttemptFolder(join(here.path, 'attempts', spec.attempt_id))
  mkdirSync(join(here.path, 'attempts'))
  folder.create({ spec, epoch: 1, key: 'key', export_vars: false })
  writeFileSync(folder.file('claim.1'), '123\n')
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal((await endOf(attempt!)).outcome, 'success')
  assert.equal(await textOf(attempt!), 'ran\n')
  await attempts.close()
})

test('timeouts count from the first start, and a cancel from before the restart is still performed', async () => {
  using here = place()
  const timed = command('sleep 1000', { timeout_ms: 1 })
  const canceled = command('sleep 1000')
  // The first runner knows no timeout, so that only the second can apply it.
  await (await otherRunner(here, [{ ...timed, timeout_ms: undefined }, canceled]))()
  const specFile = join(here.path, 'attempts', timed.attempt_id, 'spec.json')
  const facts = JSON.parse(read(specFile))
  writeFileSync(specFile, JSON.stringify({ ...facts, spec: timed }))
  appendFileSync(
    join(here.path, 'attempts', canceled.attempt_id, 'reports'),
    `${JSON.stringify({ type: 'cause', cause: { type: 'canceled', reason: 'canceled' } })}\n`,
  )
  const attempts = here.open()
  await attempts.recover()
  assert.equal((await endOf(attempts.get(timed.attempt_id)!)).reason, 'timeout')
  assert.equal((await endOf(attempts.get(canceled.attempt_id)!)).outcome, 'canceled')
  await attempts.close()
})

test('a recovered attempt can be canceled', async () => {
  using here = place()
  const spec = command('trap "" TERM; echo $$; while :; do sleep 0.1; done')
  await (await otherRunner(here, [spec]))()
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  await until(() => attempt!.length('stdout') > 0)
  attempt!.cancel(50, 'canceled')
  assert.equal((await endOf(attempt!)).outcome, 'canceled')
  assert.equal(processStat(Number(await textOf(attempt!))), undefined)
  await attempts.close()
  await attempts.close()
})

test('unreadable data of an earlier runner does not keep a runner from starting, and is not deleted', async () => {
  using here = place()
  const good = command('while [ ! -e go ]; do sleep 0.02; done; echo good')
  const unended = command('exit 3')
  const unreported = command('sleep 1000')
  const unknown = command('echo kept')
  const folderOf = (spec: AttemptSpec) => new AttemptFolder(join(here.path, 'attempts', spec.attempt_id))
  await (await otherRunner(here, [good, unended, unreported, unknown]))()
  for (const spec of [unended, unknown]) await until(() => read(folderOf(spec).file('exit')) !== '')
  await until(() => folderOf(unreported).claim(1).type === 'wrapper')
  const claim = folderOf(unreported).claim(1)
  assert.ok(claim.type === 'wrapper')
  // Imitates a disk that has become unreadable, since file modes do not stop tests that run as root.
  for (const file of [
    folderOf(unended).file('exit'),
    folderOf(unreported).file('stderr'),
    join(folderOf(unknown).path, 'spec.json'),
  ]) {
    rmSync(file)
    mkdirSync(file)
  }
  const lines: string[] = []
  const attempts = here.open({ log: (line) => lines.push(line) })
  const open = () => readdirSync('/proc/self/fd').map((fd) => readlink(`/proc/self/fd/${fd}`))
  const found = await attempts.recover()
  assert.deepEqual(
    found.map(({ spec }) => spec.attempt_id).sort(),
    [good, unended].map((spec) => spec.attempt_id).sort(),
  )
  writeFileSync(inWorkspace(here, 'go'), '')
  assert.equal((await endOf(attempts.get(good.attempt_id)!)).outcome, 'success')
  const end = await endOf(attempts.get(unended.attempt_id)!)
  assert.match(end.message!, /exit|EISDIR/)
  assert.notEqual(end.outcome, 'success')
  // Nobody watches it any more, and nobody was told that it still runs.
  await until(() => processStat(claim.pid) === undefined)
  for (const spec of [unreported, unknown]) {
    const { path } = folderOf(spec)
    assert.equal(lines.filter((line) => line.includes(path) && line.includes('EISDIR')).length, 1)
    assert.equal(read(folderOf(spec).file('stdout')), spec === unknown ? 'kept\n' : '')
    assert.deepEqual(
      open().filter((file) => file.startsWith(path)),
      [],
    )
  }
  await attempts.close()
})

/** Imitates a boot of the machine: the name of the boot before is gone, and the kernel has another name. */
const boot = (here: AttemptFixture) => rmSync(join(here.path, 'attempts.storage'))

test('after a reboot an attempt that reported no end is lost, no matter what is left of it, and nothing reruns', async () => {
  using here = place()
  const attempts = here.open()
  const { storageId: storage } = attempts
  await attempts.close()
  const stored = (change: (folder: AttemptFolder) => void) => {
    const spec = command('echo ran >>runs')
    const folder = new AttemptFolder(join(here.path, 'attempts', spec.attempt_id))
    folder.create({ spec, epoch: 1, key: spec.attempt_id, storage, export_vars: false })
    change(folder)
    return spec
  }
  const claimed = `1\n${readFileSync('/proc/self/stat', 'latin1')}${read('/proc/sys/kernel/random/boot_id')}`
  const specs = [
    stored(() => {}),
    stored((folder) => writeFileSync(folder.file('claim.1'), '')),
    stored((folder) => writeFileSync(folder.file('claim.1'), claimed)),
    // Half of its output, beside a complete exit code.
    stored((folder) => {
      writeFileSync(folder.file('claim.1'), claimed)
      writeFileSync(folder.file('stdout'), `half of ${'\0'.repeat(100_000)}`)
      writeFileSync(folder.file('exit'), '0 \n')
    }),
  ]
  boot(here)
  const after = here.open()
  const held = await after.recover()
  assert.equal(held.length, specs.length)
  for (const spec of specs) {
    const end = await endOf(after.get(spec.attempt_id)!)
    assert.deepEqual([end.outcome, end.reason], ['interrupted', 'lost'])
    assert.match(end.message!, /machine restarted/)
  }
  assert.equal(await textOf(after.get(specs[3]!.attempt_id)!), 'half of ')
  assert.equal(read(inWorkspace(here, 'runs')), '')
  await after.close()
})

test('after a reboot an end that was reported stays as it was', async () => {
  using here = place()
  const spec = command("printf 'whole\\n\\0\\0'; exit 3")
  const attempts = here.open()
  await endOf(await attempts.start(spec, 1))
  await attempts.close()
  boot(here)
  const after = here.open()
  const [held] = await after.recover()
  assert.equal((await endOf(held!)).exit_code, 3)
  assert.equal(await textOf(held!), 'whole\n\0\0')
  await after.close()
})

test('the storage id stays the same while nothing in the storage can be lost', async () => {
  using here = place()
  const idNow = async () => {
    const attempts = here.open()
    await attempts.close()
    return attempts.storageId
  }
  const first = await idNow()
  assert.equal(await idNow(), first)
  const file = join(here.path, 'attempts.storage')
  const text = read(file)
  writeFileSync(file, text.replace(read('/proc/sys/kernel/random/boot_id').trim(), 'another-boot'))
  const second = await idNow()
  assert.notEqual(second, first)
  writeFileSync(file, '')
  const third = await idNow()
  assert.notEqual(third, second)
  // Imitates a recreated container: the kernel is the same.
  rmSync(join(here.path, 'attempts'), { recursive: true })
  assert.notEqual(await idNow(), third)
})

/** Program that adopts what is there with one free descriptor, and prints the result. */
const OUT_OF_FILES = `
import { closeSync, openSync } from 'node:fs'
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
const path = process.argv[1]
const attempts = openAttempts({ dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: {} })
const all = []
try {
  for (;;) all.push(openSync('/dev/null'))
} catch {}
closeSync(all.pop())
const said = await attempts.recover().then(() => 'taken up', (error) => error.code + ': ' + error.message)
for (const each of all) closeSync(each)
await attempts.close()
console.log(said)
`

test('a runner without free descriptors recovers nothing, and running commands continue', async () => {
  using here = place()
  const spec = command('while [ ! -e go ]; do sleep 0.02; done; echo went on')
  await (await otherRunner(here, [spec]))()
  const program = [process.execPath, '--input-type=module', '-e', OUT_OF_FILES, here.path]
  const { stdout } = spawnSync('sh', ['-c', 'ulimit -n 256; exec "$@"', 'sh', ...program], {
    encoding: 'utf8',
  })
  assert.match(stdout, /^unavailable: .*EMFILE/)
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  writeFileSync(inWorkspace(here, 'go'), '')
  assert.equal((await endOf(attempt!)).outcome, 'success')
  assert.equal(await textOf(attempt!), 'went on\n')
  await attempts.close()
})

function readlink(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
