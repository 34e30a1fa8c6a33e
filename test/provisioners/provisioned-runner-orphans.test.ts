import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { endProcessesOf, freePort, processesOf, startPrograms } from '../support/programs.ts'
import { onBuilders, startRun, writeBuilders } from '../support/provisioners/builders.ts'

test('a runner provisioned for one run ends with its steps once its folder is gone, even if its hub was killed', async (t) => {
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
  // The runner, its guard, the shell that waits for its deadline, the wrapper and the step's own process.
  assert.ok(processesOf(folder).length >= 5)
  await programs.kill('hub')
  rmSync(programs.data, { recursive: true })
  await eventually('the end of all of it', () => processesOf(folder).length === 0)
})

test("a data folder with a path relative to the hub's start folder does not nest anything", async (t) => {
  const errand = errandCommand(t)
  t.after(() => endProcessesOf(errand.home))
  const data = join(errand.home, 'data')
  writeBuilders(data, { provisioner: 'process', max: 1, start_seconds: 60 })
  const port = await freePort()
  const hub = errand.start(['up', '--data', './data', '--no-runner', '--port', String(port)], {
    cwd: errand.home,
  })
  await hub.until('Errand is up')
  const token = readFileSync(join(data, 'local-token'), 'utf8').trim()
  const client = new ErrandClient({ url: `http://127.0.0.1:${port}`, token })
  const where = join(errand.home, 'where')
  await startRun({ client }, onBuilders(`pwd >${where}.part; mv ${where}.part ${where}; sleep 600`))
  await eventually('its step', () => existsSync(where))
  const [name] = readdirSync(join(data, 'made'))
  const inside = readdirSync(join(data, 'made', name!))
  assert.ok(inside.includes('attempts') && !inside.includes('data'), inside.join(' '))
  assert.ok(readFileSync(where, 'utf8').startsWith(join(data, 'made', name!, 'runs')))
  assert.equal(existsSync(join(data, 'data')), false)
})
