import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import {
  makeRepository,
  needsLogin,
  policyOf,
  run,
  serveGit,
} from '../../../test/support/sources/git-fixture.ts'
import { findRef } from './advertisement.ts'
import { GitRefused } from './git-words.ts'
import { type GitPolicy, openRemote, type RemoteAsk, remoteIdentity } from './remote.ts'
import { AllowedOrigins } from './server-addresses.ts'

const top = mkdtempSync(join(tmpdir(), 'errand-remote-'))
const host = await serveGit(join(top, 'server'))
after(async () => {
  await host.close()
  rmSync(top, { recursive: true })
})
beforeEach(() => {
  host.intercept = () => false
})
const repository = join(top, 'server/o/r.git')
const commit = makeRepository(repository, [{ path: 'a', content: 'x' }])
const url = `${host.origin()}/o/r.git`
const policy = policyOf(host)

const open = (ask: Partial<RemoteAsk>, more: Partial<GitPolicy> = {}) =>
  openRemote(
    { url, ...ask },
    {
      policy: { ...policy, ...more },
      folder: top,
      signal: new AbortController().signal,
    },
  )

async function refused(ask: Partial<RemoteAsk>, more: Partial<GitPolicy> = {}): Promise<GitRefused> {
  const error = await open(ask, more).then(
    () => assert.fail('it was taken'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof GitRefused, String(error))
  assert.ok(error.hint, error.message)
  return error
}

test('one request returns the branches, the tags and the default branch, without starting git', async () => {
  const { advertisement } = await open({})
  assert.equal(advertisement.defaultBranch, 'main')
  assert.equal(advertisement.isSha256, false)
  for (const ref of [undefined, 'main', 'v1', 'feature/+x', 'refs/heads/main'])
    assert.equal(findRef(advertisement, ref)?.sha, commit, ref)
  assert.equal(findRef(advertisement, 'gone'), undefined)
})

test('an empty repository has no default branch, and a SHA-256 one says so', async () => {
  for (const [name, format] of [
    ['empty', 'sha1'],
    ['wide', 'sha256'],
  ] as const)
    run(top, ['init', '--quiet', '--bare', `--object-format=${format}`, join(top, 'server', name)])
  const lines = 'commit refs/heads/main\ncommitter A <a@example.org> 1 +0000\ndata 1\nm\n\n'
  run(join(top, 'server/wide'), ['fast-import', '--quiet'], lines)
  assert.equal((await open({ url: `${host.origin()}/empty` })).advertisement.defaultBranch, undefined)
  assert.equal((await open({ url: `${host.origin()}/wide` })).advertisement.isSha256, true)
})

test('missing read or write access is reported, each with its reason', async () => {
  assert.equal((await refused({ url: `${host.origin()}/o/gone.git` })).reason, 'repo_not_found')
  const denied = await refused({ service: 'git-receive-pack' })
  assert.equal(denied.reason, 'push_denied')
  assert.match(denied.hint!, /can write/)
  run(repository, ['config', 'http.receivepack', 'true'])
  await open({ service: 'git-receive-pack' })
  host.intercept = needsLogin({ username: 'x-access-token', password: 'right' })
  assert.equal((await refused({})).reason, 'repo_auth')
  assert.equal((await refused({ token: 'wrong' })).reason, 'repo_auth')
  const { access } = await open({ token: 'right' })
  assert.equal(access.credential?.password, 'right')
  assert.equal(JSON.stringify([access.config, access.env]).includes('right'), false)
  host.intercept = (_path, response) => {
    response.writeHead(503).end()
    return true
  }
  assert.equal((await refused({})).reason, 'host_unreachable')
})

test('garbage, truncated and oversized answers are refused', async () => {
  const answers: [body: string, reason: string][] = [
    ['hello', 'repo_refused'],
    ['001e# service=git-upload-pack\n0000ffff', 'repo_refused'],
    ['', 'repo_refused'],
    ['001e# service=git-upload-pack\n0000000dERR gone.', 'repo_not_found'],
  ]
  for (const [body, reason] of answers) {
    host.intercept = (_path, response) => {
      response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' }).end(body)
      return true
    }
    const error = await open({}).then(
      () => undefined,
      (cause: GitRefused) => cause,
    )
    assert.equal(error?.reason, reason, body)
  }
})

test('addresses with credentials or of programs, files and inner networks are refused, without the password', async () => {
  const wrong = [
    'https://me:hunter2@example.org/o/r.git',
    'https://hunter2@example.org/o/r.git',
    'ext::sh -c hunter2',
    'ext::hunter2',
    'file:///etc',
    '/etc',
    '-oProxyCommand=hunter2',
    'ssh://-oProxyCommand=hunter2/x',
    'ssh://me:hunter2@example.org/x',
    '-oProxyCommand=x:y',
    'git@example.org:-x',
    'git://example.org/x',
    'http://example.org/x',
    'https://10.0.0.1/o/r.git',
  ]
  const nobody = { allow: new AllowedOrigins('', 'ERRAND_GIT_ALLOW'), lookup: async () => ['10.0.0.1'] }
  for (const url of wrong) {
    const error = await refused({ url }, nobody)
    assert.equal(error.reason, 'repo_refused', url)
    assert.equal(/hunter2/.test(`${error.message} ${error.hint}`), false, error.message)
  }
  assert.equal((await refused({ url: 'git@example.org:o/r.git' }, nobody)).reason, 'repo_auth')
})

test('one repository has one identity in every spelling of its address', () => {
  const same = [
    'ssh://git@Example.org/o/r.git',
    'git@example.org:o/r.git',
    'ssh://git@example.org:22/o/r.git/',
  ]
  assert.equal(new Set(same.map((each) => remoteIdentity(each, policy))).size, 1)
  assert.equal(
    remoteIdentity('https://EXAMPLE.org/o/r/', policy),
    remoteIdentity('https://example.org:443/o/r', policy),
  )
})

test("over SSH the operator's key and the checked address are used", async () => {
  // A fake ssh: it records its words and does what the far end would.
  const bin = join(top, 'bin')
  mkdirSync(bin)
  const words = join(top, 'words')
  writeFileSync(
    join(bin, 'ssh'),
    `#!/bin/sh\nprintf '%s\\n' "$@" > '${words}'\nfor last; do :; done\nexec sh -c "$last"\n`,
  )
  chmodSync(join(bin, 'ssh'), 0o755)
  const { PATH } = process.env
  process.env.PATH = `${bin}:${PATH}`
  try {
    const key = join(top, "the operator's key")
    const ssh = {
      allow: new AllowedOrigins('git.test:2222', 'ERRAND_GIT_ALLOW'),
      sshKeyFile: key,
      knownHostsFile: '/known',
    }
    const remote = await open({ url: `ssh://git@git.test:2222${repository}` }, ssh)
    assert.equal(findRef(remote.advertisement, 'main')?.sha, commit)
    assert.equal(remote.advertisement.defaultBranch, 'main')
    const lines = readFileSync(words, 'utf8').split('\n')
    for (const word of [
      key,
      'HostName=127.0.0.1',
      'HostKeyAlias=[git.test]:2222',
      'StrictHostKeyChecking=yes',
      '2222',
    ])
      assert.ok(lines.includes(word), `${word} in ${lines.join(' ')}`)
    await open({ url: `ssh://git@git.test:2222${repository}`, service: 'git-receive-pack' }, ssh)
    assert.match(readFileSync(words, 'utf8'), /git-receive-pack '/)
  } finally {
    process.env.PATH = PATH
  }
})

test('a local repository is used if the operator allows its folder', async () => {
  const local = { folders: [join(top, 'server')] }
  assert.equal(
    findRef((await open({ url: `file://${repository}` }, local)).advertisement, 'main')?.sha,
    commit,
  )
  const error = await refused({ url: `file://${top}` }, local)
  assert.equal(error.reason, 'repo_refused')
  assert.match(error.hint!, /ERRAND_GIT_FOLDERS/)
})
