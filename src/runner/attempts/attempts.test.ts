import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import {
  attemptSpec,
  command,
  endOf,
  place,
  textOf,
  until,
} from '../../../test/support/runner/attempt-fixture.ts'
import { processStat } from '../../platform/proc.ts'

const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex')

test("a command runs in its run's workspace, and its output and end are stored until its release", async () => {
  using here = place()
  const attempts = here.open()
  const spec = command('echo out $A; echo err >&2; pwd', { env: { A: 'one two' } })
  const attempt = await attempts.start(spec, 1)
  const workspace = join(here.path, 'workspaces', 'run_test')
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'success')
  assert.equal(end.exit_code, 0)
  assert.equal(end.last_error_line, 'err')
  assert.equal(await textOf(attempt), `out one two\n${workspace}\n`)
  assert.deepEqual(end.streams?.stderr, { length: 4, sha256: sha256('err\n') })
  const [started] = attempt.reports
  assert.ok(started?.type === 'started' && started.pid! > 0)
  assert.equal(await attempts.start(spec, 1), attempt)
  await assert.rejects(attempts.start(spec, 0), { code: 'conflict' })
  await attempt.release()
  assert.deepEqual(readdirSync(join(here.path, 'attempts')), [])
  assert.equal(attempts.get(spec.attempt_id), undefined)
  mkdirSync(join(workspace, 'locked', 'in'), { recursive: true })
  chmodSync(join(workspace, 'locked'), 0o500)
  await attempts.forgetRun('run_test')
  assert.equal(existsSync(workspace), false)
  await assert.rejects(attempts.forgetRun('..'))
  await attempts.close()
})

test("only the user can open a run's folder, even if the folder around it is open to all", async (t) => {
  using here = place()
  const umask = process.umask(0o022)
  t.after(() => process.umask(umask))
  chmodSync(here.path, 0o755)
  for (const around of ['there', 'missing']) {
    const workspaceDir = join(here.path, around, 'workspaces')
    if (around === 'there') mkdirSync(workspaceDir, { recursive: true })
    const attempts = here.open({ dir: join(here.path, `${around}-attempts`), workspaceDir })
    const attempt = await attempts.start(command('stat -c %a . ..'), 1)
    assert.equal((await endOf(attempt)).outcome, 'success')
    assert.equal(await textOf(attempt), around === 'there' ? '700\n755\n' : '700\n700\n')
    await attempts.close()
  }
})

test('listeners learn of output while the command runs', async () => {
  using here = place()
  const attempts = here.open()
  const attempt = await attempts.start(
    command('echo first; while [ ! -e go ]; do sleep 0.02; done; echo second'),
    1,
  )
  let calls = 0
  const off = attempt.onChange(() => calls++)
  await until(() => attempt.length('stdout') === 6)
  assert.ok(calls > 0)
  assert.equal(attempt.ended, false)
  writeFileSync(join(here.path, 'workspaces/run_test/go'), '')
  await endOf(attempt)
  off()
  assert.equal(await textOf(attempt), 'first\nsecond\n')
  await attempts.close()
})

test('exit codes, signals and failed starts are distinguished', async () => {
  using here = place()
  const attempts = here.open()
  const endFor = async (...spec: Parameters<typeof attemptSpec>) => {
    const { outcome, reason, message, exit_code, signal } = await endOf(
      await attempts.start(attemptSpec(...spec), 1),
    )
    return { outcome, reason, message, exit_code, signal }
  }
  const failed = { outcome: 'failed', message: undefined, exit_code: undefined, signal: undefined }
  assert.deepEqual(await endFor('cmd.run', { cmd: 'exit 75' }), {
    ...failed,
    reason: 'exit_code',
    message: 'The command ended with exit code 75.',
    exit_code: 75,
  })
  assert.deepEqual(await endFor('cmd.run', { cmd: 'kill -TERM $$' }), {
    ...failed,
    reason: 'signal',
    message: 'The command was killed by SIGTERM.',
    exit_code: 143,
    signal: 'SIGTERM',
  })
  // The wrapper dies with it, and the end is still known.
  assert.equal((await endFor('cmd.run', { cmd: 'kill -9 0' })).signal, 'SIGKILL')
  // The wrapper must survive a signal that is meant for the command's own group.
  assert.equal((await endFor('cmd.run', { cmd: 'trap "exit 4" USR1; kill -USR1 0; sleep 1' })).exit_code, 4)
  assert.deepEqual(await endFor('cmd.run', { cmd: 'true', cwd: 'missing' }), {
    ...failed,
    reason: 'start_failed',
    message: `The working folder ${here.path}/workspaces/run_test/missing does not exist.`,
  })
  const noProgram = await endFor('shell.run', { script: '#!/nowhere/python -u\nprint()' })
  assert.equal(noProgram.reason, 'start_failed')
  assert.match(noProgram.message!, /\/nowhere\/python does not exist/)
  const tooBig = await endFor('cmd.run', { cmd: 'true' }, { env: { SMALL: 'x', HUGE: 'x'.repeat(200_000) } })
  assert.equal(tooBig.reason, 'start_failed')
  assert.match(tooBig.message!, /The largest is HUGE with 200000 bytes/)
  assert.equal((await endFor('cmd.run', { cmd: '' })).reason, 'invalid_argument')
  await assert.rejects(attempts.start(attemptSpec('constructor', {}), 1), /no action "constructor"/)
  await assert.rejects(attempts.start(command('true', { attempt_id: '../x.1' }), 1), /not a valid attempt id/)
  await attempts.close()
})

