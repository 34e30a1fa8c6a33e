import assert from 'node:assert/strict'
import test from 'node:test'
import { FairTurns } from './fair-turns.ts'

test('so many have a turn at once, and keys that wait take turns however many wait under each', async () => {
  const turns = new FairTurns(2)
  const begun: string[] = []
  const open: Disposable[] = []
  const ask = async (key: string, name: string) => {
    open.push(await turns.take(key))
    begun.push(name)
  }
  for (let n = 1; n <= 4; n++) void ask('greedy', `greedy ${n}`)
  void ask('modest', 'modest 1')
  assert.deepEqual(begun, [], 'no turn begins before the event loop has gone round')
  await new Promise(setImmediate)
  assert.deepEqual(begun, ['greedy 1', 'modest 1'])
  assert.deepEqual([turns.ahead('greedy'), turns.ahead('modest')], [5, 3])
  void ask('modest', 'modest 2')
  for (let n = 0; n < 4; n++) {
    const turn = open.shift()!
    turn[Symbol.dispose]()
    turn[Symbol.dispose]()
    await new Promise(setImmediate)
  }
  assert.deepEqual(begun.slice(2), ['greedy 2', 'modest 2', 'greedy 3', 'greedy 4'])
})

test('others get a round of the event loop between two turns', async () => {
  const turns = new FairTurns(1)
  let rounds = 0
  const count = () => {
    rounds++
    if (rounds < 1000) setImmediate(count)
  }
  setImmediate(count)
  for (let n = 0; n < 10; n++) {
    const before = rounds
    using _turn = await turns.take('a')
    assert.ok(rounds > before)
  }
  rounds = 1000
})
