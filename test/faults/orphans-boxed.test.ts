import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { processesMarked } from '../../src/platform/proc.ts'
import { eventually } from '../support/errand-command.ts'
import { processesOf, startPrograms, workflowText } from '../support/programs.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { containersMissing, IMAGE } from '../support/runner/container-fixture.ts'

/**
 * Runs a step in such a box that ignores SIGTERM. Its runner is killed, and comes back once all of the step has ended.
 */
async function heldToItsTime(t: TestContext, box: Record<string, unknown>): Promise<void> {
  const programs = await startPrograms(t, { hubArgs: ['--lost-after', '60s', '--heartbeat', '0.5s'] })
  const name = randomUUID()
  const cmd = `trap '' TERM; echo >${name}; (trap '' TERM; while :; do sleep 0.1; done) & while :; do sleep 0.1; done`
  const { run_id } = await programs.client.runs.create({
    yaml: workflowText([{ name: 'long', cmd, timeout_seconds: 15, network: 'none', ...box }]),
  })
  await eventually('its start', () => existsSync(join(programs.runnerFolder, 'runs', run_id, name)))
  await programs.kill('runner')
  const inside = () => processesOf(name)
  assert.ok(inside().length > 0)
  await eventually('its end', () => inside().length === 0)
  await eventually(
    'the end of all of it',
    () => processesMarked(`ERRAND_RUNNER_MARK=${programs.runnerFolder}\0`).length === 0,
  )
  await programs.startRunner()
  const run = await programs.ended(run_id)
  assert.deepEqual(
    [run.status, run.steps[0]!.instances[0]!.reason],
    ['failed', 'timeout'],
    JSON.stringify(run),
  )
}

test(
  'a step in a sandbox keeps its time limit though its runner stays away',
  {
    skip: sandboxMissing(),
  },
  async (t) => await heldToItsTime(t, { isolation: 'sandbox' }),
)

test(
  'a step in a container keeps its time limit though its runner stays away',
  {
    skip: containersMissing,
  },
  async (t) => await heldToItsTime(t, { isolation: 'container', image: IMAGE }),
)
