import assert from 'node:assert/strict'
import test from 'node:test'
import { botsHere, startBotHub } from '../support/bot-hub.ts'
import { eventually } from '../support/errand-command.ts'

const skip = await botsHere()

test('a bot ends at its time limit, and a failing one is restarted as often as configured', {
  skip,
}, async (t) => {
  const hub = await startBotHub(t)
  await hub.startShell('short', 'echo up; exec sleep 1000000', { timeout_seconds: 3 })
  await hub.startShell('loops', 'echo try; exit 3', { restart: { policy: 'on-failure', max_restarts: 2 } })
  const once = await hub.startShell('once', 'echo the last words; exit 7')
  const timeout = await hub.until('short', 'timeout')
  assert.equal(timeout.reason, 'timeout')
  const crashed = await hub.until('once', 'crashed')
  assert.deepEqual([crashed.reason, crashed.exit_code], ['exit_code', 7])
  assert.match(crashed.message!, /7[\s\S]*the last words/)
  assert.equal(await hub.printed(once.run_id), 'the last words\n')
  await assert.rejects(hub.client.bots.update('once', { env: { A: '1' } }), {
    code: 'conflict',
    hint: /errand bot restart once, .* with its source/,
  })
  const loops = await hub.until('loops', 'crashed')
  assert.equal(loops.restarts, 2)
  assert.equal(await hub.printed(loops.run_id), 'try\n'.repeat(3))
  await eventually('no container', async () => (await hub.containers()).length === 0)
})
