import assert from 'node:assert/strict'
import test from 'node:test'
import { newPathOf, renamed } from '../../src/contract/routes/renamed.ts'
import { routes } from '../../src/contract/routes/table.ts'
import { errandCommand } from '../support/errand-command.ts'
import { testingHub } from '../support/hub/hub-fixture.ts'

test('a command with its old name is refused with the new one', async (t) => {
  const errand = errandCommand(t)
  for (const [old, now] of Object.entries(renamed.commands)) {
    const { code, stderr } = await errand.run([old, 'list'])
    assert.equal(code, 2, stderr)
    assert.match(
      stderr,
      new RegExp(`^error: unknown command "${old}"\\n {2}hint: it is now: errand ${now}\\n$`),
    )
    assert.equal((await errand.run([now, '--help'])).code, 0)
  }
})

test('a path with its old name is refused with the new one', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  for (const [old, now] of Object.entries(renamed.paths)) {
    assert.ok(Object.keys(routes).some((name) => name.endsWith(` ${now}`)))
    for (const path of [old, `${old}/some`]) {
      const { status, json } = await hub.call('GET', path, token)
      assert.equal(status, 404)
      assert.equal(json.error.hint, `Use ${path.replace(old, now)} instead.`)
    }
    assert.equal(newPathOf(`${old}x`), undefined)
  }
})
