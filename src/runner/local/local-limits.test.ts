import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { attemptSpec, command, until } from '../../../test/support/runner/attempt-fixture.ts'
import { builtinActionRegistry } from '../../actions/registry.ts'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import { chooseLimits, giveBack } from '../limits/limit-choice.ts'
import { LocalHost } from './local-host.ts'

const MiB = 1024 ** 2
const HOG = `node -e 'const held = []; for (;;) held.push(Buffer.alloc(16 * 1024 * 1024, 1))'`
const BURN = `node -e 'while (process.cpuUsage().user + process.cpuUsage().system < 300000);'`

/** Runs a step in its own folder; `holder` is a value of ERRAND_LIMITS. */
async function run(t: TestContext, spec: AttemptSpec, holder = 'auto', file?: Buffer): Promise<AttemptEnd> {
  const cwd = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(cwd, { recursive: true, force: true }))
  if (file !== undefined) writeFileSync(join(cwd, 'before'), file)
  const before = process.env.ERRAND_LIMITS
  process.env.ERRAND_LIMITS = holder
  const host = new LocalHost({ registry: builtinActionRegistry, cwd })
  if (before === undefined) delete process.env.ERRAND_LIMITS
  else process.env.ERRAND_LIMITS = before
  let end: AttemptEnd | undefined
  host.start(spec, host.place(spec) as { epoch: number }, {
    waiting: () => undefined,
    assigned: async () => true,
    report: async (report) => {
      if (report.type === 'ended') end = report
    },
    output: async (_stream, offset, bytes) => offset + bytes.length,
    length: async () => 0,
  })
  await until(() => end !== undefined, 'the end')
  await host.close()
  return end!
}

const holders = () => {
  const choice = chooseLimits(`errand-probe-local-${process.pid}`)
  giveBack(choice)
  return choice.heldBy === 'watchdog' ? ['watchdog'] : ['auto', 'watchdog']
}

for (const holder of holders()) {
  test(`a local step over its memory limit ends as oom (${holder})`, async (t) => {
    const end = await run(t, command(HOG, { limits: { memory_bytes: 200 * MiB } }), holder)
    assert.equal(end.reason, 'oom', JSON.stringify(end))
    assert.match(end.message!, /of 200 MB/)
    assert.equal(end.usage!.held_by === 'watchdog', holder === 'watchdog')
  })

  test(`a local step within its limits reports its CPU time and its peak (${holder})`, async (t) => {
    const end = await run(t, command(BURN, { limits: { memory_bytes: 900 * MiB, processes: 100 } }), holder)
    assert.equal(end.outcome, 'success')
    assert.ok(end.usage!.cpu_ms! >= 290, JSON.stringify(end.usage))
    assert.ok(end.usage!.peak_memory_bytes! > 5 * MiB, JSON.stringify(end.usage))
  })

  test(`a local step that cannot start says so under limits too (${holder})`, async (t) => {
    const spec = attemptSpec('shell.run', { script: '#!/nowhere/python\n' }, { limits: { processes: 10 } })
    const end = await run(t, spec, holder)
    assert.equal(end.reason, 'start_failed')
    assert.match(end.message!, /\/nowhere\/python does not exist/)
    assert.equal(end.usage, undefined)
  })
}

test('without limits a local step reports the CPU time of all its processes', async (t) => {
  const end = await run(t, command(`${BURN} & ${BURN}; wait`))
  assert.ok(end.usage!.cpu_ms! >= 580, JSON.stringify(end.usage))
})

test('in a local folder only what the step adds counts', async (t) => {
  const spec = command('sleep 1', { limits: { disk_bytes: 5 * MiB } })
  const within = await run(t, spec, 'watchdog', Buffer.alloc(20 * MiB, 1))
  assert.equal(within.outcome, 'success', JSON.stringify(within))
  const beyond = command('head -c 20000000 /dev/urandom >file', { limits: { disk_bytes: 5 * MiB } })
  const end = await run(t, beyond, 'watchdog', Buffer.alloc(20 * MiB, 1))
  assert.equal(end.reason, 'quota', JSON.stringify(end))
})
