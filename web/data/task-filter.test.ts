import assert from 'node:assert/strict'
import test from 'node:test'
import { taskFilterOf, taskFilterOfWords, taskFits } from './task-filter.ts'

test('a filter is the same in an address, in words, and for a task that has just changed', () => {
  const words = taskFilterOfWords('state:running,waiting  agent:codex keep the cursor nobody:x')
  const filter = { state: 'running,waiting', agent: 'codex', q: 'keep the cursor nobody:x' }
  assert.deepEqual(words, filter)
  assert.deepEqual(taskFilterOf({ ...filter, other: 'x', repo: '', user: 7 }), filter)
  const task = {
    id: 'task_1',
    task_id: 'T-1',
    title: 'Keep the Cursor',
    state: 'running',
    agent: 'codex',
    owner: 'ann',
    repo: 'https://git.example/shop/web',
  } as const
  const fits = (more: object) => taskFits(task, { ...more })
  assert.ok(fits({}) && fits({ state: 'running,done' }) && fits({ q: 'the cursor' }) && fits({ q: 't-1' }))
  for (const other of [{ state: 'done' }, { agent: 'x' }, { user: 'bob' }, { repo: 'x' }, { q: 'none' }])
    assert.equal(fits(other), false, JSON.stringify(other))
})
