import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { type Step, startPrograms, workflowText } from '../support/programs.ts'

const sub = (name: string, ...steps: Step[]): Step => ({
  name,
  action: 'workflow.run',
  args: { workflow: { version: 'v0.1', name: `${name} flow`, steps: steps as never } },
})
const cmd = (name: string, text: string): Step => ({ name, action: 'cmd.run', args: { cmd: text } })

test('runs logs shows what sub-workflows print at any depth, while they run and afterwards', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const file = join(programs.home, 'flow.yaml')
  const go = join(programs.home, 'go')
  const wait = `echo waits; while [ ! -e ${go} ]; do sleep 0.05; done; echo goes on`
  writeFileSync(file, workflowText([sub('outer', cmd('first', 'echo one'), sub('inner', cmd('deep', wait)))]))
  await programs.call('run', '--hub', '--detach', '--run-id', 'family', file)
  const logs = async (...more: string[]) => (await programs.call('runs', 'logs', 'family', ...more)).stdout
  await eventually('the innermost output', async () => (await logs()).includes('waits'))
  assert.match(await logs(), /^ {2}outer: local \| one\n/m)
  const following = logs('--follow')
  writeFileSync(go, '')
  const shown = (await following).split('\n')
  assert.deepEqual((await logs()).split('\n').sort(), shown.toSorted())
  const at = (line: RegExp) => shown.findIndex((each) => line.test(each))
  const order = [
    at(/^outer: runs as run_/),
    at(/^ {2}outer: local \| one$/),
    at(/^ {2}outer: inner: runs as run_/),
    at(/^ {4}outer > inner: local \| waits$/),
    at(/^ {4}outer > inner: local \| goes on$/),
    at(/^ {2}outer: inner: run_\S+ ended success$/),
    at(/^outer: run_\S+ ended success$/),
  ]
  assert.ok(order[0]! >= 0, shown.join('\n'))
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  )
})

test('a run is rolled back once, runs show says so, and a hub restart does not forget it', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const file = join(programs.home, 'flow.yaml')
  const noted = join(programs.home, 'undone')
  const rollback = { action: 'cmd.run', args: { cmd: `echo x >> ${noted}` } }
  writeFileSync(file, workflowText([{ name: 'make', cmd: 'true', rollback }]))
  await programs.call('run', '--hub', '--run-id', 'made', file)
  const undo = (await programs.call('runs', 'rollback', 'made', '--follow')).stdout.split('\n')[0]!
  assert.match(
    (await programs.call('runs', 'show', 'made')).stdout,
    new RegExp(`^rolled back by ${undo}$`, 'm'),
  )
  await programs.kill('hub')
  await programs.startHub()
  const shown = JSON.parse((await programs.call('runs', 'show', 'made', '--json')).stdout)
  assert.deepEqual(shown.rollback, { run_id: undo, status: 'success' })
  const again = await programs.call('runs', 'rollback', 'made')
  assert.equal(again.code, 1)
  assert.match(again.stderr, new RegExp(`was already rolled back by run ${undo}`))
})
