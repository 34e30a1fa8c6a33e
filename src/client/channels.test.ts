import assert from 'node:assert/strict'
import test from 'node:test'
import { testingHub } from '../../test/support/hub/hub-fixture.ts'
import { ErrandClient } from './client.ts'

test('channels are added, listed without their credentials, and removed', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { channels } = new ErrandClient({ url: hub.url, token })
  const { id, secret } = await channels.add({ kind: 'webhook', url: 'https://hooks.example/x' })
  assert.equal(secret?.length, 32)
  const { channels: listed, can_mail } = await channels.list()
  assert.deepEqual(
    [listed.map(({ to, tells }) => [to, tells]), can_mail],
    [[['hooks.example', ['needs_me', 'failures']]], false],
  )
  await channels.remove(id)
  await assert.rejects(channels.remove(id), { code: 'not_found' })
})
