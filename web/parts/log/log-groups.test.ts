import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupsOf, hiddenLines } from './log-groups.ts'

test('marks form groups, even if one starts before the other ends or is left open', () => {
  const marks = [
    { number: 2, text: '::group::Set up' },
    { number: 9, text: '::endgroup::' },
    { number: 12, text: '##[group]Build' },
    { number: 20, text: '##[group]Test' },
    { number: 30, text: '##[endgroup]' },
    { number: 31, text: '::endgroup::' },
    { number: 40, text: '::group::' },
  ]
  const groups = groupsOf(marks, 50)
  assert.deepEqual(groups, [
    { from: 2, to: 9, title: 'Set up', isClosed: true },
    { from: 12, to: 19, title: 'Build', isClosed: false },
    { from: 20, to: 30, title: 'Test', isClosed: true },
    { from: 40, to: 50, title: '', isClosed: false },
  ])
  assert.deepEqual(
    hiddenLines(groups, ({ from }) => from === 2 || from === 12),
    [
      [3, 9],
      [13, 19],
      [30, 30],
    ],
  )
})
