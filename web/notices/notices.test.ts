import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Notice, readNotices, withNotice, withToast } from './notices.ts'

const notice = (id: string, kind: Notice['kind'] = 'ended'): Notice => ({ id, kind, text: id, atMs: 1 })
const ids = (list: readonly Notice[] | undefined) => list?.map(({ id }) => id)

test('the newest notice comes first, none appears twice, and a hundred are stored', () => {
  let list: Notice[] = []
  for (let number = 0; number < 120; number++) list = withNotice(list, notice(`n${number}`)) ?? list
  assert.deepEqual([list.length, list[0]!.id, list.at(-1)!.id], [100, 'n119', 'n20'])
  assert.equal(withNotice(list, notice('n50')), undefined)
})

test('at most three toasts are shown, and one for an error goes last', () => {
  let toasts: Notice[] = []
  for (const one of [notice('a', 'failed'), notice('b'), notice('c'), notice('d')])
    toasts = withToast(toasts, one)
  assert.deepEqual(ids(toasts), ['a', 'c', 'd'])
  for (const id of ['e', 'f', 'g']) toasts = withToast(toasts, notice(id, 'failed'))
  assert.deepEqual(ids(toasts), ['e', 'f', 'g'])
})

test('only notices are read from storage, and none that links to another site', () => {
  const good = { ...notice('a'), to: '/runs/run_1#question:x' }
  const bad = [1, null, {}, { ...good, to: '//evil.example' }, { ...good, to: 'javascript:alert(1)' }]
  assert.deepEqual(readNotices(JSON.stringify([...bad, good, { ...good, kind: 'x' }])), [good])
  for (const text of [null, '', '{', '{"a":1}']) assert.deepEqual(readNotices(text), [])
})
