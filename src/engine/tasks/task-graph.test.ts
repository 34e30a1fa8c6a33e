import assert from 'node:assert/strict'
import test from 'node:test'
import { testTask } from '../../../test/support/tasks/tasks-fixture.ts'
import { differences, findCircle, readTaskRef, repositoryKey } from './task-graph.ts'

test('finds a cycle from any starting point, and writes it from where it closes', () => {
  const circle = (edges: Record<string, string[]>) =>
    findCircle(Object.keys(edges), (name) => edges[name] ?? [])
  assert.equal(circle({ a: ['b', 'c'], b: ['d'], c: ['d'], d: [] }), undefined)
  assert.deepEqual(circle({ a: ['a'] }), ['a', 'a'])
  assert.deepEqual(circle({ in: ['a'], a: ['b'], b: ['c'], c: ['a'] }), ['a', 'b', 'c', 'a'])
  const long = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`${n}`, [`${n + 1}`]]))
  assert.equal(circle(long), undefined)
})

test('a dependency is an id, one in its own spec, or one in another', () => {
  assert.deepEqual(readTaskRef('task_0123456789abcdefghij', 's'), { id: 'task_0123456789abcdefghij' })
  assert.deepEqual(readTaskRef('12', 's'), { spec_name: 's', own_id: '12' })
  assert.deepEqual(readTaskRef('other/12', 's'), { spec_name: 'other', own_id: '12' })
})

test('recognizes one repository in every notation, and ignores its credentials', () => {
  const same = [
    'https://git.example/shop/web.git',
    'https://ann:secret@git.EXAMPLE/shop/web/',
    'https://git.example/shop/web?token=secret',
  ]
  assert.deepEqual(same.map(repositoryKey), Array(3).fill('https://git.example/shop/web'))
  assert.equal(repositoryKey('git@Git.example:shop/web.git'), 'ssh://git.example/shop/web')
  assert.notEqual(
    repositoryKey('https://git.example/Shop/web'),
    repositoryKey('https://git.example/shop/web'),
  )
})

test('tasks differ in fields, not in the order of keys', () => {
  const one = testTask({ metadata: { a: 1, b: 2 } })
  assert.deepEqual(differences(one, testTask({ metadata: { b: 2, a: 1 } })), [])
  assert.deepEqual(differences(one, testTask({ title: 'another', priority: 1 })), [
    'metadata',
    'priority',
    'title',
  ])
})
