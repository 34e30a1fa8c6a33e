import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { runTurn } from '../support/model-server/server.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { sized } from '../support/size.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

const COUNT = sized('tasks at once', 8, 20)

test('many tasks at once on one repository all succeed, and leave nothing behind', {
  skip: sandboxMissing(),
}, async (t) => {
  const { forge, repository, programs, server } = await taskPlace(t, {
    script: (request) =>
      request.toolResults.length > 0
        ? { text: 'It is made.' }
        : runTurn(`echo ${/Make part (\d+)\./.exec(request.prompts.join('\n'))![1]} > made.txt`),
  })
  const file = join(programs.home, 'tasks.json')
  const tasks = Array.from({ length: COUNT }, (_, index) => ({
    task_id: `T-${index}`,
    title: `Make part ${index}.`,
    repo_url: repository.cloneUrl,
  }))
  writeFileSync(file, JSON.stringify({ tasks }))
  const ran = await programs.call('task', 'run', file)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  for (const { title } of tasks) {
    const [pull, ...others] = repository.tickets.filter((each) => each.title === title)
    assert.equal(others.length, 0)
    const content = forge.state.git(repository.path, ['show', `${pull!.pull!.head}:made.txt`])
    assert.equal(`Make part ${content}.`, title)
    const commits = forge.state.git(repository.path, ['rev-list', '--count', `main..${pull!.pull!.head}`])
    assert.equal(commits, '1')
  }
  assert.deepEqual(server.errors, [])
  const slots = join(programs.runnerFolder, 'checkouts/slots')
  const phases = () =>
    readdirSync(slots).map((slot) => JSON.parse(readFileSync(join(slots, slot, 'state.json'), 'utf8')).phase)
  // A kept checkout waits for its run to continue there, until another run needs its place.
  const idle = ['free', 'kept']
  await eventually('all checkouts returned', () => phases().every((phase) => idle.includes(phase)))
  await eventually('no attempt left', () => readdirSync(join(programs.runnerFolder, 'attempts')).length === 0)
})
