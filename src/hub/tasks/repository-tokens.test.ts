import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mayGoTo, notFor, sentTo } from './repository-tokens.ts'

test('a token goes only to its allowed servers, and an address that hides its server gets none', () => {
  const hosts = ['git.example.org', '10.0.0.1:3000']
  const unset = { name: 'GIT_TOKEN' }
  const bound = { name: 'GIT_TOKEN', hosts }
  const ofGithub = { name: 'GITHUB_TOKEN' }
  const other = { name: 'DEPLOY_TOKEN', hosts }
  const cases: [string | undefined, boolean, boolean][] = [
    ['https://github.com/o/r', false, true],
    ['git@github.com:o/r.git', false, true],
    ['https://github.com.evil.org/o/r', false, false],
    ['https://github.com@evil.org/o/r', false, false],
    ['https://github.com:8443/o/r', false, false],
    ['https://git.example.org/o/r', true, false],
    ['https://git.example.org:443/o/r', true, false],
    ['https://GIT.EXAMPLE.ORG/${REPO}', true, false],
    ['https://git.example.org${REST}/o/r', false, false],
    ['https://git.example.org.evil.org/o/r', false, false],
    ['https://git.example.org@evil.org/o/r', false, false],
    ['https://evil.org/git.example.org', false, false],
    ['${ALL}', false, false],
    ['http://10.0.0.1:3000/o/r', true, false],
    ['http://10.0.0.1/o/r', false, false],
    ['http://10.0.0.1:30000/o/r', false, false],
    ['file:///srv/git/r', false, false],
    ['', false, false],
    [undefined, false, false],
  ]
  for (const [repo, ofBound, ofThatOfGithub] of cases) {
    assert.equal(mayGoTo(unset, repo), false, String(repo))
    assert.equal(mayGoTo({ ...unset, hosts: [] }, repo), false, String(repo))
    assert.equal(mayGoTo(bound, repo), ofBound, String(repo))
    assert.equal(mayGoTo(other, repo), ofBound, String(repo))
    assert.equal(mayGoTo(ofGithub, repo), ofThatOfGithub, String(repo))
    // A secret with another name goes wherever the person who uses the name sends it.
    for (const name of ['DEPLOY_TOKEN', 'constructor']) assert.equal(mayGoTo({ name }, repo), true)
  }
})

test('a refusal names the command that allows the server, for exactly that secret', () => {
  const { message, hint } = notFor({ name: 'GIT_TOKEN' }, 'https://github.com/o/r')
  assert.match(message, /GIT_TOKEN may not be sent to github\.com: it was set without any servers/)
  assert.equal(hint, 'Allow it with: errand secrets set GIT_TOKEN --host github.com')
  const bound = {
    name: 'GIT_TOKEN',
    hosts: ['a.org', 'b.org:1'],
    scope: 'repository',
    scope_name: 'o/r',
  } as const
  const other = notFor(bound, 'http://10.0.0.1:3000/o/r')
  assert.match(other.message, /it is only for a\.org, b\.org:1\./)
  assert.equal(
    other.hint,
    'Allow it with: errand secrets set GIT_TOKEN --repository "o/r" --host 10.0.0.1:3000',
  )
})

test('an action with a token names its server, and the API server unless the operator configured that', () => {
  const repo = 'https://git.example.org/o/r'
  const of = (action: string, args: object, variable = 'GIT_TOKEN') =>
    sentTo({ action, args } as Parameters<typeof sentTo>[0], variable, (host) =>
      host === 'git.example.org' ? 'https://api.example.org/v1' : undefined,
    )
  for (const action of ['git.check', 'git.workspace', 'git.push', 'forge.pull_request']) {
    assert.deepEqual(of(action, { repo }), [repo])
    assert.deepEqual(of(action, { repo, token_env: 'OTHER' }), [])
    assert.deepEqual(of(action, { repo, token_env: 'OTHER' }, 'OTHER'), [repo])
  }
  const api = (api_url: string) => of('forge.pull_request', { repo, forge: { kind: 'gitea', api_url } })
  assert.deepEqual(api('https://api.example.org/v1'), [repo])
  assert.deepEqual(api('https://evil.org/v1'), [repo, 'https://evil.org/v1'])
  assert.deepEqual(of('git.check', {}), [''], 'a step without an address names no server')
  const bot = (source: object) => of('bot.serve', { source }, 'PASSWORD')
  const auth = { password_secret: 'PASSWORD' }
  assert.deepEqual(bot({ url: repo, git_auth: auth }), [repo])
  assert.deepEqual(bot({ image: 'ghcr.io/o/r:1', registry_auth: auth }), ['https://ghcr.io/'])
  assert.deepEqual(bot({ image: 'localhost:5000/r', registry_auth: auth }), ['https://localhost:5000/'])
  assert.deepEqual(bot({ image: 'o/r', registry_auth: auth }), ['https://docker.io/'])
  assert.deepEqual(of('cmd.run', { cmd: 'git push', repo }), [])
})
