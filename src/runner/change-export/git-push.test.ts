import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { makeRepository, needsLogin, run, serveGit } from '../../../test/support/sources/git-fixture.ts'
import { GitRefused } from '../git/git-words.ts'
import { type GitPolicy, openRemote } from '../git/remote.ts'
import { AllowedOrigins } from '../git/server-addresses.ts'
import { type PushAsk, type PushContext, pushBranch } from './git-push.ts'

const dir = mkdtempSync(join(tmpdir(), 'errand-push-'))
const root = join(dir, 'server')
const host = await serveGit(root)
after(async () => {
  await host.close()
  rmSync(dir, { recursive: true, force: true })
})

const policyFor = (origin: string): GitPolicy => ({
  allow: new AllowedOrigins(origin, 'ERRAND_GIT_ALLOW'),
  variable: 'ERRAND_GIT_ALLOW',
  lookup: async () => ['127.0.0.1'],
  folders: [],
})
const policy = policyFor(host.origin())
const signal = new AbortController().signal

let count = 0

/** Makes a repository on the server, and ours of it with two more commits. */
function pushPlace() {
  const name = `r${count++}.git`
  const server = join(root, name)
  const start = makeRepository(server, [{ path: 'a', content: 'a' }])
  run(server, ['config', 'http.receivepack', 'true'])
  const ours = join(dir, `ours${count}.git`)
  run(dir, ['clone', '-q', '--bare', server, ours])
  const tree = run(ours, ['rev-parse', `${start}^{tree}`])
  const commit = (parent: string, message: string, at = ours) =>
    run(at, ['commit-tree', tree, '-p', parent, '-m', message])
  const first = commit(start, 'one')
  const tip = commit(first, 'two')
  const url = `${host.origin()}/${name}`
  const reported: string[] = []
  const pauses: number[] = []
  const context = (more: Partial<PushContext> & { token?: string } = {}): PushContext => ({
    signal,
    open: () => openRemote({ url, token: more.token }, { policy, folder: ours, signal }),
    check: async () => undefined,
    phase: () => undefined,
    report: (message) => void reported.push(message),
    pause: async (ms) => void pauses.push(ms),
    ...more,
  })
  const push = (ask: Partial<PushAsk> = {}, more?: Parameters<typeof context>[0]) =>
    pushBranch(
      { folder: ours, branch: 'errand/x', tip, expected: '', force: 'never', retries: 3, ...ask },
      context(more),
    )
  const branch = (of = 'errand/x') =>
    run(server, ['for-each-ref', '--format=%(objectname)', `refs/heads/${of}`])
  const hook = (script: string) =>
    writeFileSync(join(server, 'hooks/pre-receive'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  host.intercept = () => false
  host.requests.length = 0
  return { server, ours, start, first, tip, url, told: reported, pauses, commit, push, branch, hook }
}

const received = () => host.requests.filter((path) => path.endsWith('/git-receive-pack')).length

const refuses = async (work: Promise<unknown>, reason: string, words: RegExp) => {
  const error = await work.then(
    () => assert.fail('nothing was refused'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof GitRefused, String((error as Error).stack))
  assert.equal(error.reason, reason, error.message)
  assert.match(error.message, words)
  assert.ok(error.hint)
}

test('pushing twice pushes once, and later commits follow', async () => {
  const { push, branch, first, tip } = pushPlace()
  const pushed = { sha: first, branch: 'errand/x', forced: false }
  assert.deepEqual(await push({ tip: first }), { ...pushed, before: false })
  assert.deepEqual(await push({ tip: first }), { ...pushed, before: true })
  assert.equal(received(), 1)
  assert.deepEqual(await push({ expected: first }), { ...pushed, sha: tip, before: false })
  assert.equal(branch(), tip)
})

test('a push killed before and after each part is pushed exactly once', async () => {
  for (const point of ['look', 'push', 'verify', 'end']) {
    const { ours, url, tip, push, branch } = pushPlace()
    const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)
    const script = `
      const { pushBranch } = await import(${module('./git-push.ts')})
      const { openRemote } = await import(${module('../git/remote.ts')})
      const { AllowedOrigins } = await import(${module('../git/server-addresses.ts')})
      const kill = () => process.kill(process.pid, 'SIGKILL')
      const signal = new AbortController().signal
      const policy = { allow: new AllowedOrigins(${JSON.stringify(host.origin())}, 'A'), variable: 'A',
        lookup: async () => ['127.0.0.1'], folders: [] }
      await pushBranch(
        { folder: ${JSON.stringify(ours)}, branch: 'errand/x', tip: '${tip}', expected: '', force: 'never', retries: 0 },
        {
          signal,
          open: () => openRemote({ url: ${JSON.stringify(url)} }, { policy, folder: ${JSON.stringify(ours)}, signal }),
          check: async () => undefined,
          phase: (name) => { if (name === '${point}') kill() },
          report: () => undefined,
          pause: async () => undefined,
        },
      )
      kill()
    `
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
    assert.deepEqual((await once(child, 'exit'))[1], 'SIGKILL')
    const isPushed = ['verify', 'end'].includes(point)
    assert.equal(branch(), isPushed ? tip : '')
    assert.equal((await push()).before, isPushed)
    assert.equal(branch(), tip)
    assert.equal(received(), 1)
  }
})

test('commits of others on the branch are never lost, except with an explicit lease', async () => {
  const { push, branch, server, start, first, tip, commit } = pushPlace()
  const theirs = commit(start, 'theirs', server)
  run(server, ['update-ref', 'refs/heads/errand/x', theirs])
  await refuses(push(), 'branch_moved', /"errand\/x" has since been moved to \w+/)
  await refuses(push({ expected: theirs }), 'branch_moved', /has commits that this push does not include/)
  await refuses(push({ force: 'lease', expected: first }), 'branch_moved', /moved/)
  assert.equal(branch(), theirs)
  assert.equal(received(), 0)
  assert.equal((await push({ force: 'lease', expected: theirs })).forced, true)
  assert.equal(branch(), tip)
  run(server, ['update-ref', '-d', 'refs/heads/errand/x'])
  await refuses(push({ expected: first }), 'branch_moved', /is gone/)
})

test('a branch that moves between the check and the push stays as it is', async () => {
  const { push, branch, server, start, commit } = pushPlace()
  const theirs = commit(start, 'theirs', server)
  const phase = (name: string) => {
    if (name === 'push') run(server, ['update-ref', 'refs/heads/errand/x', theirs])
  }
  await refuses(push({}, { phase }), 'branch_moved', /cannot be pushed/)
  assert.equal(branch(), theirs)
})

test("a refusal by the server's rules has the server's words, and the default branch is never pushed to", async () => {
  const { push, hook, branch, first, server } = pushPlace()
  hook('echo "GH006: Protected branch update failed" >&2; exit 1')
  await refuses(push(), 'protected_branch', /hook declined.*Protected branch update failed/)
  hook('echo "File big.bin is 120.00 MB; this exceeds the file size limit" >&2; exit 1')
  await refuses(push(), 'push_refused', /big\.bin is 120\.00 MB/)
  assert.equal(branch(), '')
  hook('exit 0')
  const main = run(server, ['rev-parse', 'main'])
  await refuses(push({ branch: 'main', tip: first, expected: main }), 'protected_branch', /default branch/)
  assert.equal(run(server, ['rev-parse', 'main']), main)
  for (const bad of ['a..b', '-x', 'x.lock', 'a b'])
    await refuses(push({ branch: bad }), 'push_refused', /not a valid branch name/)
})

test('a read-only token and no token give different errors', async () => {
  const { push } = pushPlace()
  const login = needsLogin({ username: 'x-access-token', password: 'reader-token' })
  host.intercept = (path, response, request) => {
    if (login(path, response, request)) return true
    if (!path.includes('receive-pack')) return false
    response.writeHead(403).end('no')
    return true
  }
  await refuses(push({}, { token: 'reader-token' }), 'push_denied', /403/)
  await refuses(push({}), 'repo_auth', /./)
})

test('a server that drops the connection is retried, and a push whose answer was lost counts', async () => {
  const { push, branch, tip, pauses } = pushPlace()
  let left = 2
  host.intercept = (_path, response) => {
    if (left-- <= 0) return false
    response.writeHead(503).end()
    return true
  }
  assert.equal((await push()).before, false)
  assert.deepEqual(pauses, [1_000, 2_000])
  assert.equal(branch(), tip)
  const other = pushPlace()
  let lost = false
  host.intercept = (path, response, request) => {
    if (lost || request.method !== 'POST' || !path.endsWith('git-receive-pack')) return false
    lost = true
    // The server has accepted it by then.
    run(other.server, ['fetch', '-q', other.ours, `${other.tip}:refs/heads/errand/x`])
    response.destroy()
    return true
  }
  run(other.ours, ['config', 'uploadpack.allowAnySHA1InWant', 'true'])
  assert.equal((await other.push()).before, true)
  assert.equal(other.branch(), other.tip)
})

test('no setting of the machine and no file of the repository redirects the push', async () => {
  const { push, ours, branch, tip } = pushPlace()
  const home = join(dir, 'home')
  mkdirSync(home, { recursive: true })
  const elsewhere = join(dir, 'elsewhere.git')
  run(dir, ['init', '-q', '--bare', elsewhere])
  writeFileSync(join(home, '.gitconfig'), `[url "${elsewhere}"]\n\tinsteadOf = ${host.origin()}\n`)
  const before = process.env.HOME
  process.env.HOME = home
  try {
    await push()
  } finally {
    if (before === undefined) delete process.env.HOME
    else process.env.HOME = before
  }
  assert.equal(branch(), tip)
  assert.equal(run(elsewhere, ['for-each-ref']), '')
  assert.ok(ours)
})
