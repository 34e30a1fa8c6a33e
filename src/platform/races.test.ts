import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import test from 'node:test'
import { firstOf, unlessAborted, within } from './races.ts'

const LONG_MS = 600_000
const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length
const fails = (text: string) => (): never => {
  throw new Error(text)
}

/** Gives the process, and so the test, the time to fail on a rejection that nobody has handled. */
const allNotified = () => new Promise((resolve) => setImmediate(resolve))

test('work that settles in time gives its result or rejection, and its timer is cleared', async () => {
  const before = timers()
  assert.equal(await within(LONG_MS, Promise.resolve('done'), fails('late')), 'done')
  await assert.rejects(within(LONG_MS, Promise.reject(new Error('broken')), fails('late')), /^Error: broken$/)
  await allNotified()
  assert.equal(timers(), before)
})

test('late work is replaced by a value or an error, and its own rejection is ignored', async () => {
  const work = Promise.withResolvers<string>()
  assert.equal(await within(1, work.promise, () => 'late'), 'late')
  await assert.rejects(within(1, work.promise, fails('late')), /^Error: late$/)
  work.reject(new Error('broken'))
  await allNotified()
})

test('work with a signal gives its result, and leaves no listener on the signal', async () => {
  const { signal } = new AbortController()
  assert.equal(await unlessAborted(signal, Promise.resolve('done')), 'done')
  await assert.rejects(unlessAborted(signal, Promise.reject(new Error('broken'))), /^Error: broken$/)
  await allNotified()
  assert.equal(listeners(signal), 0)
})

test('an abort, even an earlier one, rejects with its reason or the given one, and later rejections are ignored', async () => {
  const stop = new AbortController()
  const work = Promise.withResolvers<string>()
  const rejected = unlessAborted(stop.signal, work.promise)
  const answered = unlessAborted(stop.signal, work.promise, () => 'stopped')
  stop.abort(new Error('enough'))
  await assert.rejects(rejected, /^Error: enough$/)
  assert.equal(await answered, 'stopped')
  await assert.rejects(unlessAborted(stop.signal, work.promise), /^Error: enough$/)
  assert.equal(listeners(stop.signal), 0)
  work.reject(new Error('broken'))
  await allNotified()
})

test('the first of several settles the race, and a later rejection is ignored', async () => {
  const slow = Promise.withResolvers<string>()
  assert.equal(await firstOf(slow.promise, Promise.resolve(1)), 1)
  await assert.rejects(firstOf(slow.promise, Promise.reject(new Error('broken'))), /^Error: broken$/)
  slow.reject(new Error('later'))
  await allNotified()
})
