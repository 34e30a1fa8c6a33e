import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { secretUses } from '../../contract/step-secrets.ts'
import { ownSecrets } from '../secrets/own-secrets.ts'
import { type TokenAsk, tokenLookup } from './repository-token.ts'

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'errand-token-'))
  t.after(() => rmSync(dir, { recursive: true }))
  return dir
}

const ask = (repo: string, more: Partial<TokenAsk> = {}): TokenAsk => ({
  spec: {},
  env: {},
  args: { repo, token_env: 'GIT_TOKEN' },
  ...more,
})

test("the step's own token precedes the machine's, as a value or a file", (t) => {
  const file = join(folder(t), 'token')
  writeFileSync(file, 'of-the-file\n')
  const tokenOf = tokenLookup({ GIT_TOKEN: 'of-the-machine' })
  const repo = 'https://git.example.org/acme/app'
  const resolve = (env: Record<string, string>, secrets?: Parameters<typeof secretUses>[0]) =>
    tokenOf(ask(repo, { env, spec: { secrets: secrets && secretUses(secrets) } }))
  assert.deepEqual(resolve({ GIT_TOKEN: 'of-the-step' }, ['GIT_TOKEN']), {
    token: 'of-the-step',
    scope: 'hub:GIT_TOKEN:',
  })
  assert.equal(resolve({ GIT_TOKEN: file }, { GIT_TOKEN: { as: 'file' } }).token, 'of-the-file')
  const forge = { host: 'git.example.org', repository: 'acme/app', rights: 'read' } as const
  const app = resolve({ GIT_TOKEN: 'made' }, { GIT_TOKEN: { forge, as: 'env' } })
  assert.equal(app.scope, 'app:git.example.org/acme/app:')
  assert.deepEqual(resolve({}), { token: 'of-the-machine', scope: 'runner:GIT_TOKEN:' })
})

test("a machine's token goes only to its own servers, and no workflow chooses another variable of the machine", (t) => {
  const mounted = folder(t)
  const token = (env: Record<string, string>, repo: string, token_env = 'GIT_TOKEN') =>
    tokenLookup({ ERRAND_SECRETS_DIR: mounted, ...env })(ask(repo, { args: { repo, token_env } })).token
  const github = { GITHUB_TOKEN: 'github' }
  assert.equal(token(github, 'https://github.com/o/r.git'), 'github')
  for (const repo of [
    'https://github.com.evil.example/o/r',
    'https://evil.example/github.com/r',
    'http://github.com:81/o/r',
  ])
    assert.equal(token(github, repo), undefined, repo)
  const bound = { GIT_TOKEN: 'mine', ERRAND_GIT_TOKEN_HOSTS: 'Git.example.org,10.0.0.1:3000' }
  assert.equal(token(bound, 'https://git.example.org/o/r'), 'mine')
  assert.equal(token(bound, 'http://10.0.0.1:3000/o/r'), 'mine')
  for (const repo of [
    'https://git.example.org:444/o/r',
    'https://evil.example/o/r',
    'file:///git.example.org/o/r',
  ])
    assert.equal(token(bound, repo), undefined, repo)
  const other = { AWS_SECRET_ACCESS_KEY: 'the key', GIT_TOKEN: 'mine' }
  assert.equal(token(other, 'https://evil.example/o/r', 'AWS_SECRET_ACCESS_KEY'), undefined)
  assert.equal(token(other, 'https://evil.example/o/r', 'toString'), undefined)
})

test('a token file is read again on each use, and its token is masked like all others', (t) => {
  const dir = folder(t)
  const file = join(dir, 'elsewhere')
  const env = { GIT_TOKEN_FILE: file, ERRAND_SECRETS_DIR: dir, GITHUB_TOKEN: 'of-github' }
  const now = () => tokenLookup(env)(ask('https://github.com/o/r'))
  assert.deepEqual(now(), { token: 'of-github', scope: 'runner:GITHUB_TOKEN:' })
  writeFileSync(join(dir, 'GIT_TOKEN'), 'mounted-one\n')
  assert.equal(now().token, 'mounted-one')
  writeFileSync(file, 'file-one\n')
  assert.equal(now().token, 'file-one')
  writeFileSync(file, 'file-two\n')
  assert.equal(now().token, 'file-two')
  const hidden = Object.values(ownSecrets(env))
  for (const value of ['of-github', 'mounted-one', 'file-two']) assert.ok(hidden.includes(value), value)
})
