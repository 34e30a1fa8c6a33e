import assert from 'node:assert/strict'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { Orphan } from '../../src/cli/doctor/orphans.ts'
import { processesMarked } from '../../src/platform/proc.ts'
import { eventually } from '../support/errand-command.ts'
import { guardsOf, type Programs, startPrograms, workflowText } from '../support/programs.ts'

/** Returns a step that says when it has begun, ignores SIGTERM, and has a process beside it that has left its group. */
const deaf = (begun: string) =>
  `trap '' TERM; setsid sh -c 'trap "" TERM; while :; do sleep 0.1; done' & echo >${begun}; while :; do sleep 0.1; done`

async function begun(programs: Programs, cmd: (mark: string) => string, more: Record<string, unknown> = {}) {
  const mark = join(programs.home, 'begun')
  const { run_id } = await programs.client.runs.create({
    yaml: workflowText([{ name: 'long', cmd: cmd(mark), ...more }]),
  })
  await eventually('its start', () => existsSync(mark))
  return run_id
}

const stepsOf = ({ runnerFolder }: Programs): number[] =>
  processesMarked(`ERRAND_RUNNER_MARK=${runnerFolder}\0`)

const opened = async (t: TestContext) =>
  await startPrograms(t, { hubArgs: ['--lost-after', '60s', '--heartbeat', '0.5s'] })

test('a step keeps its time limit while its killed runner stays away, and its end is reported on the return', async (t) => {
  const programs = await opened(t)
  const id = await begun(programs, deaf, { timeout_seconds: 4 })
  await programs.kill('runner')
  assert.ok(stepsOf(programs).length >= 3)
  await eventually('its end', () => stepsOf(programs).length === 0)
  await programs.startRunner()
  const run = await programs.ended(id)
  const instance = run.steps[0]!.instances[0]!
  assert.deepEqual([run.status, instance.reason], ['failed', 'timeout'], JSON.stringify(run))
  assert.match(JSON.stringify(run), /Stopped after 4 s\./)
})

test('a step whose runner returns in time continues, to its end or to its time limit', async (t) => {
  const programs = await opened(t)
  const go = join(programs.home, 'go')
  const id = await begun(
    programs,
    (mark) => `echo >${mark}; until test -e ${go}; do sleep 0.05; done; echo kept`,
    {
      timeout_seconds: 60,
    },
  )
  await programs.kill('runner')
  await programs.startRunner()
  await programs.runner!.until('Connected to the hub')
  writeFileSync(go, '')
  const run = await programs.ended(id)
  assert.equal(run.status, 'success', JSON.stringify(run))
})

test('doctor names the processes of attempts without a runner or folder, and ends only these', async (t) => {
  const programs = await opened(t)
  const doctor = async (...args: string[]) => {
    const { stdout, code } = await programs.call('doctor', '--json', '--data', programs.home, ...args)
    return { code, ...(JSON.parse(stdout) as { orphans: Orphan[]; ended: (Orphan & { gone: boolean })[] }) }
  }
  const id = await begun(programs, deaf)
  assert.deepEqual((await doctor()).orphans, [])
  assert.deepEqual((await doctor('--end-orphans')).ended, [])
  await programs.kill('runner')
  const named = (await doctor()).orphans
  assert.deepEqual(
    named.map(({ attempt_id, folder, why }) => ({ attempt_id, folder, why })),
    [{ attempt_id: `${id}.1`, folder: programs.runnerFolder, why: 'runner_gone' }],
  )
  const pids = named[0]!.processes.map(({ pid }) => pid)
  // The oldest process waits for the command; some of the others come and go.
  assert.ok(pids.length >= 3 && existsSync(`/proc/${pids[0]}`))
  assert.match(named[0]!.processes[0]!.since, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  rmSync(programs.runnerFolder, { recursive: true })
  assert.equal((await doctor()).orphans[0]?.why, 'folder_gone')
  const text = await programs.call('doctor', '--data', programs.home)
  assert.match(
    text.stdout,
    new RegExp(`orphans +Attempt ${id}.1 is running without its runner, whose folder`),
  )
  const { ended, code } = await doctor('--end-orphans')
  assert.deepEqual([code, ended.length, ended[0]?.gone, ended[0]?.attempt_id], [0, 1, true, `${id}.1`])
  assert.deepEqual(stepsOf(programs), [])
})

test('a live runner keeps its steps, even if its folder was removed', async (t) => {
  const programs = await opened(t)
  await begun(programs, (mark) => `echo >${mark}; sleep 600`)
  rmSync(programs.runnerFolder, { recursive: true })
  const { stdout } = await programs.call('doctor', '--json', '--data', programs.home, '--end-orphans')
  assert.deepEqual(JSON.parse(stdout), { ok: true, ended: [] })
  assert.ok(stepsOf(programs).length > 0)
})

test('no guard remains after a runner ended in order and had no step with a limit', async (t) => {
  const programs = await opened(t)
  assert.equal(guardsOf(programs.home).length, 1)
  programs.runner!.child.kill('SIGTERM')
  await programs.runner!.finished
  await eventually('the end of its guard', () => guardsOf(programs.home).length === 0)
})