test('a command gets the listed variables of the runner and none of its secrets', async () => {
  using here = place()
  const env = {
    PATH: process.env.PATH,
    HOME: '/home/me',
    ERRAND_TOKEN: 'secret',
    ADOS_TOKEN: 'secret',
    OPENAI_API_KEY: 'secret',
    EXTRA: 'e',
  }
  const attempts = here.open({ env })
  const attempt = await attempts.start(command('env', { env: { MINE: '1' } }), 1)
  await endOf(attempt)
  const names = (await textOf(attempt))
    .trim()
    .split('\n')
    .map((line) => line.split('=')[0]!)
  assert.deepEqual(names.filter((name) => name !== 'PWD' && name !== 'OLDPWD').sort(), [
    'ERRAND_ATTEMPT_ID',
    'ERRAND_ATTEMPT_MARK',
    'ERRAND_HOST',
    'ERRAND_RUN_ID',
    'ERRAND_STEP',
    'ERRAND_TRY',
    'ERRAND_WORKFLOW',
    'HOME',
    'MINE',
    'PATH',
  ])
  await attempts.close()
})

test('exports, outputs and binary output stay unchanged', async () => {
  using here = place()
  const attempts = here.open()
  const attempt = await attempts.start(
    command('echo BOPS_EXPORT:A=1; printf "\\377\\000\\033[0m"; exit 2', {
      args: { export_vars: true },
      outputs: { CODE: 'exit_code', LEN: { from: 'stdout', regex: 'A=(.)' } },
    }),
    1,
  )
  const end = await endOf(attempt)
  assert.deepEqual(end.exports, { A: '1', CODE: '2', LEN: '1' })
  const bytes = Buffer.concat([
    Buffer.from('BOPS_EXPORT:A=1\n'),
    Buffer.from([0xff, 0, 0x1b]),
    Buffer.from('[0m'),
  ])
  assert.deepEqual(await attempt.read('stdout', 0, 100), bytes)
  assert.equal(end.streams?.stdout?.sha256, sha256(bytes))
  const large = await attempts.start(
    command('v=$(head -c 600000 /dev/zero | tr "\\0" x); echo BOPS_EXPORT:A=$v; echo BOPS_EXPORT:B=$v', {
      args: { export_vars: true },
    }),
    1,
  )
  assert.equal((await endOf(large)).reason, 'exports_too_large')
  await attempts.close()
})

test('an attempt whose end cannot be determined fails alone, with the reason, and leaves nothing running', async () => {
  using here = place()
  const attempts = here.open()
  const spoil = 'mkdir "../../attempts/$ERRAND_ATTEMPT_ID/exit"; echo said; setsid sleep 1000 & echo $! >pid'
  const attempt = await attempts.start(command(spoil), 1)
  const { outcome, reason, message } = await endOf(attempt)
  assert.deepEqual([outcome, reason], ['failed', 'internal'])
  assert.match(message!, /^Its end could not be reported: EISDIR/)
  assert.equal(await textOf(attempt), 'said\n')
  const pid = Number(readFileSync(join(here.path, 'workspaces/run_test/pid'), 'utf8'))
  assert.equal(processStat(pid), undefined)
  await attempt.release()
  await attempts.close()
})

test('200 MB of output have the right length and hash', async () => {
  using here = place()
  const attempts = here.open()
  const bytes = 200_000_000
  const attempt = await attempts.start(command(`yes 0123456789 | head -c ${bytes}`), 1)
  const end = await endOf(attempt)
  const hash = createHash('sha256')
  const million = Buffer.from('0123456789\n'.repeat(100_000))
  for (let left = bytes; left > 0; left -= million.length) hash.update(million.subarray(0, left))
  assert.deepEqual(end.streams?.stdout, { length: bytes, sha256: hash.digest('hex') })
  await attempts.close()
})

test('the whole output is also written to output_path, under a safe name', async () => {
  using here = place()
  const attempts = here.open()
  const folder = join(here.path, 'logs', 'deep')
  const options = { args: { output_path: folder }, attempt_id: 'run_test.7', step: '../a/b' }
  const end = await endOf(await attempts.start(command('echo out; echo err >&2', options), 1))
  const file = join(folder, 'run_test..._a_b.local.7.stdout.log')
  assert.deepEqual(end.output_files, { stdout: file, stderr: file.replace('stdout', 'stderr') })
  assert.equal(readFileSync(file, 'utf8'), 'out\n')
  writeFileSync(join(here.path, 'file'), '')
  const bad = await endOf(
    await attempts.start(command('echo', { args: { output_path: join(here.path, 'file') } }), 1),
  )
  assert.equal(bad.outcome, 'failed')
  assert.equal(bad.reason, 'output_failed')
  await attempts.close()
})

