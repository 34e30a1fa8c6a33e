import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startForge } from '../../../test/support/forge/forge-stand-in.ts'
import { forgeFetch } from '../../runner/git/policy-fetch.ts'
import { openForges } from './open-forges.ts'

const user = { tenant: 'default', owner: 'ada' }

test('a forge whose name now resolves to another address gets no request from the hub', async (t) => {
  const standIn = await startForge({ flavour: 'gitea' })
  t.after(() => standIn.stop())
  standIn.makeRepository('acme/app', { files: { a: '1' }, rights: { errand: 'write' } })
  const token = standIn.makeToken('errand')
  let means = '127.0.0.1'
  const host = `forge.invalid:${new URL(standIn.url).port}`
  const forgeOf = openForges({
    secrets: { valueSeen: async () => token, refusal: async () => undefined },
    forgeFetch: forgeFetch(`http://${host}`, 'ERRAND_GIT_ALLOW', async () => [means]),
  })
  const address = { host, path: 'acme/app', protocol: 'http' } as const
  const forge = await forgeOf(address, user)
  assert.equal((await forge.repository()).right, 'write')
  const before = standIn.seen.length
  means = '127.0.0.77'
  await assert.rejects(forge.repository(), { code: 'forge_away' })
  assert.equal(standIn.seen.length, before)

  // Logs are on another server, and an answer must not lead the hub to a server of its own network.
  means = '127.0.0.1'
  standIn.fault({ match: /runs\?/, how: { status: 200, body: { workflow_runs: [{ id: 1 }] } } })
  standIn.fault({ match: /jobs$/, how: { status: 200, body: { jobs: [{ id: 1, name: 'test' }] } } })
  const location = 'https://169.254.169.254/latest/meta-data'
  standIn.fault({ match: /logs$/, how: { status: 302, headers: { location } } })
  await assert.rejects(forge.checkLog(`${'0'.repeat(40)} ci / test`, 3), {
    code: 'source_refused',
    message: /not on the public internet/,
  })
})

test('a forge that the hub may not reach is reported as such, not as unavailable', async () => {
  const forgeOf = openForges({
    secrets: { valueSeen: async () => undefined, refusal: async () => undefined },
    forgeFetch: forgeFetch('', 'ERRAND_GIT_ALLOW', async () => ['10.0.0.7']),
  })
  const address = { host: 'forge.invalid', path: 'acme/app', protocol: 'https' } as const
  await assert.rejects(forgeOf(address, user), { code: 'source_refused', hint: /ERRAND_GIT_ALLOW/ })
})
