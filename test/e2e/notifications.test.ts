import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebhookNotice } from '../../src/contract/places.ts'
import { eventually } from '../support/errand-command.ts'
import { webStandIn } from '../support/notify/place-stand-ins.ts'
import { freePort, startPrograms } from '../support/programs.ts'

const ask = { version: 'v0.1', name: 'release', steps: [{ name: 'ask', action: 'approval.wait', args: {} }] }

test('what could not be told before the hub was killed is told by the next one, and nothing twice', async (t) => {
  const port = await freePort()
  const hubEnv = {
    ERRAND_NOTIFY_ALLOW: `http://127.0.0.1:${port}`,
    ERRAND_PUBLIC_URL: 'https://errand.example',
  }
  const programs = await startPrograms(t, { runner: 'none', hubEnv })
  const { client, call } = programs
  const added = await call('places', 'add', 'webhook', `http://127.0.0.1:${port}/hook`, '--name', 'phone')
  assert.equal(added.code, 0, added.stderr)
  const id = added.stdout.trim()
  assert.match(added.stderr, /shown only once: \S{32}/)
  const tested = await call('places', 'test', id)
  assert.notEqual(tested.code, 0)
  assert.match(tested.stderr, /does not answer/)

  const { run_id } = await client.runs.create({ workflow: ask })
  await eventually('a try that fails', async () => (await client.places.list()).places[0]!.failure)
  await programs.kill('hub')
  const place = await webStandIn(t, port)
  await programs.startHub()
  await place.until((all) => all.length === 1)
  const notice = WebhookNotice.parse(JSON.parse(place.received[0]!.body))
  assert.deepEqual(
    [notice.kind, notice.url],
    ['question', `https://errand.example/runs/${run_id}?step=ask#question:ask`],
  )
  const sent = async () => (await client.places.list()).places[0]!.last_sent_at
  await eventually('the note of it', sent)
  const listed = await call('places', 'list')
  assert.match(listed.stdout, new RegExp(`${id} +phone +webhook +127\\.0\\.0\\.1:${port}`))

  // The hub is killed and restarted: the question is still open, and was already reported.
  await programs.kill('hub')
  await programs.startHub()
  await client.places.test(id)
  const second = (await client.runs.create({ workflow: { ...ask, name: 'other' } })).run_id
  await place.until((all) => all.length === 3)
  const runs = place.received.map(({ body }) => WebhookNotice.parse(JSON.parse(body)).run_id)
  assert.deepEqual(runs, [run_id, undefined, second])
  assert.equal((await call('places', 'remove', id)).code, 0)
  assert.deepEqual((await client.places.list()).places, [])
})

test('a place that the hub may not reach is not asked, and the reason names the way out', async (t) => {
  const place = await webStandIn(t)
  const programs = await startPrograms(t, { runner: 'none' })
  const { id } = await programs.client.places.add({ kind: 'webhook', url: place.url })
  await assert.rejects(programs.client.places.test(id), {
    code: 'source_refused',
    hint: /ERRAND_NOTIFY_ALLOW=/,
  })
  assert.deepEqual(place.received, [])
})
