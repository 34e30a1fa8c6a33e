import assert from 'node:assert/strict'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { type Programs, type Step, startPrograms, workflowText } from '../support/programs.ts'
import { readIfThere, wholeLog } from '../support/programs-output.ts'

const [library] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')
const options = {
  skip: library === undefined && "there is no libfaketime to set a clock with (Debian's package faketime)",
}

interface Clock {
  /** The environment of the program whose clock it is. */
  env: NodeJS.ProcessEnv
  /** Sets the offset to the machine's clock from now on. */
  set(offset: string): void
}

/** Creates a clock for the date only: nobody sets the clock that counts from the start of the machine. */
function clock(folder: string, name: string): Clock {
  const file = join(folder, name)
  const set = (offset: string): void => writeFileSync(file, offset)
  set('+0')
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    set,
  }
}

async function start(t: TestContext): Promise<{ programs: Programs; hub: Clock; runner: Clock }> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-clock-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const hub = clock(folder, 'hub')
  const runner = clock(folder, 'runner')
  const programs = await startPrograms(t, { hubEnv: hub.env, runnerEnv: runner.env })
  return { programs, hub, runner }
}

const attemptsOf = async ({ client }: Programs, id: string) =>
  (await client.runs.get(id)).steps[0]!.instances[0]?.attempts ?? []

/** Starts runs of everything that waits for a time, before any of these times is over. */
async function beginAll(programs: Programs): Promise<void> {
  const { client, home } = programs
  const at = (name: string): string => join(home, name)
  const endless = `while [ ! -e "${at('go')}" ]; do sleep 0.02; done; echo went`
  const begin = async (run_id: string, step: Omit<Step, 'name'>, more?: Record<string, unknown>) => {
    await client.runs.create({ run_id, yaml: workflowText([{ name: 'one', ...step }], more) })
  }
  const retry = (seconds: number) => ({ max_attempts: 2, backoff: { delay_seconds: seconds, factor: 1 } })
  const fails = (name: string): string => `echo x >>"${at(name)}"; [ "$ERRAND_TRY" = 2 ]`
  // The time of these runs must not pass.
  await begin('long-run', { cmd: endless }, { timeout_seconds: 1800 })
  await begin('long-step', { cmd: endless, timeout_seconds: 1800 })
  await begin('long-retry', { cmd: fails('long-retry'), retry: retry(1800) })
  await begin('long-approval', { action: 'approval.wait', args: { timeout_seconds: 1800 } })
  // The time of these runs must pass.
  await begin('short-run', { cmd: 'echo begun; sleep 100000' }, { timeout_seconds: 6 })
  await begin('short-step', { cmd: 'echo begun; sleep 100000', timeout_seconds: 6 })
  await begin('short-retry', { cmd: fails('short-retry'), retry: retry(6) })
  await begin('short-approval', { action: 'approval.wait', args: { timeout_seconds: 6 } })
  for (const id of ['long-run', 'long-step', 'short-run', 'short-step'])
    await eventually(`the start of ${id}`, async () => (await attemptsOf(programs, id)).length > 0)
  for (const id of ['long-retry', 'short-retry'])
    await eventually(`the first try of ${id}`, async () =>
      (await attemptsOf(programs, id)).some(({ outcome }) => outcome === 'failed'),
    )
}

async function checkAll(programs: Programs): Promise<void> {
  const { client, home } = programs
  const ended = async (id: string) => {
    const { status, steps } = await programs.ended(id)
    return [status, steps[0]!.reason]
  }
  assert.deepEqual(await ended('short-retry'), ['success', undefined])
  assert.deepEqual(await ended('short-step'), ['failed', 'timeout'])
  assert.equal((await ended('short-run'))[0], 'failed')
  assert.equal((await ended('short-approval'))[0], 'failed')
  // By now, the programs have read every clock since it was set.
  for (const id of ['long-run', 'long-step', 'long-retry', 'long-approval'])
    assert.equal((await client.runs.get(id)).status, 'running', id)
  assert.equal(readIfThere(join(home, 'long-retry')), 'x\n')
  writeFileSync(join(home, 'go'), '')
  await client.runs.approve('long-approval', { step: 'one' })
  for (const id of ['long-run', 'long-step', 'long-approval'])
    assert.deepEqual(await ended(id), ['success', undefined], id)
  await client.runs.cancel('long-retry')
  assert.equal((await ended('long-retry'))[0], 'canceled')
  for (const id of ['long-run', 'short-run', 'short-retry']) await wholeLog(client, id)
}

for (const offset of ['+1h', '-1h'] as const) {
  test(
    `clocks that change by ${offset} during work end no time limit, wait or lease early or late`,
    options,
    async (t) => {
      const { programs, hub, runner } = await start(t)
      await beginAll(programs)
      hub.set(offset)
      runner.set(offset)
      await checkAll(programs)
      const [here] = await programs.client.runners.list()
      const aheadMs = Date.parse(here!.last_seen_at) - Date.now()
      assert.ok(Math.abs(aheadMs) > 30 * 60_000, `the hub's clock was set, by ${aheadMs} ms`)
      assert.equal(here!.status, 'connected')
      assert.doesNotMatch(programs.hub.printed.stderr, /is disconnected/)
    },
  )
}
