import assert from 'node:assert/strict'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { processesOf, startPrograms } from '../support/programs.ts'
import { onBuilders, startRun, writeBuilders } from '../support/provisioners/builders.ts'

test('a runner that was made for one run ends with its steps once its folder is gone, though its hub was killed', async (t) => {
  const programs = await startPrograms(t, {
    runner: 'none',
    prepare: ({ data }) => writeBuilders(data, { provisioner: 'process', max: 1, start_seconds: 60 }),
  })
  const mark = join(programs.home, 'begun')
  const made = join(programs.data, 'made')
  await startRun(programs, onBuilders(`setsid sleep 600 & echo >${mark}; sleep 600`))
  await eventually('its step', () => existsSync(mark))
  const [name] = readdirSync(made)
  const folder = join(made, name!)
  // The runner, the guard beside it, the shell that waits for its deadline, the wrapper and the step's own.
  assert.ok(processesOf(folder).length >= 5)
  await programs.kill('hub')
  rmSync(programs.data, { recursive: true })
  await eventually('an end of all of it', () => processesOf(folder).length === 0)
})
