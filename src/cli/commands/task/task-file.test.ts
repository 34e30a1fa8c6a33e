import assert from 'node:assert/strict'
import test from 'node:test'
import { tasksOf } from './task-file.ts'

test('a file contains a task, a list of tasks, or a list with shared fields', () => {
  assert.deepEqual(tasksOf('t.yaml', 'title: one\nrepo_url: r\n'), { task: { title: 'one', repo_url: 'r' } })
  assert.deepEqual(tasksOf('t.json', '{"title": "one"}'), { task: { title: 'one' } })
  assert.deepEqual(tasksOf('t.yaml', '- title: one\n- title: two\n'), {
    tasks: [{ title: 'one' }, { title: 'two' }],
  })
  assert.deepEqual(
    tasksOf('t.yaml', 'repo_url: r\nlimit: 2\ntasks:\n- title: one\n- {title: two, repo_url: s}\n'),
    {
      tasks: [
        { title: 'one', repo_url: 'r' },
        { title: 'two', repo_url: 's' },
      ],
      limit: 2,
    },
  )
})

test('a file without a task is refused with its name, and with the line if it is not YAML', () => {
  const refused = (text: string) => {
    try {
      tasksOf('t.yaml', text)
    } catch (error) {
      return (error as Error).message
    }
    return undefined
  }
  assert.match(refused('')!, /t\.yaml is not a task: it holds nothing/)
  assert.match(refused('just words')!, /t\.yaml is not a task/)
  assert.match(refused('tasks: one')!, /"tasks" is not a list of tasks/)
  assert.match(refused('title: one\nmore: [x\n')!, /^t\.yaml:[23] is not valid YAML/)
})
