import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { attemptSpec, command, endOf, place, until } from '../../../test/support/runner/attempt-fixture.ts'
import { found, fromHub, key, printForms, token } from '../../../test/support/runner/secret-fixture.ts'
import { builtinActionRegistry } from '../../actions/registry.ts'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { secretMark } from '../../contract/step-secrets.ts'
import type { AttemptSink, Placement } from '../../engine/ports.ts'
import { processStat, signal } from '../../platform/proc.ts'
import type { ActionRegistry } from '../ports.ts'
import { LocalHost, type LocalHostOptions } from './local-host.ts'

/** Stores what it receives; `onOutput` may delay or refuse bytes. */
class RecordingSink implements AttemptSink {
  readonly reports: { report: AttemptReport; epoch: number }[] = []
  readonly bytes: Record<StreamName, Buffer[]> = { stdout: [], stderr: [] }
  readonly kept: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  assignedAt: Placement | undefined
  onOutput: (bytes: Buffer) => Promise<void> = async () => undefined

  waiting(): void {}
  async assigned(placement: Placement): Promise<boolean> {
    this.assignedAt = placement
    return true
  }
  async report(report: AttemptReport, epoch: number): Promise<void> {
    this.reports.push({ report, epoch })
  }
  async output(stream: StreamName, offset: number, bytes: Buffer): Promise<number> {
    assert.equal(offset, this.kept[stream])
    assert.equal(this.end, undefined)
    await this.onOutput(bytes)
    this.bytes[stream].push(bytes)
    this.kept[stream] += bytes.length
    return this.kept[stream]
  }
  async length(stream: StreamName): Promise<number> {
    return this.kept[stream]
  }
  get end(): AttemptEnd | undefined {
    const last = this.reports.at(-1)?.report
    return last?.type === 'ended' ? last : undefined
  }
  text(stream: StreamName = 'stdout'): string {
    return Buffer.concat(this.bytes[stream]).toString()
  }
}

function hostIn(t: TestContext, options: Partial<LocalHostOptions> = {}) {
  const cwd = mkdtempSync(join(tmpdir(), 'errand-test-'))
  const host = new LocalHost({ registry: builtinActionRegistry, cwd, graceMs: 100, ...options })
  t.after(async () => {
    await host.close()
    rmSync(cwd, { recursive: true, force: true })
  })
  const start = (spec: AttemptSpec, sink = new RecordingSink()) => {
    const placement = host.place(spec)
    host.start(spec, 'epoch' in placement ? placement : undefined, sink)
    return sink
  }
  const run = async (spec: AttemptSpec, sink?: RecordingSink) => {
    const recorded = start(spec, sink)
    await until(() => recorded.end !== undefined)
    return recorded
  }
  return { host, cwd, start, run }
}

test("a command gets this process's environment except its tokens, and its own folder", async (t) => {
  process.env.ERRAND_TOKEN = 'secret'
  process.env.AVTOMATIKA_TOKEN = 'secret'
  process.env.TEST_PASSED_ON = 'passed'
  t.after(() => {
    delete process.env.ERRAND_TOKEN
    delete process.env.AVTOMATIKA_TOKEN
    delete process.env.TEST_PASSED_ON
  })
  const { run, cwd } = hostIn(t)
  const sink = await run(
    command('pwd; echo $TEST_PASSED_ON $A $ERRAND_STEP "<$ERRAND_TOKEN$AVTOMATIKA_TOKEN>"; echo err >&2', {
      env: { A: '1' },
    }),
  )
  assert.equal(sink.text(), `${cwd}\npassed 1 build it <>\n`)
  assert.equal(sink.text('stderr'), 'err\n')
  assert.deepEqual(
    sink.reports.map(({ report, epoch }) => [report.type, epoch]),
    [
      ['started', 1],
      ['ended', 1],
    ],
  )
  assert.deepEqual([sink.end?.outcome, sink.end?.exit_code], ['success', 0])
})

