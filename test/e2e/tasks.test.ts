import assert from 'node:assert/strict'
import test from 'node:test'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

test('a task becomes a pull request by one command, with its evidence', async (t) => {
  const { forge, repository, programs } = await taskPlace(t, {
    script: [runTurn('echo made > made.txt'), { text: 'It is made.' }],
  })
  const ran = await programs.call('task', 'run', '--title', 'Make it', '--repo', repository.cloneUrl)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  const [pull] = repository.tickets.filter((each) => each.pull !== undefined)
  assert.deepEqual([pull?.title, pull?.pull?.base], ['Make it', 'main'])
  assert.equal(forge.state.git(repository.path, ['show', `${pull!.pull!.head}:made.txt`]), 'made')
  const [run] = (await programs.client.runs.list({})).runs
  const artifacts = await programs.call('runs', 'artifacts', run!.run_id)
  for (const name of ['checkpoint.pack', 'change.diff', 'files.json'])
    assert.ok(artifacts.stdout.includes(name), artifacts.stdout + artifacts.stderr)
})
