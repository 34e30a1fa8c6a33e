import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startForge } from '../../test/support/forge/forge-stand-in.ts'
import { ensureComment, ensurePull } from './idempotent.ts'
import { openForge } from './open-forge.ts'
import { GithubAppTokens } from './token-source.ts'

async function app(t: TestContext, permissions: Record<string, 'read' | 'write'>) {
  const standIn = await startForge({ flavour: 'github' })
  t.after(async () => await standIn.stop())
  const repository = standIn.makeRepository('acme/app', { files: { a: '1' }, isPrivate: true })
  const other = standIn.makeRepository('acme/other', { files: { a: '1' }, isPrivate: true })
  standIn.state.commit('acme/app', 'work', { b: '2' }, 'Work')
  const made = standIn.makeApp([repository, other])
  const clock = { ms: Date.now() }
  const { apiUrl } = standIn
  const wait = async () => undefined
  const tokens = new GithubAppTokens({
    apiUrl,
    appId: made.appId,
    privateKey: made.privateKey,
    repository: 'acme/app',
    permissions,
    now: () => clock.ms,
    wait,
  })
  const open = (path: string) =>
    openForge({ kind: 'github', host: standIn.host, apiUrl, by: 'configuration' }, path, { tokens, wait })
  return { standIn, repository, made, clock, tokens, open, forge: open('acme/app') }
}

const write = { contents: 'write', pull_requests: 'write' } as const
const permissions = {
  title: 'Add b',
  body: 'x',
  head: 'work',
  base: 'main',
  isDraft: false,
  labels: [],
  reviewers: [],
}

test('an installation token is valid for one repository only, and is used until five minutes before its end', async (t) => {
  const { made, clock, tokens, forge, open } = await app(t, write)
  const both = await Promise.all([tokens.token(), tokens.token()])
  assert.equal(both[0], both[1])
  assert.equal(made.minted.length, 1)
  assert.deepEqual(made.minted[0]!.repositories, ['acme/app'])
  const facts = await forge.repository()
  assert.deepEqual([facts.right, facts.mayPush, facts.mayOpenPulls], ['write', true, true])
  await assert.rejects(open('acme/other').repository(), { code: 'repo_not_found' })
  const { endsMs } = made.minted[0]!
  clock.ms = endsMs! - 5 * 60_000 - 1
  assert.equal(await tokens.token(), both[0])
  // With the clock moved forward, the JWT lies in the future: GitHub refuses it, and the old token is not handed out.
  clock.ms = endsMs! - 5 * 60_000
  await assert.rejects(tokens.token(), { code: 'repo_auth' })
  clock.ms = Date.now()
  assert.notEqual(await tokens.token(), both[0])
})

test('a revoked token is replaced once', async (t) => {
  const { made, tokens, forge, standIn } = await app(t, write)
  await tokens.token()
  standIn.state.tokens.splice(0)
  assert.equal((await forge.repository()).right, 'write')
  assert.equal(made.minted.length, 2)
})

test("content created with the token is recognized as the App's own", async (t) => {
  const { forge, repository, standIn } = await app(t, write)
  const issue = standIn.state.addIssue(repository, { title: 'Broken', by: 'acme' })
  const talk = { kind: 'issue', number: issue.number } as const
  await ensureComment(forge, talk, { key: 'k', body: 'one' })
  await ensureComment(forge, talk, { key: 'k', body: 'two' })
  const comments = await forge.comments(talk)
  assert.deepEqual(
    comments.map(({ author, body }) => [author.login, author.isBot, body.slice(0, 3)]),
    [['errand-app[bot]', true, 'two']],
  )
  assert.equal((await ensurePull(forge, permissions)).pull.author.login, 'errand-app[bot]')
})

test('missing permissions are known before anything is tried', async (t) => {
  const { forge } = await app(t, { contents: 'read' })
  const facts = await forge.repository()
  assert.deepEqual([facts.right, facts.mayPush, facts.mayOpenPulls], ['read', false, false])
  await assert.rejects(ensurePull(forge, permissions), { code: 'forge_denied' })
})

test('a wrong key and an App that is not installed are reported', async (t) => {
  const { standIn, made } = await app(t, write)
  const { apiUrl } = standIn
  const options = { apiUrl, appId: made.appId, repository: 'acme/app', permissions: write }
  assert.throws(() => new GithubAppTokens({ ...options, privateKey: 'nonsense' }), {
    code: 'invalid_argument',
  })
  const { privateKey } = standIn.makeApp([])
  await assert.rejects(new GithubAppTokens({ ...options, privateKey }).token(), { code: 'repo_auth' })
  standIn.makeRepository('acme/third', { files: { a: '1' } })
  const third = new GithubAppTokens({ ...options, privateKey: made.privateKey, repository: 'acme/third' })
  await assert.rejects(third.token(), { code: 'repo_not_found' })
})
