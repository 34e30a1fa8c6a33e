import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { runTurn } from '../support/model-server/server.ts'
import { sandboxMissing } from '../support/runner/box-fixture.ts'
import { taskPlace } from '../support/tasks/task-place.ts'

for (const isolation of ['none', 'sandbox'] as const)
  test(`with fresh: true tests run with nothing but the commit, isolation ${isolation}`, {
    skip: isolation === 'sandbox' && sandboxMissing(),
  }, async (t) => {
    const work =
      'echo one > one.txt; git add one.txt; git commit -qm One; echo made > made.txt; echo x > left; rm -rf .git/objects/pack'
    const { repository, programs } = await taskPlace(t, {
      files: { '.gitignore': 'left\n', 'README.md': 'The shop.\n' },
      script: [runTurn(work), { text: 'It is made.' }],
    })
    const file = join(programs.home, 'task.yaml')
    const test_commands = [
      'test -e README.md && test -e made.txt && test -e one.txt',
      'git log --format="has %s"',
      'test ! -e left || echo "where the agent worked"',
    ]
    const task = { title: 'Make it', repo_url: repository.cloneUrl, isolation, fresh: true, test_commands }
    writeFileSync(file, JSON.stringify(task))
    const ran = await programs.call('task', 'run', file, '--verbose')
    assert.equal(ran.code, 0, ran.stdout + ran.stderr)
    const tested = ran.stdout.slice(ran.stdout.indexOf('> test\n'))
    for (const subject of ['Make it', 'One']) assert.ok(tested.includes(`has ${subject}\n`), tested)
    assert.ok(!tested.includes('| where the agent worked'), tested)
    assert.equal(repository.tickets.filter((each) => each.pull !== undefined).length, 1)
  })
