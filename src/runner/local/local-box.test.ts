import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { processesOf } from '../../../test/support/programs.ts'
import { attemptSpec, command, until } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { builtinActionRegistry } from '../../actions/registry.ts'
import type { AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { LocalHost, type LocalHostOptions } from './local-host.ts'

const skip = sandboxMissing()

class RecordingSink implements AttemptSink {
  readonly reports: AttemptReport[] = []
  readonly text: Record<StreamName, string> = { stdout: '', stderr: '' }
  waiting(): void {}
  async assigned(): Promise<boolean> {
    return true
  }
  async report(report: AttemptReport): Promise<void> {
    this.reports.push(report)
  }
  async output(stream: StreamName, offset: number, bytes: Buffer): Promise<number> {
    this.text[stream] += bytes.toString()
    return offset + bytes.length
  }
  async length(): Promise<number> {
    return 0
  }
  get end() {
    const last = this.reports.at(-1)
    return last?.type === 'ended' ? last : undefined
  }
}

function hostIn(t: TestContext, options: Partial<LocalHostOptions> = {}) {
  const here = boxPlace({ least: 'auto' })
  const { boxes, workspace: cwd } = here
  const registry = builtinActionRegistry
  const host = new LocalHost({ registry, cwd, graceMs: 100, boxes: async () => boxes, ...options })
  t.after(async () => {
    await host.close()
    here[Symbol.dispose]()
  })
  const start = (spec: AttemptSpec) => {
    const sink = new RecordingSink()
    host.start(spec, { epoch: 1 }, sink)
    return sink
  }
  const run = async (spec: AttemptSpec) => {
    const sink = start(spec)
    await until(() => sink.end !== undefined)
    return sink
  }
  return { here, cwd, host, start, run }
}

const boxed = (cmd: string, more: Partial<AttemptSpec> = {}) =>
  command(cmd, { isolation: 'sandbox', network: 'none', ...more })

test('a local step in a sandbox has its folder and its variables, and nothing else of the machine', {
  skip,
}, async (t) => {
  process.env.TEST_HELD_BACK = 'held back'
  t.after(() => delete process.env.TEST_HELD_BACK)
  const { run, here, cwd } = hostIn(t)
  writeFileSync(join(here.path, 'outside'), 'held back')
  const text = `echo "$A<$TEST_HELD_BACK>"; pwd; ls ${here.path}; echo made >made; cat ${here.path}/outside`
  const sink = await run(boxed(text, { env: { A: '1' } }))
  assert.equal(sink.text.stdout, `1<>\n${cwd}\nworkspace\n`)
  assert.match(sink.text.stderr, /outside: No such file/)
  assert.equal(readFileSync(join(cwd, 'made'), 'utf8'), 'made\n')
  assert.equal(sink.end!.exit_code, 1)
  const started = sink.reports.find((report) => report.type === 'started')
  assert.deepEqual([started!.isolation, started!.network], ['sandbox', 'none'])
  // A step that requests no sandbox is unaffected.
  assert.equal((await run(command('echo "$TEST_HELD_BACK"'))).text.stdout, 'held back\n')
})

test('the sandbox contains scripts and secret files', { skip }, async (t) => {
  const secrets = { KEY: { from: 'hub', name: 'KEY', as: 'file' } } as unknown as AttemptSpec['secrets']
  const { run } = hostIn(t, { secrets: { reveal: async () => ({ KEY: 'a-secret-value' }) } })
  const script = `#!/usr/bin/env sh\necho of a file; : ${'x'.repeat(120_000)}`
  const ask = { isolation: 'sandbox', network: 'none' } as const
  assert.equal((await run(attemptSpec('shell.run', { script }, ask))).text.stdout, 'of a file\n')
  const read = await run(boxed('wc -c <"$KEY"', { secrets }))
  assert.equal(read.text.stdout.trim(), '14', read.end!.message ?? read.text.stderr)
})

test('nothing of a sandbox is left, neither processes nor files, however it ends', { skip }, async (t) => {
  const { run, start, host } = hostIn(t)
  const mark = randomUUID()
  const hides = `env -i /usr/bin/setsid -f /bin/sh -c "trap '' TERM; while :; do sleep 0.1; done # ${mark}" <&- >&- 2>&-`
  const made = () =>
    readdirSync(tmpdir()).filter((name) => name.startsWith('errand-') && !name.includes('test'))
  const before = made()
  assert.equal((await run(boxed(`${hides}; echo done`))).end!.outcome, 'success')
  assert.deepEqual(processesOf(mark), [])
  const spec = boxed(`trap 'echo bye; exit' TERM; ${hides}; echo up; while :; do sleep 0.1; done`)
  const sink = start(spec)
  await until(() => sink.text.stdout === 'up\n')
  host.cancel(spec.attempt_id, 'canceled')
  await until(() => sink.end !== undefined)
  assert.deepEqual([sink.end!.outcome, sink.text.stdout], ['canceled', 'up\nbye\n'])
  assert.deepEqual(processesOf(mark), [])
  assert.deepEqual(made(), before)
})

test('a request that cannot be met is refused before anything starts, with the reason', {
  skip,
}, async (t) => {
  const { run } = hostIn(t)
  const end = async (spec: AttemptSpec) => (await run(spec)).end!
  const elsewhere = await end(boxed('echo no', { args: { cwd: '/root' } }))
  assert.equal(elsewhere.reason, 'start_failed')
  assert.match(elsewhere.message!, /^The working folder \/root is not in the sandbox\. Put it into/)
  const none = hostIn(t, { boxes: undefined })
  const without = (await none.run(boxed('echo no'))).end!
  assert.deepEqual([without.outcome, without.message], ['failed', 'No sandboxes are available here.'])
  const write = attemptSpec(
    'file.write',
    { path: '/tmp/no', content: '', mode: '0644' },
    { isolation: 'sandbox' },
  )
  assert.match((await end(write)).message!, /A step in a sandbox may not write to/)
})

const PROGRAM = `
import { boxPlace } from ${JSON.stringify(new URL('../../../test/support/runner/box-fixture.ts', import.meta.url).href)}
import { builtinActionRegistry } from ${JSON.stringify(new URL('../../actions/registry.ts', import.meta.url).href)}
import { LocalHost } from ${JSON.stringify(new URL('./local-host.ts', import.meta.url).href)}
const { boxes, workspace } = boxPlace()
const host = new LocalHost({ registry: builtinActionRegistry, cwd: workspace, boxes: async () => boxes })
const sink = {
  waiting() {}, assigned: async () => true, report: async () => {}, length: async () => 0,
  output: async (stream, offset, bytes) => { process.stdout.write(bytes); return offset + bytes.length },
}
host.start(JSON.parse(process.argv[1]), { epoch: 1 }, sink)
setInterval(() => {}, 1000)
`

test('a boxed step ends with the program that runs it, even after kill -9', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const mark = randomUUID()
  const spec = boxed(
    `env -i /usr/bin/setsid -f /bin/sh -c "while :; do sleep 0.1; done # ${mark}" <&- >&- 2>&-; echo up; while :; do sleep 0.1; done`,
  )
  const args = ['--input-type=module', '-e', PROGRAM, JSON.stringify(spec)]
  const env = { ...process.env, TMPDIR: folder }
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
  await once(child.stdout, 'data')
  await until(() => processesOf(mark).length > 0)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await until(() => processesOf(mark).length === 0, 'the end of the box')
  assert.ok(existsSync(folder))
})

test("an attempt's folder names its process, so that its endpoint closes when that process is gone", {
  skip,
}, async (t) => {
  const { start, host, here } = hostIn(t)
  const before = new Set(readdirSync(tmpdir()))
  const sink = start(boxed('echo there; exec sleep 1000'))
  await until(() => sink.text.stdout !== '')
  const own = readdirSync(tmpdir()).filter((name) => !before.has(name) && name.startsWith('errand-'))
  const holders = own.map((name) => join(tmpdir(), name, 'owner')).filter((file) => existsSync(file))
  assert.ok(
    holders.some((file) => JSON.parse(readFileSync(file, 'utf8')).pid === process.pid),
    String(own),
  )
  await host.close()
  assert.ok(existsSync(here.path))
})
