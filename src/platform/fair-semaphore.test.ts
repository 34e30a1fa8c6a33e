import assert from 'node:assert/strict'
import test from 'node:test'
import { FairSemaphore } from './fair-semaphore.ts'

test('a limited number take turns at once, and keys take turns however many wait under each', async () => {
  const semaphore = new FairSemaphore(2)
  const begun: string[] = []
  const open: Disposable[] = []
  const ask = async (key: string, name: string) => {
    open.push(await semaphore.acquire(key))
    begun.push(name)
  }
  for (let n = 1; n <= 4; n++) void ask('greedy', `greedy ${n}`)
  void ask('modest', 'modest 1')
  assert.deepEqual(begun, [], 'no turn starts before the event loop has completed a round')
  await new Promise(setImmediate)
  assert.deepEqual(begun, ['greedy 1', 'modest 1'])
  assert.deepEqual([semaphore.ahead('greedy'), semaphore.ahead('modest')], [5, 3])
  void ask('modest', 'modest 2')
  for (let n = 0; n < 4; n++) {
    const turn = open.shift()!
    turn[Symbol.dispose]()
    turn[Symbol.dispose]()
    await new Promise(setImmediate)
  }
  assert.deepEqual(begun.slice(2), ['greedy 2', 'modest 2', 'greedy 3', 'greedy 4'])
})

test('other work gets a round of the event loop between two turns', async () => {
  const semaphore = new FairSemaphore(1)
  let rounds = 0
  const count = () => {
    rounds++
    if (rounds < 1000) setImmediate(count)
  }
  setImmediate(count)
  for (let n = 0; n < 10; n++) {
    const before = rounds
    using _turn = await semaphore.acquire('a')
    assert.ok(rounds > before)
  }
  rounds = 1000
})