test('secrets reach local commands and actions, and are masked in all output', async (t) => {
  const values = { TOKEN: token, KEY: key, PIN: '12345' }
  const secrets = { TOKEN: fromHub('TOKEN'), KEY: fromHub('KEY', 'file'), PIN: fromHub('PIN') }
  const { run, cwd } = hostIn(t, { secrets: { reveal: async () => values } })
  const cmd = `printf 'BOPS_EXPORT:COPY=%s\\nBOPS_EXPORT:%s\\n' "$TOKEN" "$TOKEN"; (KEY=$(cat "$KEY"); export KEY; ${printForms}); echo "$KEY"; cat "$KEY"; printf %.9s "$TOKEN" >&2`
  const sink = await run(command(cmd, { secrets, args: { export_vars: true } }))
  const reports = sink.reports.map(({ report }) => report)
  assert.deepEqual(
    reports.map((report) => (report.type === 'phase' ? report.message?.slice(0, 20) : report.type)),
    ['started', 'Secret "PIN" has 5 b', 'ended'],
  )
  assert.equal(sink.end!.outcome, 'success')
  assert.deepEqual(sink.end!.exports, { COPY: '***' })
  assert.match(sink.end!.message!, /A secret cannot be exported/)
  assert.match(sink.end!.message!, /A line is not a valid export: "BOPS_EXPORT:\*\*\*" \(it has no "="\)/)
  assert.deepEqual(found(sink.text() + sink.text('stderr') + JSON.stringify(reports)), [])
  // Text that only began like a secret came at the end.
  assert.ok(sink.text('stderr').endsWith(token.slice(0, 9)))
  const file = /^\/.*errand-.*-secrets-.*$/m.exec(sink.text())![0]
  assert.ok(!existsSync(dirname(dirname(file))))
  const write = { path: 'file', content: secretMark('TOKEN') }
  assert.equal((await run(attemptSpec('file.write', write, { secrets }))).end!.outcome, 'success')
  assert.equal(readFileSync(join(cwd, 'file'), 'utf8'), token)
  const set = await run(attemptSpec('vars.set', { vars: { A: secretMark('TOKEN') } }, { secrets }))
  assert.deepEqual(set.end!.exports, { A: '***' })
  const folder = await run(command('true', { secrets, args: { cwd: `/no ${secretMark('TOKEN')}` } }))
  assert.equal(folder.end!.message, 'The working folder /no *** does not exist.')
  const missing = await run(command('true', { secrets: { NO: fromHub('NO') } }))
  assert.match(missing.end!.message!, /without the value of the secret NO/)
})

test('the start of a command is reported in the same turn, so that it shares the commit of its placement', async (t) => {
  const { start } = hostIn(t)
  const sink = start(command('true'))
  assert.deepEqual(
    sink.reports.map(({ report }) => report.type),
    ['started'],
  )
  await until(() => sink.end !== undefined)
})

test('an attempt that is canceled while its secrets are fetched never starts', async (t) => {
  const revealed = Promise.withResolvers<Record<string, string>>()
  const { run, host, start } = hostIn(t, { secrets: { reveal: () => revealed.promise } })
  const spec = command('echo no', { secrets: { A: fromHub('A') } })
  const sink = start(spec)
  host.cancel(spec.attempt_id, 'canceled')
  revealed.resolve({ A: 'a-value' })
  await until(() => sink.end !== undefined)
  assert.deepEqual([sink.end!.outcome, sink.text()], ['canceled', ''])
  assert.equal((await run(command('true'))).end!.outcome, 'success')
})

