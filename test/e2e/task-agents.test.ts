import assert from 'node:assert/strict'
import test from 'node:test'
import { allSubjects, installedAgent } from '../support/agent-subjects.ts'
import { runTurn } from '../support/model-server/server.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

test('every agent makes a pull request of a task, and none of them has the token', async (t) => {
  const absent = new Map<string, string>()
  for (const { name } of allSubjects) {
    const found = await installedAgent(name)
    if ('missing' in found) absent.set(name, found.missing)
  }
  const subjects = allSubjects.filter(({ name }) => !absent.has(name))
  const { repository, programs, forge, server, token } = await taskPlace(t, {
    subjects,
    script: (request) =>
      request.toolResults.length > 0
        ? { text: 'It is made.' }
        : runTurn('env >> made.txt; cat .git/config >> made.txt; git remote -v >> made.txt'),
  })
  await Promise.all(
    allSubjects.map(({ name, model }) =>
      t.test(name, { skip: absent.get(name) ?? false }, async () => {
        const words = ['--title', `Work of ${name}`, '--repo', repository.cloneUrl, '--agent', name]
        const ran = await programs.call('task', 'run', ...words, '--model', model)
        assert.equal(ran.code, 0, ran.stdout + ran.stderr)
        const pull = repository.tickets.find((each) => each.title === `Work of ${name}`)!.pull!
        const made = forge.state.git(repository.path, ['show', `${pull.head}:made.txt`])
        assert.match(made, /PATH=/)
        assert.ok(!made.includes(token), made)
      }),
    ),
  )
  assert.deepEqual(server.errors, [])
})
