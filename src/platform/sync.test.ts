import assert from 'node:assert/strict'
import test from 'node:test'
import { KeyedMutex, Mutex, Semaphore } from './sync.ts'

/** Returns pieces of work that record when they begin, and end when the test says. The first one fails. */
function recordedWork() {
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const work = (name: string) => async () => {
    begun.push(name)
    await new Promise<void>((resolve) => ends.set(name, resolve))
    if (name === 'first') throw new Error('first failed')
    return name
  }
  return { begun, work, end: (name: string) => ends.get(name)!() }
}

const rounds = async (): Promise<void> => {
  for (let round = 0; round < 5; round++) await new Promise(setImmediate)
}

test('a mutex runs one piece of work at a time, in order, even after a failure', async () => {
  const { begun, work, end } = recordedWork()
  const mutex = new Mutex()
  const results = Promise.allSettled([mutex.run(work('first')), mutex.run(work('second'))])
  let isSettled = false
  const settled = mutex.settled().then(() => {
    isSettled = true
  })
  await rounds()
  assert.deepEqual(begun, ['first'])
  end('first')
  await rounds()
  assert.deepEqual(begun, ['first', 'second'])
  assert.equal(isSettled, false)
  end('second')
  const [first, second] = await results
  assert.equal(first.status, 'rejected')
  assert.deepEqual(second, { status: 'fulfilled', value: 'second' })
  await settled
})

test('a keyed mutex keeps the order within a key, runs keys in parallel, and forgets keys without work', async () => {
  const { begun, work, end } = recordedWork()
  const mutex = new KeyedMutex()
  const results = Promise.allSettled([
    mutex.run('a', work('first')),
    mutex.run('a', work('second')),
    mutex.run('b', work('other')),
  ])
  await rounds()
  assert.deepEqual(begun, ['first', 'other'])
  assert.equal(mutex.size, 2)
  end('other')
  await mutex.settled('b')
  assert.equal(mutex.size, 1)
  end('first')
  await rounds()
  assert.deepEqual(begun, ['first', 'other', 'second'])
  end('second')
  await mutex.settled()
  assert.equal(mutex.size, 0)
  assert.deepEqual(
    (await results).map(({ status }) => status),
    ['rejected', 'fulfilled', 'fulfilled'],
  )
})

test('a key is free when the caller learns that its work has ended', async () => {
  const mutex = new KeyedMutex()
  await mutex.run('a', async () => {})
  assert.equal(mutex.size, 0)
  await assert.rejects(mutex.run('a', () => Promise.reject(new Error('it failed'))))
  assert.equal(mutex.size, 0)
})

test('a semaphore runs a limited number at once, the others in order, and frees the place of a failed one', async () => {
  const { begun, work, end } = recordedWork()
  const semaphore = new Semaphore(2)
  const results = Promise.allSettled(
    ['first', 'second', 'third', 'fourth'].map((name) => semaphore.run(work(name))),
  )
  await rounds()
  assert.deepEqual(begun, ['first', 'second'])
  end('first')
  await rounds()
  assert.deepEqual(begun, ['first', 'second', 'third'])
  end('second')
  await rounds()
  end('third')
  end('fourth')
  assert.deepEqual(
    (await results).map(({ status }) => status),
    ['rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  )
})

test('a semaphore does not start work whose signal is aborted, and frees its place', async () => {
  const stop = new AbortController()
  stop.abort(new Error('the hub stops'))
  const semaphore = new Semaphore(1)
  await assert.rejects(
    semaphore.run(() => Promise.reject(new Error('it was begun')), stop.signal),
    /the hub stops/,
  )
  assert.equal(await semaphore.run(async () => 'next'), 'next')
})