test('exit codes, signals, exports, outputs and failed starts are reported as on a runner', async (t) => {
  const { run } = hostIn(t)
  const end = async (...spec: Parameters<typeof attemptSpec>) => (await run(attemptSpec(...spec))).end!
  assert.equal((await end('cmd.run', { cmd: 'exit 3' })).exit_code, 3)
  const killed = await end('cmd.run', { cmd: 'kill -9 $$' })
  assert.deepEqual([killed.reason, killed.signal, killed.exit_code], ['signal', 'SIGKILL', 137])
  const exported = await end(
    'cmd.run',
    { cmd: 'echo BOPS_EXPORT:A=1; echo err >&2', export_vars: true },
    { outputs: { E: 'stderr' } },
  )
  assert.deepEqual(exported.exports, { A: '1', E: 'err' })
  assert.equal(exported.last_error_line, 'err')
  assert.deepEqual((await end('vars.set', { vars: { B: 2 } })).exports, { B: '2' })
  const messages = [
    await end('cmd.run', { cmd: 'true', cwd: '/nowhere' }),
    await end('shell.run', { script: '#!/nowhere/python\n' }),
    await end('cmd.run', { cmd: 'true', cwd: '/etc/passwd' }),
    await end('cmd.run', { cmd: 'true' }, { env: { HUGE: 'x'.repeat(200_000) } }),
  ].map(({ reason, message }) => `${reason}: ${message}`)
  assert.match(messages[0]!, /^start_failed: The working folder \/nowhere does not exist\.$/)
  assert.match(messages[1]!, /^start_failed: The program \/nowhere\/python does not exist/)
  assert.equal(messages[2], 'start_failed: The working folder /etc/passwd is a file, not a folder.')
  assert.match(messages[3]!, /^start_failed: .*The largest is HUGE with 200000 bytes/)
  assert.equal((await end('cmd.run', { cmd: '' })).reason, 'invalid_argument')
  assert.equal((await end('constructor', {})).reason, 'host_refused')
  assert.match((await end('bot.serve', {})).message!, /^Bots need a hub and a runner: .*errand up/)
})

test('a step ends here as on a runner, and leaves nothing on disk', async (t) => {
  const key = randomUUID()
  const { run, cwd } = hostIn(t, { key })
  using there = place()
  const attempts = there.open()
  t.after(() => attempts.close())
  const specs: Parameters<typeof attemptSpec>[] = [
    ['cmd.run', { cmd: 'echo BOPS_EXPORT:A=1; echo err >&2; exit 3', export_vars: true }],
    ['cmd.run', { cmd: 'echo out' }, { outputs: { O: 'stdout' } }],
    ['cmd.run', { cmd: 'kill -9 $$' }],
    ['cmd.run', { cmd: 'true', cwd: '/nowhere' }],
    ['cmd.run', { cmd: 'trap "" TERM; while :; do sleep 1; done' }, { timeout_ms: 100 }],
    ['shell.run', { script: '#!/nowhere/python\n' }],
    ['shell.run', { script: '#!/bin/sh\nexit 9' }],
    ['vars.set', { vars: { B: 2 } }],
  ]
  const resolveEnd = (end: AttemptEnd) => {
    const { outcome, reason, message, exit_code, signal, exports } = end
    // The wrapper on a runner is killed with its command, and may not have recorded how that ended.
    return { outcome, reason, message, exports, ...(reason !== 'timeout' && { exit_code, signal }) }
  }
  for (const spec of specs) {
    const onRunner = await attempts.start(attemptSpec(...spec), 1)
    assert.deepEqual(resolveEnd((await run(attemptSpec(...spec))).end!), resolveEnd(await endOf(onRunner)))
  }
  assert.deepEqual(readdirSync(cwd), [])
  // Other programs of this machine create and delete files there.
  const own = readdirSync(tmpdir()).filter((name) => name.includes(key))
  assert.deepEqual(own, [])
})

test('a script file is removed after its step', async (t) => {
  const { run } = hostIn(t)
  const sink = await run(attemptSpec('shell.run', { script: '#!/bin/sh\necho "$0"' }))
  const file = sink.text().trim()
  assert.match(file, /script$/)
  assert.equal(existsSync(file), false)
})

test('a script without a temporary folder fails only its step, with the reason', async (t) => {
  const { run } = hostIn(t)
  const before = process.env.TMPDIR
  process.env.TMPDIR = join(tmpdir(), 'errand-not-there')
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  const script = attemptSpec('shell.run', { script: '#!/bin/sh\necho never' })
  const failed = await run(script)
  assert.deepEqual([failed.end?.outcome, failed.end?.reason], ['failed', 'start_failed'])
  assert.match(failed.end!.message!, /could not be started: ENOENT.*errand-not-there/)
})

