import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { errandCommand } from '../support/errand-command.ts'
import { testingHub } from '../support/hub/hub-fixture.ts'

/** Starts the command line and a hub in this process. The title of a task says what its tries do. */
async function hubOf(t: TestContext) {
  const hub = await testingHub(t, { tasks: { retryMs: 1 } })
  const { token } = await hub.user('ann')
  const errand = errandCommand(t)
  const env = { ERRAND_URL: hub.url, ERRAND_TOKEN: token }
  const call = (...words: string[]) => errand.run(['task', ...words], { env })
  const start = (...words: string[]) => errand.start(['task', ...words], { env })
  return { ...hub, token, call, start, home: errand.home }
}

const repo = 'https://git.example/shop/web'

test('a task is created on the command line, shown as it runs, and found again by its printed id', async (t) => {
  const { call } = await hubOf(t)
  const ran = await call('run', '--title', 'say hello', '--repo', repo, '--id', 'T-1')
  assert.equal(ran.code, 0, ran.stderr)
  const [, id] = /^task (task_\w{20}) \(T-1\) on http/.exec(ran.stdout)!
  assert.match(ran.stdout, /try 1 from check: run run_\w+\n[\s\S]*hello\n[\s\S]*\ndone\n$/)
  assert.match((await call('list')).stdout, new RegExp(`^ID .*\n${id}  T-1 +done +say hello\n$`))
  const shown = await call('show', id!)
  assert.match(shown.stdout, new RegExp(`^${id}  say hello  done\nrepository ${repo}\n`))
  assert.match(shown.stdout, /\n1 +run_\w+ +success +check/)
  assert.equal(JSON.parse((await call('show', 'T-1', '--json')).stdout).id, id)
  assert.match((await call('logs', 'T-1')).stdout, /hello/)
  const events = (await call('events', id!, '--json')).stdout.trim().split('\n')
  assert.deepEqual(
    events.map((line) => JSON.parse(line).type),
    [...['task.created', 'task.try_started', 'task.try_ended', 'task.state']],
  )
  const gone = await call('show', 'nobody')
  assert.deepEqual([gone.code, /Task "nobody" not found/.test(gone.stderr)], [7, true])
})

test('the exit code says how a task ended, and a failed one can be tried again', async (t) => {
  const { call } = await hubOf(t)
  const failed = await call('run', '--title', 'fail', '--repo', repo, '--id', 'bad', '--json')
  assert.equal(failed.code, 1)
  const lines = failed.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    [lines[0].type, lines.at(-1).type, lines.at(-1).task.state],
    ['task.created', 'result', 'failed'],
  )
  const again = await call('retry', 'bad', '--follow')
  assert.deepEqual([again.code, /try 2 from check/.test(again.stdout)], [1, true])
})

test('a file of tasks runs as a graph, and all of its mistakes are reported', async (t) => {
  const { call, home } = await hubOf(t)
  const file = join(home, 'tasks.yaml')
  const tasks = (second: string) =>
    `repo_url: ${repo}\ntasks:\n- {task_id: a, title: say one}\n- {task_id: b, title: say two, dependencies: [${second}]}\n`
  writeFileSync(file, tasks('a, nobody'))
  const wrong = await call('run', file)
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /body\.tasks\[1\]\.dependencies\[1\]: task "nobody" not found/)
  writeFileSync(file, tasks('a'))
  const ran = await call('run', file)
  assert.equal(ran.code, 0, ran.stderr)
  assert.equal(ran.stdout.match(/ {2}done$/gm)?.length, 2)
  const detached = await call('run', file, '--detach')
  assert.match(detached.stdout, /^task_\w{20}\ntask_\w{20}\n$/)
})

test('Ctrl-C ends the followed task, and another command ends the task of another one', async (t) => {
  const { call, start } = await hubOf(t)
  const held = start('run', '--title', 'hold', '--repo', repo, '--id', 'one')
  await held.until(/try 1 from check/)
  await held.until(/one/)
  held.child.kill('SIGINT')
  const { code } = await held.finished
  assert.equal(code, 3)
  assert.match((await call('show', 'one')).stdout, /canceled/)

  const other = start('run', '--title', 'hold', '--repo', repo, '--id', 'two')
  await other.until(/try 1 from check/)
  assert.match((await call('cancel', 'two', '-m', 'enough')).stdout, /two is canceled/)
  assert.equal((await other.finished).code, 3)
})
