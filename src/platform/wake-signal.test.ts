import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WakeSignal } from './wake-signal.ts'

const LONG_MS = 2 ** 31 - 1

test('a notification ends the wait once, even one from before it', async () => {
  const wakeSignal = new WakeSignal()
  const waiting = wakeSignal.wait(LONG_MS)
  wakeSignal.notify()
  wakeSignal.notify()
  await waiting

  wakeSignal.notify()
  await wakeSignal.wait(LONG_MS)
  // The first notification has been consumed.
  const order: string[] = []
  const next = wakeSignal.wait(LONG_MS).then(() => order.push('waited'))
  await new Promise((resolve) => setImmediate(resolve))
  order.push('notified')
  wakeSignal.notify()
  await next
  assert.deepEqual(order, ['notified', 'waited'])
})

test('notifications that come faster than the minimum wait count as one', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const wakeSignal = new WakeSignal()
  wakeSignal.notify()
  let isOver = false
  const waiting = wakeSignal.wait(LONG_MS, { leastMs: 1000 }).then(() => {
    isOver = true
  })
  wakeSignal.notify()
  t.mock.timers.tick(999)
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isOver, false)
  t.mock.timers.tick(1)
  await waiting
})

test('an aborted signal ends the wait', async () => {
  const stop = new AbortController()
  const wakeSignal = new WakeSignal()
  const waiting = wakeSignal.wait(LONG_MS, { signal: stop.signal })
  stop.abort()
  await waiting
  await wakeSignal.wait(LONG_MS, { signal: stop.signal })
})