test('a slow sink slows down the process, and every byte arrives in order', async (t) => {
  const { run } = hostIn(t)
  const sink = new RecordingSink()
  let largest = 0
  sink.onOutput = async (bytes) => {
    largest = Math.max(largest, bytes.length)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await run(command('yes 0123456789 | head -c 20000000; printf "\\377\\000"'), sink)
  const whole = Buffer.concat(sink.bytes.stdout)
  assert.equal(whole.length, 20_000_002)
  assert.deepEqual(whole.subarray(-2), Buffer.from([0xff, 0]))
  assert.equal(whole.toString('latin1', 0, 20_000_000), '0123456789\n'.repeat(1_818_182).slice(0, 20_000_000))
  assert.ok(largest < 1024 * 1024, `pieces of up to ${largest} bytes`)
})

test('output that cannot be stored ends the process and fails the step', async (t) => {
  const { run } = hostIn(t)
  const sink = new RecordingSink()
  sink.onOutput = () => Promise.reject(new ErrandError('disk_full', 'no space left'))
  await run(command('yes'), sink)
  assert.deepEqual([sink.end?.outcome, sink.end?.reason], ['failed', 'output_failed'])
})

test('after refused output nothing more of its stream follows, not even a withheld start of a secret', async (t) => {
  const { run } = hostIn(t, { secrets: { reveal: async () => ({ TOKEN: token }) } })
  const sink = new RecordingSink()
  let refused = false
  sink.onOutput = async () => {
    if (refused) return
    refused = true
    throw new ErrandError('disk_full', 'no space left')
  }
  await run(command(`printf 'lost %.9s' "$TOKEN"`, { secrets: { TOKEN: fromHub('TOKEN') } }), sink)
  assert.deepEqual([sink.end?.reason, sink.text()], ['output_failed', ''])
})

test('a background process that holds the pipe does not delay the end of the step', async (t) => {
  const { run } = hostIn(t)
  const swept = await run(command('sleep 1000 & echo $!'))
  assert.equal(swept.end?.outcome, 'success')
  assert.equal(processStat(Number(swept.text())), undefined)
  const daemon = await run(command('setsid sleep 1000 & while ! pgrep -s $! >/dev/null; do :; done; echo $!'))
  const pid = Number(daemon.text())
  assert.equal(daemon.end?.outcome, 'success')
  assert.notEqual(processStat(pid), undefined)
  signal(pid, 'SIGKILL')
})

test('cancel and timeout leave nothing running, even processes that ignore signals', async (t) => {
  const { host, run, start, cwd } = hostIn(t)
  const spec = command(
    'trap "" TERM; setsid sh -c \'echo $$ >daemon; while :; do sleep 1; done\' & while :; do sleep 1; done',
  )
  const sink = start(spec)
  const daemon = join(cwd, 'daemon')
  await until(() => existsSync(daemon) && readFileSync(daemon, 'utf8').endsWith('\n'))
  host.cancel(spec.attempt_id, 'upstream')
  host.cancel(spec.attempt_id, 'canceled')
  await until(() => sink.end !== undefined)
  assert.deepEqual([sink.end?.outcome, sink.end?.reason], ['canceled', 'upstream'])
  assert.equal(processStat(Number(readFileSync(daemon, 'utf8'))), undefined)
  const timed = await run(command('sleep 1000', { timeout_ms: 50 }))
  assert.deepEqual([timed.end?.outcome, timed.end?.reason], ['failed', 'timeout'])
})

test('a forced cancel does not wait for the grace period', async (t) => {
  const { host, start } = hostIn(t, { graceMs: 600_000 })
  const spec = command('trap "" TERM; echo up; while :; do sleep 1; done')
  const sink = start(spec)
  await until(() => sink.kept.stdout > 0)
  host.cancel(spec.attempt_id, 'canceled')
  host.cancel(spec.attempt_id, 'canceled', true)
  await until(() => sink.end !== undefined)
  assert.equal(sink.end?.outcome, 'canceled')
})

test('a forced cancel does not wait for processes that a finished command leaves behind', async (t) => {
  const { host, start } = hostIn(t, { graceMs: 600_000 })
  const left = '(trap "" TERM; exec 1>&- 2>&-; while :; do sleep 1; done) &'
  const spec = command(`${left} trap 'exit 5' TERM; echo $$; while :; do sleep 0.01; done`)
  const sink = start(spec)
  await until(() => sink.text().endsWith('\n'))
  host.cancel(spec.attempt_id, 'canceled')
  await until(() => processStat(Number(sink.text())) === undefined)
  host.cancel(spec.attempt_id, 'canceled', true)
  await until(() => sink.end !== undefined)
  assert.deepEqual([sink.end?.outcome, sink.end?.exit_code], ['canceled', 5])
})

test('over the limit attempts wait in order, and a waiting one can be canceled', async (t) => {
  const { host, cwd, start } = hostIn(t, { limit: 2 })
  const gate = 'while [ ! -e go ]; do sleep 0.02; done; echo $ERRAND_ATTEMPT_ID >>order'
  const specs = [
    command(gate),
    command(gate),
    command('echo third >>order'),
    command('echo never >>order'),
    command('true'),
  ]
  const sinks = specs.map((spec) => start(spec))
  assert.deepEqual(host.place(command('true')), {
    waiting: 'this machine already runs 2 steps, which is its limit',
  })
  assert.deepEqual(readdirSync(cwd), [])
  host.cancel(specs[3]!.attempt_id, 'canceled')
  await until(() => sinks[3]!.end !== undefined)
  assert.equal(sinks[2]!.assignedAt, undefined)
  writeFileSync(join(cwd, 'go'), '')
  for (const sink of sinks) await until(() => sink.end !== undefined)
  assert.deepEqual(
    sinks.map((sink) => sink.end?.outcome),
    ['success', 'success', 'success', 'canceled', 'success'],
  )
  assert.deepEqual(sinks[2]!.assignedAt, { epoch: 1 })
  assert.equal(readFileSync(join(cwd, 'order'), 'utf8').includes('never'), false)
})

test('an attempt that is canceled when its turn comes ends, even if the engine no longer wants it', async (t) => {
  const { host, start } = hostIn(t, { limit: 1 })
  const first = start(command('true'))
  const spec = command('echo never')
  const sink = new RecordingSink()
  sink.assigned = async () => {
    host.cancel(spec.attempt_id, 'canceled')
    return false
  }
  start(spec, sink)
  await until(() => first.end !== undefined && sink.end !== undefined)
  assert.deepEqual([sink.end?.outcome, sink.text()], ['canceled', ''])
  await until(() => 'epoch' in host.place(command('true')))
})

test('an unused place is given back', async (t) => {
  const { host } = hostIn(t, { limit: 1 })
  const spec = command('true')
  assert.deepEqual(host.place(spec), { epoch: 1 })
  assert.ok('waiting' in host.place(command('true')))
  host.cancel(spec.attempt_id, 'canceled')
  assert.deepEqual(host.place(command('true')), { epoch: 1 })
})

test('an attempt that ran in an earlier process is lost, and one that had not started is started', async (t) => {
  const { host } = hostIn(t)
  const [lost, begun] = [new RecordingSink(), new RecordingSink()]
  host.resume(command('true'), { epoch: 1 }, { started: true }, lost)
  host.resume(command('echo begun'), undefined, { started: false }, begun)
  await until(() => lost.end !== undefined && begun.end !== undefined)
  assert.deepEqual([lost.end?.outcome, lost.end?.reason], ['interrupted', 'lost'])
  assert.equal(begun.text(), 'begun\n')
})

test('a report that the engine could not store is sent again', async (t) => {
  const { run } = hostIn(t)
  const sink = new RecordingSink()
  const report = sink.report.bind(sink)
  let refusals = 2
  sink.report = (...args) =>
    refusals-- > 0 ? Promise.reject(new Error('the store failed')) : report(...args)
  await run(command('true'), sink)
  assert.deepEqual(
    sink.reports.map((each) => each.report.type),
    ['started', 'ended'],
  )
})

test('closing ends running attempts, and closing twice is allowed', async (t) => {
  const { host, start } = hostIn(t)
  const sink = start(command('echo $$; exec sleep 1000'))
  await until(() => sink.kept.stdout > 0)
  await host.close()
  await host.close()
  assert.equal(sink.end?.outcome, 'interrupted')
  assert.equal(processStat(Number(sink.text())), undefined)
})

test('an attempt that its action cannot create fails with the error, and its place is free again', async (t) => {
  const odd = { kind: 'odd' } as unknown as ActionRegistry[string]
  const { run } = hostIn(t, { registry: { ...builtinActionRegistry, odd }, limit: 1 })
  const { outcome, reason, message } = (await run(attemptSpec('odd', {}))).end!
  assert.deepEqual([outcome, reason], ['failed', 'internal'])
  assert.match(message!, /undefined/)
  assert.equal((await run(command('true'))).end?.outcome, 'success')
})
