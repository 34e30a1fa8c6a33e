import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebhookNotice } from '../../src/contract/channels.ts'
import { eventually } from '../support/errand-command.ts'
import { webStandIn } from '../support/notify/channel-stand-ins.ts'
import { freePort, startPrograms } from '../support/programs.ts'

const ask = { version: 'v0.1', name: 'release', steps: [{ name: 'ask', action: 'approval.wait', args: {} }] }

test('what could not be sent before the hub was killed is sent by the next one, and nothing twice', async (t) => {
  const port = await freePort()
  const hubEnv = {
    ERRAND_NOTIFY_ALLOW: `http://127.0.0.1:${port}`,
    ERRAND_PUBLIC_URL: 'https://errand.example',
  }
  const programs = await startPrograms(t, { runner: 'none', hubEnv })
  const { client, call } = programs
  const added = await call('channels', 'add', 'webhook', `http://127.0.0.1:${port}/hook`, '--name', 'phone')
  assert.equal(added.code, 0, added.stderr)
  const id = added.stdout.trim()
  assert.match(added.stderr, /shown only once: \S{32}/)
  const tested = await call('channels', 'test', id)
  assert.notEqual(tested.code, 0)
  assert.match(tested.stderr, /does not answer/)

  const { run_id } = await client.runs.create({ workflow: ask })
  await eventually('a try that fails', async () => (await client.channels.list()).channels[0]!.failure)
  await programs.kill('hub')
  const channel = await webStandIn(t, port)
  await programs.startHub()
  await channel.until((all) => all.length === 1)
  const notice = WebhookNotice.parse(JSON.parse(channel.received[0]!.body))
  assert.deepEqual(
    [notice.kind, notice.url],
    ['question', `https://errand.example/runs/${run_id}?step=ask#question:ask`],
  )
  const sent = async () => (await client.channels.list()).channels[0]!.last_sent_at
  await eventually('the record of it', sent)
  const listed = await call('channels', 'list')
  assert.match(listed.stdout, new RegExp(`${id} +phone +webhook +127\\.0\\.0\\.1:${port}`))

  // The hub is killed and restarted: the question is still open, and was already reported.
  await programs.kill('hub')
  await programs.startHub()
  await client.channels.test(id)
  const second = (await client.runs.create({ workflow: { ...ask, name: 'other' } })).run_id
  await channel.until((all) => all.length === 3)
  const runs = channel.received.map(({ body }) => WebhookNotice.parse(JSON.parse(body)).run_id)
  assert.deepEqual(runs, [run_id, undefined, second])
  assert.equal((await call('channels', 'remove', id)).code, 0)
  assert.deepEqual((await client.channels.list()).channels, [])
})

test('a channel that the hub may not reach gets no request, and the reason names the way out', async (t) => {
  const channel = await webStandIn(t)
  const programs = await startPrograms(t, { runner: 'none' })
  const { id } = await programs.client.channels.add({ kind: 'webhook', url: channel.url })
  await assert.rejects(programs.client.channels.test(id), {
    code: 'source_refused',
    hint: /ERRAND_NOTIFY_ALLOW=/,
  })
  assert.deepEqual(channel.received, [])
})
