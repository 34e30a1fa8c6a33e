import assert from 'node:assert/strict'
import test from 'node:test'
import { testingHub } from '../../../../test/support/hub/hub-fixture.ts'
import { routes } from '../../../contract/routes/table.ts'

test('a route that takes the bytes of a file refuses a JSON or YAML body', async (t) => {
  const hub = await testingHub(t)
  const ann = await hub.user('ann')
  const runner = await hub.tokenOf((await hub.user('boss', 'admin')).id, 'runner')
  const taking = Object.entries(routes).filter(([, route]) => 'archive' in route)
  assert.ok(taking.length >= 4)
  for (const [name, { who }] of taking) {
    const [method, path] = name.split(' ') as [string, string]
    const address = `${path.replaceAll(/:\w+/g, '00000000-0000-4000-8000-000000000000')}?sha256=${'0'.repeat(64)}&bytes=2`
    for (const type of ['application/json', 'application/yaml']) {
      const token = who === 'runner' ? runner : ann.token
      const { status, json } = await hub.call(method, address, token, '{}', { 'content-type': type })
      assert.deepEqual([status, json.error.code], [415, 'unsupported_media_type'], `${name} ${type}`)
      assert.match(json.error.hint, /application\/octet-stream/, name)
    }
  }
})
