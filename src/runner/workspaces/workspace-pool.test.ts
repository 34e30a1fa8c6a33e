import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import { needsLogin, run } from '../../../test/support/sources/git-fixture.ts'
import { lease, poolPlace } from '../../../test/support/workspaces/pool-fixture.ts'
import type { GitRefused } from '../git/git-words.ts'
import type { WorkspacePool } from './workspace-pool.ts'

const place = await poolPlace()
after(() => place.close())
beforeEach(() => {
  place.host.intercept = () => false
  place.host.requests.length = 0
})
/** Makes an empty pool. */
function freshPool(more: Parameters<typeof place.pool>[0] = {}): WorkspacePool {
  rmSync(join(place.dir, 'pool'), { recursive: true, force: true })
  return place.pool(more)
}
const fetches = () => place.host.requests.filter((path) => path.endsWith('/git-upload-pack')).length
/** Runs Git as the user of a slot does. */
const theirs = (work: string, ...args: string[]) =>
  execFileSync('git', args, {
    cwd: work,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: work },
  }).trim()
const reasonOf = (work: Promise<unknown>): Promise<string | undefined> =>
  work.then(
    () => undefined,
    (error: GitRefused) => error.reason ?? String(error),
  )

test('a run gets a checkout with its own repository, the same one on each request, and the next run reuses it', async () => {
  const pool = freshPool()
  const { url, commit } = place.repository([
    { path: 'README.md', content: 'hello\n' },
    { path: 'bin/run', content: '#!/bin/sh\n', mode: '100755' },
    { path: 'link', content: 'README.md', mode: '120000' },
  ])
  const first = await lease(pool, 'run_1', { repo: url })
  const { start_sha, base_sha, base_ref, branch } = first
  assert.deepEqual(
    { start_sha, base_sha, base_ref, branch },
    { start_sha: commit, base_sha: commit, base_ref: 'main', branch: 'main' },
  )
  assert.equal(readFileSync(join(first.work, 'link'), 'utf8'), 'hello\n')
  assert.equal(statSync(join(first.work, 'bin/run')).mode & 0o111, 0o111 & ~process.umask())
  assert.equal(theirs(first.work, 'status', '--porcelain'), '')
  assert.equal(
    theirs(first.work, 'log', '-1', '--format=%H %D'),
    `${commit} HEAD -> main, tag: v1, origin/main, origin/feature/+x, origin/HEAD`,
  )
  assert.equal(theirs(first.work, 'fsck', '--connectivity-only'), '')
  assert.deepEqual(await lease(pool, 'run_1', { repo: url }), first)
  assert.deepEqual(pool.of('run_1'), first)
  assert.deepEqual(pool.runs(), ['run_1'])
  assert.equal(await reasonOf(lease(pool, 'run_1', { repo: place.repository().url })), 'workspace')
  writeFileSync(join(first.work, 'README.md'), 'changed\n')
  await pool.release('run_1')
  await pool.release('run_1')
  assert.equal(pool.of('run_1'), undefined)
  await pool.settled()
  const fetched = fetches()
  const second = await lease(pool, 'run_2', { repo: url, branch: 'errand/new' })
  assert.equal(second.work, first.work)
  assert.equal(fetches(), fetched, 'nothing was fetched again')
  assert.equal(readFileSync(join(second.work, 'README.md'), 'utf8'), 'hello\n')
  assert.equal(theirs(second.work, 'status', '--porcelain', '--branch'), '## errand/new')
  await pool.close()
})

test('new commits of the server are there, and an existing branch is continued', async () => {
  const pool = freshPool()
  const { url, folder, commit } = place.repository()
  await lease(pool, 'run_1', { repo: url })
  const next = place.commit(folder, 'main', 'more.txt', 'more\n')
  const taken = place.commit(folder, 'work', 'work.txt', 'work\n')
  const on = await lease(pool, 'run_2', { repo: url, branch: 'work' })
  assert.deepEqual([on.base_sha, on.start_sha, on.branch], [next, taken, 'work'])
  assert.ok(existsSync(join(on.work, 'work.txt')))
  for (const [ref, sha] of [
    ['v1', commit],
    [commit, commit],
    ['feature/+x', commit],
    ['main', next],
  ] as const) {
    const run_id = `run_${ref}`
    const found = await lease(pool, run_id, { repo: url, ref })
    assert.equal(found.base_sha, sha, ref)
    assert.equal(theirs(found.work, 'rev-parse', 'HEAD'), sha)
  }
  await pool.close()
})

