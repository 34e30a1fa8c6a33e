import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type HubOptions, startHub } from './start-hub.ts'

function options(t: TestContext): HubOptions & { admins: string[] } {
  const data = mkdtempSync(join(tmpdir(), 'errand-start-hub-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const admins: string[] = []
  return {
    ...{ data, host: '127.0.0.1', port: 0, version: '0.0.0-test', env: {} },
    isDurable: () => true,
    own: { reportAdmin: ({ username }) => void admins.push(username) },
    log: () => {},
    admins,
  }
}

test('a hub stops once however often it is asked, and continues from its folder with the same tokens', async (t) => {
  const here = options(t)
  const opened: { url: string; localToken: string }[] = []
  const hub = await startHub({
    ...here,
    own: { ...here.own!, opened: (opened_) => void opened.push(opened_) },
  })
  assert.deepEqual(opened, [{ url: hub.url, localToken: hub.localToken }])
  assert.equal((await fetch(`${hub.url}/health`)).status, 200)
  await Promise.all([hub.close(), hub.close()])
  await hub.close()
  await assert.rejects(fetch(`${hub.url}/health`))
  const again = await startHub(here)
  t.after(again.close)
  assert.deepEqual([again.localToken, again.runnerToken], [hub.localToken, hub.runnerToken])
  assert.equal(readFileSync(join(here.data, 'local-token'), 'utf8').trim(), again.localToken)
  assert.deepEqual(here.admins, ['admin'])
})

test('a start that fails closes what it had opened', async (t) => {
  const first = await startHub(options(t))
  t.after(first.close)
  const here = { ...options(t), port: Number(new URL(first.url).port) }
  const closed: string[] = []
  const { Fleet } = await import('./fleet/fleet.ts')
  const machines = new Fleet({ authenticate: async () => ({ refused: 'no' }), isDurable: () => true })
  const close = machines.close.bind(machines)
  machines.close = async () => {
    closed.push('machines')
    await close()
  }
  await assert.rejects(startHub({ ...here, machines }), { code: 'address_in_use' })
  assert.ok(closed.includes('machines'))
  const again = await startHub({ ...here, port: 0 })
  await again.close()
})
