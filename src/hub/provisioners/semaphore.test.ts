import assert from 'node:assert/strict'
import test from 'node:test'
import { Semaphore } from './semaphore.ts'

const never = new AbortController().signal

test('so many work at once, the others in their order, and one that fails gives its turn back', async () => {
  const semaphore = new Semaphore(2)
  const ends: (() => void)[] = []
  const begun: number[] = []
  const works = [0, 1, 2, 3].map((index) =>
    semaphore.run(async () => {
      begun.push(index)
      await new Promise<void>((resolve) => ends.push(resolve))
      if (index === 0) throw new Error('it failed')
    }, never),
  )
  const settled = Promise.allSettled(works)
  for (const most of [2, 3, 4, 4]) {
    while (begun.length < most) await new Promise(setImmediate)
    assert.equal(begun.length, most)
    ends.shift()!()
  }
  assert.deepEqual(begun, [0, 1, 2, 3])
  assert.deepEqual(
    (await settled).map(({ status }) => status),
    ['rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  )
})

test('what is stopped before its turn is not begun', async () => {
  const stop = new AbortController()
  stop.abort(new Error('the hub stops'))
  await assert.rejects(
    new Semaphore(1).run(() => Promise.reject(new Error('it was begun')), stop.signal),
    /the hub stops/,
  )
})
