import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { botsHere, startBotHub } from '../support/bot-hub.ts'

const skip = await botsHere()

test('of 20 simultaneous starts three begin, and the others learn why not, in both formats', {
  skip,
}, async (t) => {
  const hub = await startBotHub(t)
  const start = (n: number) => hub.startShell(`bot-${n}`, 'exec sleep 1000000')
  const answers = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => start(n)))
  const begun = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.bot_id] : []))
  assert.equal(begun.length, 3)
  for (const answer of answers)
    if (answer.status === 'rejected') {
      assert.equal(answer.reason.code, 'quota_exceeded')
      assert.match(answer.reason.hint, /errand bot stop/)
    }
  for (const id of begun) await hub.until(id, 'running')
  assert.equal((await hub.containers()).length, 3)

  const token = readFileSync(join(hub.data, 'local-token'), 'utf8').trim()
  const job = async (data: object) => {
    const response = await fetch(`${hub.url}/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify({ blueprint: 'bot_runner', data }),
    })
    return (await response.json()) as { status: string; error?: object; state: string; data?: object }
  }
  const refused = await job({ action: 'start', bot_id: 'one-more', deployment_mode: 'simple', code: 'pass' })
  assert.equal(refused.status, 'failure')
  assert.partialDeepStrictEqual(refused.error, { code: 'QUOTA_EXCEEDED', message: 'Maximum 3 bots' })
  const stop = await job({ action: 'stop', bot_id: begun[0] })
  assert.notEqual(stop.status, 'failure')
  await hub.until(begun[0]!, 'stopped')
  assert.equal((await job({ action: 'start', bot_id: 'one-more', code: 'print("up")' })).status, 'running')
})
