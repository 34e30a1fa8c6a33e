import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { type Programs, processesOf, startPrograms, workflowText } from '../support/programs.ts'
import { readIfThere, textOf, wholeLog } from '../support/programs-output.ts'

/** Starts runs whose first try never ends by itself. Those named `again-…` get a second try. */
async function begin(programs: Programs, ids: string[]): Promise<void> {
  for (const id of ids) {
    const mark = join(programs.home, id)
    const cmd = `echo x >>"${mark}"; echo "try $ERRAND_TRY"; [ "$ERRAND_TRY" = 1 ] && sleep 100000; exit 0`
    const retry = { max_attempts: 2, backoff: { delay_seconds: 0 } }
    await programs.client.runs.create({
      run_id: id,
      yaml: workflowText([{ name: 'one', cmd, ...(id.startsWith('again') ? { retry } : {}) }]),
    })
  }
  // Waits until each has begun and the hub knows it: an attempt that never began may simply begin.
  for (const id of ids) {
    await eventually(`the output of ${id}`, async () => {
      const run = await programs.client.runs.get(id)
      const length = run.steps[0]?.instances[0]?.attempts[0]?.streams?.stdout?.length
      return readIfThere(join(programs.home, id)) === 'x\n' && (length ?? 0) > 0
    })
  }
}

function killWork(programs: Programs, ids: string[]): void {
  // The commands and their wrappers, of this test only, whatever else runs on the machine.
  const pids = ids.flatMap((id) => processesOf(programs.home, `ERRAND_RUN_ID=${id}\0`))
  // None of them may see the end of another: a shell would continue with its next command and end by itself.
  for (const signal of ['SIGSTOP', 'SIGKILL'] as const) for (const pid of pids) process.kill(pid, signal)
}

async function check(programs: Programs, ids: string[]): Promise<void> {
  for (const id of ids) {
    const run = await programs.ended(id)
    const again = id.startsWith('again')
    const attempts = run.steps[0]!.instances[0]!.attempts
    assert.equal(attempts[0]!.outcome, 'interrupted', id)
    assert.equal(run.status, again ? 'success' : 'interrupted', JSON.stringify(run))
    if (!again) assert.equal(run.steps[0]!.reason, 'lost')
    assert.equal(attempts.length, again ? 2 : 1)
    assert.equal(readIfThere(join(programs.home, id)), again ? 'x\nx\n' : 'x\n')
    const events = await wholeLog(programs.client, id)
    assert.equal(textOf(events, 1), 'try 1\n', 'its earlier output is still there')
    if (again) assert.equal(textOf(events, 2), 'try 2\n')
  }
}

test('work that was killed while its runner was away is interrupted, or tried again', async (t) => {
  const programs = await startPrograms(t)
  const ids = ['once', 'again']
  await begin(programs, ids)
  await programs.kill('runner')
  killWork(programs, ids)
  await programs.startRunner()
  await check(programs, ids)
})

test('work whose folder is gone is interrupted, or tried again', async (t) => {
  const programs = await startPrograms(t)
  const ids = ['once', 'again']
  await begin(programs, ids)
  await programs.kill('hub', 'runner')
  killWork(programs, ids)
  rmSync(join(programs.runnerFolder, 'attempts'), { recursive: true })
  await programs.startHub()
  await programs.startRunner()
  await check(programs, ids)
})

test('work that was killed while errand up was away is interrupted, or tried again', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const ids = ['once', 'again']
  await begin(programs, ids)
  await programs.kill('hub')
  killWork(programs, ids)
  await programs.startHub()
  await check(programs, ids)
})
