import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Doorbell } from './doorbell.ts'

const LONG_MS = 2 ** 31 - 1

test('a ring ends the wait, also one from before it, once', async () => {
  const bell = new Doorbell()
  const waiting = bell.wait(LONG_MS)
  bell.ring()
  bell.ring()
  await waiting

  bell.ring()
  await bell.wait(LONG_MS)
  // The first ring has been consumed.
  const order: string[] = []
  const next = bell.wait(LONG_MS).then(() => order.push('waited'))
  await new Promise((resolve) => setImmediate(resolve))
  order.push('rang')
  bell.ring()
  await next
  assert.deepEqual(order, ['rang', 'waited'])
})

test('rings that come faster than they are to be heard are one', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const bell = new Doorbell()
  bell.ring()
  let isOver = false
  const waiting = bell.wait(LONG_MS, { leastMs: 1000 }).then(() => {
    isOver = true
  })
  bell.ring()
  t.mock.timers.tick(999)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isOver, false)
  t.mock.timers.tick(1)
  await waiting
})

test('whoever stops waits for nothing', async () => {
  const stop = new AbortController()
  const bell = new Doorbell()
  const waiting = bell.wait(LONG_MS, { signal: stop.signal })
  stop.abort()
  await waiting
  await bell.wait(LONG_MS, { signal: stop.signal })
})