test('twenty simultaneous runs get twenty checkouts with one fetch', async () => {
  const pool = freshPool()
  const { url } = place.repository()
  const all = await Promise.all(Array.from({ length: 20 }, (_, n) => lease(pool, `run_${n}`, { repo: url })))
  assert.equal(new Set(all.map(({ work }) => work)).size, 20)
  // One conversation: the available refs, then the commits.
  assert.ok(fetches() <= 3, String(fetches()))
  for (const { work } of all) assert.equal(theirs(work, 'status', '--porcelain'), '')
  await pool.close()
})

test('no copy serves another tenant or credential, and the server must admit each', async () => {
  const pool = freshPool()
  const { url } = place.repository()
  const password = 'the token'
  place.host.intercept = needsLogin({ username: 'x-access-token', password })
  const mine = { scope: 'hub:GIT_TOKEN', token: password }
  const first = await lease(pool, 'run_1', { repo: url }, { credential: mine })
  assert.equal(await reasonOf(lease(pool, 'run_2', { repo: url })), 'repo_auth')
  assert.equal(await reasonOf(lease(pool, 'run_3', { repo: url }, { tenant: 'other' })), 'repo_auth')
  const wrong = { ...mine, token: 'taken back' }
  assert.equal(await reasonOf(lease(pool, 'run_4', { repo: url }, { credential: wrong })), 'repo_auth')
  const second = await lease(pool, 'run_5', { repo: url }, { credential: mine })
  assert.equal(second.mirror, first.mirror)
  const theirCopy = await lease(pool, 'run_6', { repo: url }, { tenant: 'other', credential: mine })
  const otherName = await lease(pool, 'run_7', { repo: url }, { credential: { ...mine, scope: 'hub:OTHER' } })
  assert.equal(new Set([first.mirror, theirCopy.mirror, otherName.mirror]).size, 3)
  await pool.release('run_1')
  await pool.settled()
  const next = await lease(pool, 'run_8', { repo: url }, { tenant: 'other', credential: mine })
  assert.notEqual(next.work, first.work)
  const found = spawnSync('grep', ['-rl', password, join(place.dir, 'pool')], { encoding: 'utf8' })
  assert.deepEqual([found.status, found.stdout], [1, ''], 'no file contains the token')
  await pool.close()
})

test('an unavailable repository has its reason, and leaves no slot in use', async () => {
  const pool = freshPool({ retries: 0 })
  const { url } = place.repository()
  const cases: [Parameters<typeof lease>[2], string][] = [
    [{ repo: `${place.host.origin()}/gone.git` }, 'repo_not_found'],
    [{ repo: url, ref: 'gone' }, 'base_missing'],
    [{ repo: url, ref: '--upload-pack=id' }, 'base_missing'],
    [{ repo: url, branch: '../../up' }, 'base_missing'],
    [{ repo: url, ref: '0'.repeat(40) }, 'base_missing'],
    [{ repo: 'https://me:secret@example.org/r.git' }, 'repo_refused'],
  ]
  for (const [ask, reason] of cases)
    assert.equal(await reasonOf(lease(pool, 'run_1', ask)), reason, JSON.stringify(ask))
  const full = freshPool({ limits: { minFreeBytes: Number.MAX_SAFE_INTEGER } })
  assert.equal(await reasonOf(lease(full, 'run_1', { repo: url })), 'disk_full')
  place.host.intercept = (_path, response) => {
    response.writeHead(502).end()
    return true
  }
  assert.equal(await reasonOf(lease(pool, 'run_1', { repo: url })), 'host_unreachable')
  await Promise.all([pool.settled(), full.settled()])
  assert.deepEqual(
    [...pool.slots(), ...full.slots()].filter(({ state }) => state !== 'free'),
    [],
  )
  await Promise.all([pool.close(), full.close()])
})

test('if all slots are in use a run waits, a finished run makes room, and the longest unused slot goes', async () => {
  const pool = freshPool({ limits: { slots: 1 } })
  const one = place.repository()
  const other = place.repository()
  const first = await lease(pool, 'run_1', { repo: one.url })
  const reported: string[] = []
  const waiting = lease(pool, 'run_2', { repo: other.url }, { report: (message) => reported.push(message) })
  await until(() => reported.some((message) => /All 1 workspaces .* in use/.test(message)))
  const stop = new AbortController()
  const leased = lease(pool, 'run_3', { repo: other.url }, { signal: stop.signal })
  stop.abort()
  await assert.rejects(leased, { name: 'AbortError' })
  await pool.release('run_1')
  const second = await waiting
  assert.notEqual(second.work, first.work)
  assert.equal(existsSync(first.work), false)
  pool.keep('run_2')
  assert.equal(pool.of('run_2')?.work, second.work)
  const third = await lease(pool, 'run_4', { repo: one.url })
  assert.equal(pool.of('run_2'), undefined)
  assert.equal(existsSync(second.work), false)
  assert.deepEqual(pool.runs(), ['run_4'])
  await pool.release('run_4')
  await pool.settled()
  assert.equal(pool.slots()[0]?.slot_path, third.work)
  await pool.close()
})

