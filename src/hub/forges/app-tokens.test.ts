import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startForge } from '../../../test/support/forge/forge-stand-in.ts'
import { parseConfig } from '../../config/config-file.ts'
import { AppTokens } from './app-tokens.ts'

const forge = { host: 'git.example.org', repository: 'acme/app', rights: 'write' } as const

test('only a step that talks to that repository gets the token, in the variable that the step reads', () => {
  const tokens = new AppTokens({ forgeOf: () => undefined, isAppKey: () => false })
  const fault = (action: string, args: object = {}, more: object = {}) =>
    tokens.fault({ action, args: { repo: 'https://git.example.org/Acme/app.git', ...args } }, 'GIT_TOKEN', {
      ...forge,
      ...more,
    })
  assert.equal(fault('git.push'), undefined)
  assert.equal(fault('git.push', { repo: 'git@git.example.org:acme/app' }), undefined)
  assert.equal(fault('forge.pull_request', {}, { rights: 'pull_request' }), undefined)
  for (const action of ['cmd.run', 'agent.run', 'playbook.run', 'git.carry', 'toString'])
    assert.match(fault(action)!, /is not an action that uses a repository/, action)
  assert.match(fault('git.workspace')!, /does not need the right "write"/)
  assert.match(fault('git.push', { token_env: 'OTHER' })!, /token_env/)
  for (const repo of [
    'https://git.example.org.evil/acme/app',
    'https://git.example.org/acme/other',
    '',
    7,
    undefined,
  ])
    assert.match(fault('git.push', { repo })!, /its repository is not/, String(repo))
})

test('each token is new and has its own rights, and creating one needs a key that opens the App', async (t) => {
  const standIn = await startForge({ flavour: 'github' })
  t.after(() => standIn.stop())
  const repository = standIn.makeRepository('acme/app', { files: { 'a.txt': 'one\n' }, isPrivate: true })
  const app = standIn.makeApp([repository])
  const forge = { host: standIn.host, kind: 'github', api_url: standIn.apiUrl }
  const text = JSON.stringify({ forges: [{ ...forge, app: { id: app.appId, private_key: 'KEY' } }] })
  const { forges } = parseConfig(text, 'errand.yaml')
  const tokens = new AppTokens({ forgeOf: (host) => forges.get(host), isAppKey: (name) => name === 'KEY' })
  const make = async (rights: 'read' | 'write', key = app.privateKey, host: string = standIn.host) =>
    await tokens.token({ host, repository: 'acme/app', rights }, async (name) => (name === 'KEY' ? key : ''))
  const [first, second] = [await make('read'), await make('write')]
  assert.deepEqual(
    app.minted.map(({ token, gitRight, repositories }) => [token, gitRight, repositories]),
    [
      [first, 'read', ['acme/app']],
      [second, 'write', ['acme/app']],
    ],
  )
  await assert.rejects(make('read', 'no key'), { code: 'invalid_argument' })
  await assert.rejects(
    make('read', app.privateKey, 'other.example'),
    /No App is configured for other.example/,
  )
  assert.ok(tokens.isKey('KEY') && !tokens.isKey('GIT_TOKEN'))
})
