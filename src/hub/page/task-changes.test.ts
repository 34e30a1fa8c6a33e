import assert from 'node:assert/strict'
import test from 'node:test'
import { TaskChanges } from './task-changes.ts'

test('a reader is told each task once that has changed meanwhile, and nothing after it has left', async () => {
  const changes = new TaskChanges()
  const reader = changes.read()
  const { signal } = new AbortController()
  for (const id of ['a', 'b', 'a']) changes.changed(id)
  assert.deepEqual(await reader.next(signal), ['a', 'b'])
  const next = reader.next(signal)
  changes.changed('c')
  assert.deepEqual(await next, ['c'])
  reader.close()
  changes.changed('d')
  assert.deepEqual(await reader.next(AbortSignal.abort()), [])
})

test('a reader that is far behind reads its lists again, and goes on', async () => {
  const changes = new TaskChanges()
  const reader = changes.read()
  const { signal } = new AbortController()
  for (let number = 0; number <= 1000; number++) changes.changed(`task ${number}`)
  assert.equal(await reader.next(signal), undefined)
  changes.changed('a')
  assert.deepEqual(await reader.next(signal), ['a'])
  reader.close()
})