test('only a few checkouts of a repository are saved for finished runs, and the next run gets the oldest', async () => {
  const pool = freshPool()
  const { url } = place.repository()
  const runs = ['a', 'b', 'c', 'd', 'e']
  const works: string[] = []
  for (const run of runs) works.push((await lease(pool, run, { repo: url })).work)
  for (const run of runs) pool.keep(run)
  await pool.settled()
  assert.deepEqual(pool.runs().sort(), ['b', 'c', 'd', 'e'])
  assert.equal((await lease(pool, 'f', { repo: url })).work, works[0])
  await pool.close()
})

test('data over the space limit or too old is removed once nobody uses it', async () => {
  const pool = freshPool({ limits: { bytes: 256 * 1024 } })
  const { url } = place.repository([{ path: 'big', content: 'x'.repeat(200 * 1024) }])
  const { mirror } = await lease(pool, 'run_1', { repo: url })
  const other = await lease(pool, 'run_2', {
    repo: place.repository([{ path: 'big', content: 'y'.repeat(100 * 1024) }]).url,
  })
  await pool.release('run_1')
  await pool.settled()
  await pool.release('run_2')
  await pool.settled()
  assert.equal(pool.slots().length, 1)
  assert.equal(pool.slots()[0]?.slot_path, other.work)
  await pool.close()
  const old = place.pool({ limits: { ageMs: -1 } })
  await lease(old, 'run_3', { repo: url })
  await old.release('run_3')
  await old.settled()
  assert.deepEqual(old.slots(), [])
  assert.equal(existsSync(mirror), false)
  await old.close()
})

test('a mirror shares no file with a slot, and nothing in a slot affects it or our own repository', async () => {
  const pool = freshPool()
  const { url, commit } = place.repository()
  const { work, mirror, own_git } = await lease(pool, 'run_1', { repo: url })
  const inodes = (folder: string) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => lstatSync(join(entry.parentPath, entry.name)).ino)
  const mirrors = new Set(inodes(mirror))
  assert.equal(
    [...inodes(work), ...inodes(own_git)].some((inode) => mirrors.has(inode)),
    false,
  )
  theirs(work, 'commit', '--allow-empty', '-qm', 'mine')
  theirs(work, 'tag', 'mine')
  theirs(work, 'update-ref', '-d', 'refs/remotes/origin/main')
  assert.equal(run(mirror, ['for-each-ref', '--format=%(refname)']).includes('mine'), false)
  assert.equal(run(own_git, ['rev-parse', 'HEAD']), commit)
  await pool.close()
})

test('leased checkouts survive a restart, and anything half done after a kill is recreated', async () => {
  const pool = freshPool()
  const { url, commit } = place.repository()
  const stored = await lease(pool, 'run_kept', { repo: url })
  writeFileSync(join(stored.work, 'mine'), 'mine')
  for (const phase of ['preparing', 'resetting']) {
    const { work } = await lease(pool, `run_${phase}`, { repo: url })
    writeFileSync(join(work, 'theirs'), 'theirs')
    const file = join(work, '../state.json')
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), phase }))
    writeFileSync(join(work, '../own.git/index.lock'), '')
  }
  const { work: cut } = await lease(pool, 'run_cut', { repo: url })
  writeFileSync(join(cut, '../state.json'), '{"pha')
  writeFileSync(join(stored.mirror, 'HEAD.lock'), '')
  writeFileSync(join(stored.mirror, 'objects/pack/tmp_pack_x'), 'x')
  await pool.close()
  const again = place.pool()
  await again.settled()
  assert.deepEqual(again.runs(), ['run_kept'])
  assert.deepEqual(again.of('run_kept'), stored)
  assert.equal(readFileSync(join(stored.work, 'mine'), 'utf8'), 'mine')
  assert.deepEqual(
    again
      .slots()
      .map(({ state }) => state)
      .sort(),
    ['free', 'free', 'ready'],
  )
  for (const n of [1, 2]) {
    const { work } = await lease(again, `run_${n}`, { repo: url })
    assert.deepEqual(readdirSync(work).sort(), ['.git', 'README.md'])
    assert.equal(theirs(work, 'rev-parse', 'HEAD'), commit)
  }
  assert.equal(existsSync(join(stored.mirror, 'objects/pack/tmp_pack_x')), false)
  await again.close()
})