test('a relative output_path starts from the folder that the runner names', async () => {
  using here = place()
  const attempts = here.open({ outputDir: here.path })
  const end = await endOf(await attempts.start(command('echo out', { args: { output_path: 'logs' } }), 1))
  assert.equal(dirname(end.output_files!.stdout!), join(here.path, 'logs'))
  await attempts.close()
})

test('an output_path where no folder can be created is reported', async () => {
  using here = place()
  const attempts = here.open()
  const args = { output_path: '/proc/errand/logs' }
  const { reason, message } = await endOf(await attempts.start(command('echo out', { args }), 1))
  assert.match(`${reason} ${message}`, /^output_failed .*\/proc\/errand\/logs: ENOENT/)
  await attempts.close()
})

test('names of any length fit into the file name under output_path', async () => {
  using here = place()
  const attempts = here.open()
  const run_id = 'r'.repeat(100)
  const names = { run_id, attempt_id: `${run_id}.12345`, step: 's'.repeat(200), host: 'h'.repeat(200) }
  const args = { output_path: join(here.path, 'logs') }
  const end = await endOf(await attempts.start(command('echo out', { ...names, args }), 1))
  assert.equal(end.outcome, 'success', end.message)
  assert.equal(readFileSync(end.output_files!.stdout!, 'utf8'), 'out\n')
  await attempts.close()
})

test('cancel ends all processes, even those that ignore SIGTERM or have their own session', async () => {
  using here = place()
  const attempts = here.open()
  const attempt = await attempts.start(
    command(
      'trap "" TERM; setsid sh -c \'trap "" TERM; echo $$ >daemon; while :; do sleep 1; done\' & while :; do sleep 1; done',
    ),
    1,
  )
  const pidFile = join(here.path, 'workspaces/run_test/daemon')
  await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8').endsWith('\n'))
  attempt.cancel(100, 'quota')
  attempt.cancel(100, 'canceled')
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'canceled')
  assert.equal(end.reason, 'quota')
  assert.equal(processStat(Number(readFileSync(pidFile, 'utf8'))), undefined)
  assert.equal(attempt.reports.filter((report) => report.type === 'ended').length, 1)
  await attempts.close()
})

test('a command that exits with success on SIGTERM within the grace period is still canceled', async () => {
  using here = place()
  const attempts = here.open()
  const attempt = await attempts.start(
    command('trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done'),
    1,
  )
  await until(() => attempt.length('stdout') > 0)
  attempt.cancel(60_000, 'canceled')
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason, end.exit_code], ['canceled', 'canceled', 0])
  assert.equal(await textOf(attempt), 'up\nbye\n')
  await attempts.close()
})

test('a timeout fails the attempt and leaves nothing running', async () => {
  using here = place()
  const attempts = here.open()
  const attempt = await attempts.start(command('sleep 1000 & echo $!; wait', { timeout_ms: 300 }), 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason, end.message], ['failed', 'timeout', 'Stopped after 0.3 s.'])
  assert.equal(processStat(Number(await textOf(attempt))), undefined)
  await attempts.close()
})

test('no background process in its group outlives a step', async () => {
  using here = place()
  const attempts = here.open()
  const attempt = await attempts.start(command('sleep 1000 & echo $!'), 1)
  assert.equal((await endOf(attempt)).outcome, 'success')
  assert.equal(processStat(Number(await textOf(attempt))), undefined)
  await attempts.close()
})

test('a newer epoch replaces an older one, whose process ends', async () => {
  using here = place()
  const attempts = here.open()
  const spec = command('echo $$; exec sleep 1000')
  const old = await attempts.start(spec, 1)
  await until(() => old.length('stdout') > 0)
  const pid = Number(await textOf(old))
  const next = await attempts.start(spec, 2)
  assert.equal(processStat(pid), undefined)
  assert.equal(next.epoch, 2)
  await next.release()
  await attempts.close()
})

test('large commands and scripts with an interpreter are passed in a private file', async () => {
  using here = place()
  const attempts = here.open()
  const large = await attempts.start(command(`${'# filler\n'.repeat(20_000)}echo $#`), 1)
  await endOf(large)
  assert.equal(await textOf(large), '0\n')
  const awk = await attempts.start(
    attemptSpec('shell.run', { script: '#!/usr/bin/awk -f\nBEGIN { print 6 * 7 }\n' }),
    1,
  )
  await endOf(awk)
  assert.equal(await textOf(awk), '42\n')
  await attempts.close()
})
