import assert from 'node:assert/strict'
import test from 'node:test'
import { Changes } from './changes.ts'

const at = (limit?: number, now?: () => number) => {
  let reads = 0
  const changes = new Changes({
    read: async (id) => {
      reads++
      const json = JSON.stringify({ id, read: reads })
      return id === 'gone' ? undefined : { tenant: 't', owner: 'ann', asks: () => false, json }
    },
    kept: limit,
    now,
  })
  return { changes, reads: () => reads }
}
const ids = (found: { id: string }[] | undefined) => found?.map(({ id }) => id)

test('a run that changed often is listed once, in the order of last changes, and not again after that place', () => {
  const { changes } = at()
  const { place } = changes.placeOf(undefined)
  for (const id of ['a', 'b', 'a', 'c', 'b']) changes.changed(id)
  const found = changes.after(place)!
  assert.deepEqual(ids(found), ['a', 'c', 'b'])
  assert.deepEqual(ids(changes.after(found[0]!.next)), ['c', 'b'])
  assert.deepEqual(changes.after(found.at(-1)!.next), [])
  const cursor = changes.cursorOf(found[1]!.next)
  assert.deepEqual(ids(changes.after(changes.placeOf(cursor).place)), ['b'])
})

test('a place that is too old, invalid or from another process causes a reset', () => {
  const { changes } = at(4)
  const first = changes.cursorOf(changes.placeOf(undefined).place)
  for (const id of ['a', 'b', 'c', 'd']) changes.changed(id)
  assert.equal(changes.placeOf(first).reset, false)
  changes.changed('e')
  assert.deepEqual(changes.placeOf(first), { place: 5, reset: true })
  assert.equal(changes.after(0), undefined)
  assert.deepEqual(ids(changes.after(1)), ['b', 'c', 'd', 'e'])
  for (const wrong of ['', 'x', 'x.1', `${first}9`, first.replace(/\d+$/, '-1'), at().changes.cursorOf(0)])
    assert.equal(changes.placeOf(wrong).reset, true, wrong)
})

test('a reader without a place begins with the latest change', () => {
  let nowMs = 0
  const { changes } = at(undefined, () => nowMs)
  changes.changed('long ago')
  nowMs = 60_000
  changes.changed('just now')
  assert.deepEqual(ids(changes.after(changes.placeOf(undefined).place)), ['just now'])
})

test('a row is read once for all readers, and again after the next change', async () => {
  const { changes, reads } = at()
  changes.changed('a')
  const [one, two] = await Promise.all([changes.row('a'), changes.row('a')])
  assert.deepEqual([one, reads()], [two, 1])
  changes.changed('a')
  assert.notDeepEqual(await changes.row('a'), one)
  assert.equal(await changes.row('gone'), undefined)
})

test('a waiting reader wakes up on the next change, and when it leaves', async () => {
  const { changes } = at()
  const [stay, leave] = [new AbortController(), new AbortController()]
  const woken = changes.more(0, stay.signal)
  const left = changes.more(0, leave.signal)
  leave.abort()
  await left
  changes.changed('a')
  await woken
  await changes.more(0, stay.signal)
})
