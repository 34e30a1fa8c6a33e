import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { processesOf, startPrograms } from '../support/programs.ts'

test('steps of a machine that asks all its processes to stop are lost, in any order of the signals', async (t) => {
  const programs = await startPrograms(t)
  const { client, home } = programs
  for (const order of ['steps first', 'runner first']) {
    const up = join(home, order.replace(' ', '-'))
    const workflow = {
      version: 'v0.1',
      name: 'stops',
      steps: [{ name: 'work', action: 'shell.run', args: { script: `touch ${up}; exec sleep 1000` } }],
    }
    const { run_id } = await client.runs.create({ workflow })
    await eventually('the step', () => existsSync(up))
    const runner = programs.runner!
    const steps = processesOf(home).filter(
      (pid) => pid !== programs.hub.child.pid && pid !== runner.child.pid,
    )
    assert.ok(steps.length >= 2, 'a wrapper and its command')
    const all = order === 'steps first' ? [...steps, runner.child.pid!] : [runner.child.pid!, ...steps]
    for (const pid of all) process.kill(pid, 'SIGTERM')
    assert.equal((await runner.finished).code, 0)
    await programs.startRunner()
    const run = await programs.ended(run_id)
    const { reason, message } = run.steps[0]!.instances[0]!
    assert.deepEqual([order, run.status, reason], [order, 'interrupted', 'lost'], message)
  }
})
