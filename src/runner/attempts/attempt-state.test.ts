import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AttemptState, type AttemptStateName, moves } from './attempt-state.ts'

const names = Object.keys(moves) as AttemptStateName[]

/** Returns the state after these moves, each of which must be allowed. */
function after(...path: AttemptStateName[]): AttemptState {
  const state = new AttemptState()
  for (const to of path) assert.equal(state.move(to), true, `to ${to}`)
  return state
}

/** Shortest path from the start to each state. */
const ways: Record<AttemptStateName, AttemptStateName[]> = {
  starting: [],
  running: ['running'],
  stopping: ['stopping'],
  measuring: ['measuring'],
  ended: ['measuring', 'ended'],
  left: ['left'],
  released: ['left', 'released'],
}

test('an attempt moves as the table says, and in no other way', () => {
  for (const from of names)
    for (const to of names) {
      const state = after(...ways[from])
      assert.equal(state.now, from)
      const can = moves[from].includes(to)
      assert.equal(state.move(to), can, `${from} to ${to}`)
      assert.equal(state.now, can ? to : from)
    }
})

test('no move goes back, every state is reached, and each leads to the release', () => {
  const order: AttemptStateName[] = [
    'starting',
    'running',
    'stopping',
    'measuring',
    'ended',
    'left',
    'released',
  ]
  for (const from of names)
    for (const to of moves[from]) assert.ok(order.indexOf(to) > order.indexOf(from), `${from} to ${to}`)
  assert.deepEqual(new Set(['starting', ...Object.values(moves).flat()]), new Set(names))
  for (const from of names) {
    let at = from
    while (moves[at].length > 0) at = moves[at].at(-1)!
    assert.equal(at, 'released')
  }
})

test('an end is reported only after it was measured, and only a later process resumes a left attempt', () => {
  assert.deepEqual(
    names.filter((from) => moves[from].includes('ended')),
    ['measuring'],
  )
  assert.deepEqual(moves.left, ['released'])
  assert.deepEqual(moves.released, [])
})

test('an attempt that ended before this process can only be released', () => {
  const state = new AttemptState('ended')
  for (const to of names) if (to !== 'released') assert.equal(state.move(to), false)
  assert.equal(state.move('released'), true)
})