test('a runner killed during a fetch leaves nothing running, and the next one fetches', async () => {
  const pool = freshPool()
  await pool.close()
  const { url, commit } = place.repository()
  let isHeld = false
  place.host.intercept = (path, response) => {
    if (!path.endsWith('/git-upload-pack')) return false
    isHeld = true
    response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' }).write('0')
    return true
  }
  const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)
  const script = `
    const { WorkspacePool } = await import(${module('./workspace-pool.ts')})
    const { AllowedOrigins } = await import(${module('../git/server-addresses.ts')})
    const allow = new AllowedOrigins(${JSON.stringify(place.host.origin())}, 'X')
    const policy = { allow, variable: 'X', lookup: async () => ['127.0.0.1'], folders: [] }
    const pool = new WorkspacePool({ dir: ${JSON.stringify(join(place.dir, 'pool'))}, policy })
    const context = { signal: new AbortController().signal, report() {} }
    await pool.lease({ run_id: 'run_1', tenant: 't' }, { repo: ${JSON.stringify(url)} }, { scope: 'none' }, context)
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
  const exited = once(child, 'exit')
  await until(() => isHeld)
  child.kill('SIGKILL')
  await exited
  place.host.intercept = () => false
  const again = place.pool()
  await again.settled()
  assert.deepEqual(again.runs(), [])
  const { start_sha, mirror } = await lease(again, 'run_1', { repo: url })
  assert.equal(start_sha, commit)
  assert.equal(run(mirror, ['fsck', '--connectivity-only']), '')
  await again.close()
})

test('shallow clones, shallow repositories and SHA-256 repositories are checked out', async () => {
  const pool = freshPool()
  const { url, folder } = place.repository()
  for (const n of [1, 2, 3]) place.commit(folder, 'main', `f${n}`, 'x')
  const few = await lease(pool, 'run_few', { repo: url, depth: 2 })
  assert.equal(theirs(few.work, 'rev-list', '--count', 'HEAD'), '2')
  assert.equal(theirs(few.work, 'status', '--porcelain'), '')
  const whole = await lease(pool, 'run_whole', { repo: url })
  assert.equal(theirs(whole.work, 'rev-list', '--count', 'HEAD'), '4')
  await pool.release('run_few')
  await pool.settled()
  assert.equal(pool.slots().length, 2)
  const shallow = join(place.dir, 'server/shallow.git')
  run(place.dir, ['clone', '--quiet', '--bare', '--depth=1', `file://${folder}`, shallow])
  const edge = await lease(pool, 'run_edge', { repo: `${place.host.origin()}/shallow.git` })
  assert.equal(theirs(edge.work, 'rev-list', '--count', 'HEAD'), '1')
  const wide = join(place.dir, 'server/wide.git')
  run(place.dir, ['init', '--quiet', '--bare', '--object-format=sha256', '--initial-branch=main', wide])
  run(
    wide,
    ['fast-import', '--quiet'],
    'commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 1\nm\nM 100644 inline a\ndata 1\nx\n\n',
  )
  const found = await lease(pool, 'run_wide', { repo: `${place.host.origin()}/wide.git` })
  assert.equal(found.start_sha.length, 64)
  assert.equal(theirs(found.work, 'status', '--porcelain'), '')
  await pool.close()
})

test('a workspace that cannot be removed is left in place and reported', async () => {
  const logged: string[] = []
  const pool = freshPool({ log: (line) => logged.push(line) })
  const { url } = place.repository()
  const first = await lease(pool, 'run_1', { repo: url })
  // Imitates a disk that has become read-only: nothing can be moved there.
  const trash = join(place.dir, 'pool/trash')
  rmSync(trash, { recursive: true })
  writeFileSync(trash, '')
  rmSync(first.work, { recursive: true })
  await pool.release('run_1')
  await pool.settled()
  assert.match(logged.join('\n'), /The workspace \S+ stays on the disk: ENOTDIR/)
  const second = await lease(pool, 'run_2', { repo: url })
  assert.notEqual(second.work, first.work)
  await pool.close()
})
