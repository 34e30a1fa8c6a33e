import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrandError } from '../../contract/errors.ts'
import { HubAway, HubRetry } from './hub-retry.ts'

const LOST_AFTER_MS = 40

/** Asks a question that the hub does not answer until it is there, and records what is said meanwhile. */
function question(isThere: () => boolean, signal = new AbortController().signal) {
  const messages: string[] = []
  const calls = {
    times: 0,
    said: messages,
    asking: { signal, waiting: (why: string) => void messages.push(why) },
  }
  const ask = async () => {
    calls.times++
    if (!isThere()) throw new HubAway('It does not answer')
    return 'answered'
  }
  return { ...calls, asked: calls, ask }
}

const never = () => false

test('while linked, a hub is asked until lost-after is over, and that is reported once', async () => {
  const retry = new HubRetry()
  retry.linked(LOST_AFTER_MS)
  const sinceMs = performance.now()
  const { asked, ask, said, asking } = question(never)
  await assert.rejects(retry.whileAway(ask, asking), HubAway)
  assert.ok(performance.now() - sinceMs >= LOST_AFTER_MS)
  assert.ok(asked.times > 1)
  assert.deepEqual(said, ['It does not answer. Trying again.'])
})

test('without a link the wait continues, and lost-after starts with the next link', async () => {
  const retry = new HubRetry()
  retry.linked(LOST_AFTER_MS)
  retry.unlinked()
  const sinceMs = performance.now()
  const longer = () => performance.now() - sinceMs > 5 * LOST_AFTER_MS
  const { ask, asking } = question(longer)
  assert.equal(await retry.whileAway(ask, asking), 'answered')

  const late = question(() => {
    if (late.asked.times === 3) retry.linked(LOST_AFTER_MS)
    return false
  })
  retry.unlinked()
  await assert.rejects(retry.whileAway(late.ask, late.asking), HubAway)
  assert.ok(late.asked.times > 3)
})

test('a refusal and the end of the attempt end the wait', async () => {
  const retry = new HubRetry()
  const refuse = () => Promise.reject(new ErrandError('not_found', 'It is gone.'))
  const { signal } = new AbortController()
  await assert.rejects(retry.whileAway(refuse, { signal }), { code: 'not_found' })
  const stop = new AbortController()
  const { ask, asking } = question(() => {
    stop.abort()
    return false
  }, stop.signal)
  await assert.rejects(retry.whileAway(ask, asking), { name: 'AbortError' })
})
