import assert from 'node:assert/strict'
import test from 'node:test'
import { testingHub } from '../../test/support/hub/hub-fixture.ts'
import { ErrandClient } from './client.ts'

test('places are added, listed without what they hold, and removed', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { places } = new ErrandClient({ url: hub.url, token })
  const { id, secret } = await places.add({ kind: 'webhook', url: 'https://hooks.example/x' })
  assert.equal(secret?.length, 32)
  const { places: listed, can_mail } = await places.list()
  assert.deepEqual(
    [listed.map(({ to, tells }) => [to, tells]), can_mail],
    [[['hooks.example', ['needs_me', 'failures']]], false],
  )
  await places.remove(id)
  await assert.rejects(places.remove(id), { code: 'not_found' })
})
