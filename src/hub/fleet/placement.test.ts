import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Candidate, choose, needKey } from './placement.ts'

const runner = (id: string, change: Partial<Candidate> = {}): Candidate => ({
  id,
  group: 'default',
  labels: {},
  slots: 4,
  used: 0,
  status: 'connected',
  ...change,
})
const why = (...args: Parameters<typeof choose>) => {
  const choice = choose(...args)
  return choice.type === 'wait' ? choice.why : choice
}

test('the runner with most free slots is chosen, the first among equals', () => {
  const runners = [runner('a', { used: 3 }), runner('b', { used: 1 }), runner('c', { used: 1 })]
  assert.deepEqual(choose({}, runners), { type: 'runner', id: 'b' })
})

test('without a group the default one is meant, unless a runner is named', () => {
  const runners = [runner('a', { group: 'x' })]
  assert.equal(why({}, runners), 'no runner in group "default"')
  assert.deepEqual(choose({ runner: 'a' }, runners), { type: 'runner', id: 'a' })
})

test('a run stays where its files are, and waits for that runner', () => {
  const runners = [runner('a', { used: 3 }), runner('b')]
  assert.deepEqual(choose({}, runners, { home: 'a' }), { type: 'runner', id: 'a' })
  const full = [runner('a', { used: 4 }), runner('b')]
  assert.equal(
    why({}, full, { home: 'a' }),
    'runner "a", which has the files of this run, is busy (4 of 4 slots)',
  )
  const gone = [runner('a', { status: 'disconnected' }), runner('b')]
  assert.deepEqual(choose({}, gone, { home: 'a' }), { type: 'runner', id: 'b' })
})

test('what waits is told why', () => {
  const busy = [runner('a', { used: 4 }), runner('b', { used: 4 })]
  assert.equal(why({}, []), 'no runner is connected')
  assert.equal(why({}, [runner('a', { status: 'disconnected' })]), 'no runner is connected')
  assert.equal(why({ group: 'x' }, busy), 'no runner in group "x"')
  assert.equal(why({ labels: { gpu: '1' } }, busy), 'no runner in group "default" has label gpu=1')
  assert.equal(
    why({ labels: { gpu: '1', os: 'mac' } }, busy),
    'no runner in group "default" has labels gpu=1, os=mac',
  )
  assert.equal(why({}, busy), 'all 2 runners of group "default" are busy (8 of 8 slots)')
  assert.equal(why({}, busy.slice(1)), 'runner "b" of group "default" is busy (4 of 4 slots)')
  assert.equal(why({ runner: 'c' }, busy), 'runner "c" is not connected')
  assert.equal(why({ runner: 'a', labels: { gpu: '1' } }, busy), 'runner "a" does not have label gpu=1')
  const draining = busy.map((each) => ({ ...each, status: 'draining' as const }))
  assert.equal(why({}, draining), 'all 2 runners of group "default" are draining')
})

test('what all have rejected is rejected, while it waits for those that may come back', () => {
  const runners = [runner('a')]
  assert.deepEqual(choose({}, runners, { not: new Set(['a']) }), { type: 'rejected' })
  const other = runner('b', { status: 'disconnected' })
  assert.equal(
    why({}, [...runners, other], { not: new Set(['a']) }),
    'those that are connected of group "default" rejected it',
  )
})

test('equal requirements have equal keys, whatever the order of labels', () => {
  assert.equal(needKey({ labels: { a: '1', b: '2' } }), needKey({ labels: { b: '2', a: '1' } }))
  assert.notEqual(needKey({ labels: { a: '1' } }), needKey({ labels: { a: '2' } }))
})
