import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { attemptSpec, command, endOf, textOf } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { needsLogin, run } from '../../../test/support/sources/git-fixture.ts'
import { poolPlace } from '../../../test/support/workspaces/pool-fixture.ts'
import { builtinActionRegistry } from '../../actions/registry.ts'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import type { PlatformContext } from '../platform-steps/platform-step.ts'
import type { Attempts } from '../ports.ts'
import type { SlotFolders } from './requested-slot.ts'
import { gitCheckStep, gitWorkspaceStep } from './steps.ts'

const skip = sandboxMissing()
const place = await poolPlace()
after(() => place.close())
const pool = place.pool()
after(() => pool.close())

const opened = (
  here: ReturnType<typeof boxPlace>,
  fetchArtifact?: PlatformContext['fetchArtifact'],
  slotFolders?: SlotFolders,
): Attempts =>
  here.open({
    registry: builtinActionRegistry,
    checkouts: pool,
    async platformStep(action) {
      if (action === 'git.check') return gitCheckStep(place.policy)
      const step = gitWorkspaceStep(pool, {
        policy: place.policy,
        slotFolders,
        joinTips: () => Promise.reject(new Error('nothing is joined')),
      })
      if (fetchArtifact === undefined) return step
      return { run: (context) => step.run(Object.assign(Object.create(context), { fetchArtifact })) }
    },
  })

const workspace = (run_id: string, args: object, more: Partial<AttemptSpec> = {}) =>
  attemptSpec('git.workspace', args, { run_id, ...more })
const check = (args: object, more: Partial<AttemptSpec> = {}) => attemptSpec('git.check', args, more)

async function endsWith(
  attempts: Attempts,
  spec: AttemptSpec,
  secrets?: Record<string, string>,
): Promise<AttemptEnd> {
  return await endOf(await attempts.start(spec, 1, secrets))
}
async function outputOf(attempts: Attempts, run_id: string, cmd: string): Promise<string> {
  const attempt = await attempts.start(command(cmd, { run_id }), 1)
  await endOf(attempt)
  return (await textOf(attempt)).trim()
}

test('a check reports base and branch, and first refuses what could not be pushed', async () => {
  using here = boxPlace()
  const attempts = opened(here)
  const { url, folder, commit } = place.repository()
  const plain = await endsWith(attempts, check({ repo: url, branch: 'errand/a', write: true }))
  assert.deepEqual(plain.exports, {
    BASE_REF: 'main',
    BASE_SHA: commit,
    DEFAULT_BRANCH: 'main',
    BRANCH: 'errand/a',
    BRANCH_SHA: '',
  })
  const other = place.commit(folder, 'errand/a', 'x', 'x')
  const beside = await endsWith(attempts, check({ repo: url, branch: 'errand/a' }))
  assert.deepEqual([beside.exports?.BRANCH, beside.exports?.BRANCH_SHA], ['errand/a-2', ''])
  const reused = await endsWith(attempts, check({ repo: url, branch: 'errand/a', on_branch: 'reuse' }))
  assert.equal(reused.exports?.BRANCH_SHA, other)
  const tree = run(folder, ['rev-parse', 'errand/a^{tree}'])
  const ours = run(folder, ['commit-tree', tree, '-p', other], 'done\n\nErrand-Task: task_1\n')
  run(folder, ['update-ref', 'refs/heads/errand/a', ours])
  for (const [task, branch] of [
    ['task_1', 'errand/a'],
    ['task_2', 'errand/a-2'],
  ]) {
    const found = await endsWith(attempts, check({ repo: url, branch: 'errand/a', task }))
    assert.equal(found.exports?.BRANCH, branch)
  }
  const secrets = { GIT_TOKEN: { from: 'hub', name: 'FORGE', as: 'env' } } as const
  const password = 'a token of twenty letters'
  const locked = (
    path: string,
    ...rest: Parameters<typeof place.host.intercept> extends [string, ...infer R] ? R : never
  ) =>
    path.includes('receive-pack')
      ? rest[0].writeHead(403).end().writableEnded
      : needsLogin({ username: 'x-access-token', password })(path, ...rest)
  place.host.intercept = locked
  const cases: [object, Record<string, string>, string][] = [
    [{ repo: url }, { GIT_TOKEN: 'wrong' }, 'repo_auth'],
    [{ repo: url, write: true }, { GIT_TOKEN: password }, 'push_denied'],
    [{ repo: url, branch: 'main' }, { GIT_TOKEN: password }, 'branch_taken'],
    [{ repo: url, branch: 'a..b' }, { GIT_TOKEN: password }, 'branch_taken'],
    [{ repo: url, branch: 'feature' }, { GIT_TOKEN: password }, 'branch_taken'],
    [{ repo: url, ref: 'gone' }, { GIT_TOKEN: password }, 'base_missing'],
    [{ repo: 'https://10.1.2.3/x' }, { GIT_TOKEN: password }, 'repo_refused'],
  ]
  for (const [args, values, reason] of cases) {
    const end = await endsWith(attempts, check(args, { secrets }), values)
    assert.deepEqual([end.outcome, end.reason], ['failed', reason], end.message)
    assert.equal(end.message?.includes(password), false)
  }
  place.host.intercept = () => false
  await attempts.close()
})

test("a run's steps work in its checkout, in the box, with the mirror read-only and none of our files visible", {
  skip,
}, async () => {
  using here = boxPlace({ hidden: [place.dir] })
  const attempts = opened(here)
  const { url, commit } = place.repository()
  const { exports: reported } = await endsWith(
    attempts,
    workspace('run_a', { repo: url, branch: 'errand/a' }),
  )
  const { SLOT_PATH = '', START_SHA, BASE_REF } = reported ?? {}
  assert.deepEqual([START_SHA, BASE_REF], [commit, 'main'])
  const { mirror, own_git, work } = pool.of('run_a')!
  assert.equal(SLOT_PATH, work)
  assert.equal(
    await outputOf(attempts, 'run_a', 'pwd; git status --short --branch; git log --format=%s'),
    `${work}\n## errand/a\nm`,
  )
  assert.equal(
    await outputOf(
      attempts,
      'run_a',
      `touch ${mirror}/x 2>&1 | grep -o 'Read-only'; ls ${own_git} 2>&1 | grep -o 'No such'`,
    ),
    'Read-only\nNo such',
  )
  assert.equal(
    await outputOf(attempts, 'run_a', `ls ${join(place.dir, 'pool')} ${join(place.dir, 'pool/slots')}`).then(
      (text) => text.includes('state.json'),
    ),
    false,
  )
  assert.equal(
    await outputOf(
      attempts,
      'run_a',
      'echo x > new; git add new; git commit -qm mine; git rev-list --count HEAD; git fsck 2>&1',
    ),
    '2',
  )
  const again = await endsWith(attempts, workspace('run_a', { repo: url, branch: 'errand/a' }))
  assert.deepEqual(again.exports, reported)
  assert.equal(existsSync(join(work, 'new')), true)
  assert.deepEqual(attempts.runs(), ['run_a'])
  await attempts.forgetRun('run_a')
  assert.deepEqual(attempts.runs(), [])
  await pool.settled()
  assert.equal(existsSync(join(work, 'new')), false)
  await attempts.close()
})

test('an existing branch is rebased in the box, and a conflict names each file', {
  skip,
}, async () => {
  using here = boxPlace({ hidden: [place.dir] })
  const attempts = opened(here)
  const { url, folder } = place.repository()
  place.commit(folder, 'work', 'work.txt', 'work\n')
  place.commit(folder, 'clash', 'same.txt', 'theirs\n')
  place.commit(folder, 'clash', 'other.txt', 'theirs\n')
  const base = place.commit(folder, 'main', 'same.txt', 'ours\n')
  place.commit(folder, 'main', 'other.txt', 'ours\n')
  const { exports: reported, message } = await endsWith(
    attempts,
    workspace('run_r', { repo: url, branch: 'work', rebase: true }),
  )
  assert.equal(message, undefined)
  const found = pool.of('run_r')!
  assert.equal(reported?.START_SHA, found.start_sha)
  assert.equal(
    await outputOf(
      attempts,
      'run_r',
      'git status --short; git rev-parse HEAD; git rev-list --count HEAD; cat work.txt same.txt',
    ),
    `${found.start_sha}\n4\nwork\nours`,
  )
  assert.equal(run(found.own_git, ['merge-base', '--all', base, found.start_sha]), base)
  await attempts.forgetRun('run_r')
  await pool.settled()
  const conflict = await endsWith(attempts, workspace('run_c', { repo: url, branch: 'clash', rebase: true }))
  assert.equal(conflict.reason, 'conflict')
  assert.match(conflict.message!, /"clash" conflicts with "main" in "same.txt"/)
  assert.equal(pool.of('run_c'), undefined)
  await pool.settled()
  assert.deepEqual(
    pool.slots().filter(({ state }) => state !== 'free'),
    [],
  )
  await attempts.close()
})

/** Makes a repository whose commit has submodules at those paths, with these addresses. */
function withSubmodules(modules: Record<string, { url: string; sha: string }>) {
  const made = place.repository()
  const clone = mkdtempSync(join(place.dir, 'super-'))
  run(clone, ['clone', '-q', made.folder, '.'])
  let text = ''
  for (const [path, { url, sha }] of Object.entries(modules)) {
    text += `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`
    run(clone, ['update-index', '--add', '--cacheinfo', `160000,${sha},${path}`])
  }
  writeFileSync(join(clone, '.gitmodules'), text)
  run(clone, ['add', '.gitmodules'])
  run(clone, ['commit', '-q', '-m', 'modules'])
  run(clone, ['push', '-q', made.folder, 'HEAD:main'])
  return { ...made, commit: run(clone, ['rev-parse', 'HEAD']) }
}
const nameOf = (url: string) => url.split('/').at(-1)!

test('nested submodules are there before anybody works, and the next run finds nothing of them', {
  skip,
}, async () => {
  using here = boxPlace({ hidden: [place.dir] })
  const attempts = opened(here)
  const inner = place.repository([{ path: 'inner.txt', content: 'inner\n' }])
  const sub = withSubmodules({ deep: { url: `../${nameOf(inner.url)}`, sha: inner.commit } })
  const { url } = withSubmodules({
    'libs/one': { url: sub.url, sha: sub.commit },
    two: { url: `../${nameOf(inner.url)}`, sha: inner.commit },
  })
  const { message } = await endsWith(attempts, workspace('run_sub', { repo: url, submodules: true }))
  assert.equal(message, undefined)
  const { work } = pool.of('run_sub')!
  assert.equal(
    await outputOf(
      attempts,
      'run_sub',
      'cat libs/one/deep/inner.txt two/inner.txt; git status --short; git -C two log --format=%s',
    ),
    'inner\ninner\nm',
  )
  await attempts.forgetRun('run_sub')
  await pool.settled()
  assert.deepEqual([existsSync(join(work, 'two')), existsSync(join(work, 'two/inner.txt'))], [true, false])
  const without = await endsWith(attempts, workspace('run_plain', { repo: url }))
  assert.equal(without.message, undefined)
  assert.equal(
    await outputOf(attempts, 'run_plain', 'ls two libs/one; git status --short'),
    'libs/one:\n\ntwo:',
  )
  await attempts.forgetRun('run_plain')
  await attempts.close()
})

test('a submodule is fetched by the rules of repositories, and no other server or owner gets the token', async () => {
  using here = boxPlace()
  const attempts = opened(here)
  const inner = place.repository()
  const seen: (string | undefined)[] = []
  const secrets = { GIT_TOKEN: { from: 'hub', name: 'FORGE', as: 'env' } } as const
  for (const [address, reason] of [
    ['file:///etc', 'repo_refused'],
    ['ext::sh -c touch% /tmp/x', 'repo_refused'],
    ['--upload-pack=touch /tmp/x', 'repo_refused'],
    ['https://ann:secret@git.example/o/r', 'repo_refused'],
    ['http://10.1.2.3/o/r', 'repo_refused'],
    ['git@git.example:o/r.git', 'repo_refused'],
    [`../gone.git`, 'repo_not_found'],
  ]) {
    const { url } = withSubmodules({ two: { url: address!, sha: inner.commit } })
    const end = await endsWith(attempts, workspace('run_bad', { repo: url, submodules: true }))
    assert.deepEqual([address, end.reason], [address, reason], end.message)
    assert.match(end.message!, /^The submodule "two"/)
    assert.equal(pool.of('run_bad'), undefined)
  }
  const { url } = withSubmodules({ two: { url: inner.url, sha: '1'.repeat(40) } })
  assert.equal(
    (await endsWith(attempts, workspace('run_bad', { repo: url, submodules: true }))).reason,
    'base_missing',
  )
  const other = withSubmodules({ two: { url: inner.url, sha: inner.commit } })
  place.host.intercept = (path, _response, { headers }) => {
    if (path.includes(nameOf(inner.url))) seen.push(headers.authorization)
    return false
  }
  const args = { repo: other.url, submodules: true }
  await endsWith(attempts, workspace('run_tok', args, { secrets }), {
    GIT_TOKEN: 'a token of twenty letters',
  })
  place.host.intercept = () => false
  // All repositories of this server are at its root: each is a separate owner.
  assert.ok(seen.length > 0 && seen.every((each) => each === undefined))
  await attempts.forgetRun('run_tok')
  const ours = (folder: string, name: string) => {
    cpSync(folder, join(place.dir, 'server/o', name), { recursive: true })
    return `${place.host.origin()}/o/${name}`
  }
  const near = withSubmodules({ two: { url: ours(inner.folder, 'sub.git'), sha: inner.commit } })
  const password = 'a token of twenty letters'
  place.host.intercept = needsLogin({ username: 'x-access-token', password })
  const request = workspace(
    'run_own',
    { repo: ours(near.folder, 'super.git'), submodules: true },
    { secrets },
  )
  const end = await endsWith(attempts, request, { GIT_TOKEN: password })
  place.host.intercept = () => false
  assert.equal(end.message, undefined)
  await attempts.forgetRun('run_own')
  await attempts.close()
})

test('Git LFS files are there, checked, and stay pointers for the repository', { skip }, async () => {
  using here = boxPlace({ hidden: [place.dir] })
  const attempts = opened(here)
  const content = Buffer.from('the large file\n')
  const oid = createHash('sha256').update(content).digest('hex')
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${content.length}\n`
  const { url } = place.repository([
    { path: '.gitattributes', content: '*.bin filter=lfs diff=lfs merge=lfs -text\n' },
    { path: 'a/big.bin', content: pointer },
    { path: 'fixture.txt', content: pointer },
  ])
  const password = 'a token of twenty letters'
  const withSecret = { secrets: { GIT_TOKEN: { from: 'hub', name: 'FORGE', as: 'env' } } } as const
  let served: { body?: Buffer; batch?: object | string; status?: number } = {}
  const requests: string[] = []
  place.host.intercept = (path, response, { method, headers }) => {
    if (path.endsWith('/info/lfs/objects/batch')) {
      requests.push(`${method} ${headers.authorization?.slice(0, 5)}`)
      const href = `${place.host.origin()}/lfs/${oid}`
      const own = { objects: [{ oid, size: 1, actions: { download: { href, header: { 'x-key': 'k' } } } }] }
      const answer = served.batch ?? own
      response
        .writeHead(served.status ?? 200)
        .end(typeof answer === 'string' ? answer : JSON.stringify(answer))
      return true
    }
    if (!path.startsWith('/lfs/')) return false
    requests.push(`${headers['x-key']} ${headers.authorization}`)
    response.end(served.body ?? content)
    return true
  }
  const begin = (run_id: string, lfs = true) =>
    endsWith(attempts, workspace(run_id, { repo: url, lfs }, withSecret), { GIT_TOKEN: password })
  const { message } = await begin('run_lfs')
  assert.equal(message, undefined)
  assert.deepEqual(requests, ['POST Basic', 'k undefined'])
  const cat =
    'cat a/big.bin; git status --short; head -c 7 fixture.txt; echo x >> a/big.bin; git add -A; git status --short'
  assert.equal(await outputOf(attempts, 'run_lfs', cat), 'the large file\nversion')
  await attempts.forgetRun('run_lfs')
  assert.equal((await begin('run_pointers', false)).message, undefined)
  assert.equal(await outputOf(attempts, 'run_pointers', 'head -c 7 a/big.bin; git status --short'), 'version')
  await attempts.forgetRun('run_pointers')
  const at = (href: string) => ({ objects: [{ oid, actions: { download: { href } } }] })
  for (const [bad, reason] of [
    [{ body: Buffer.from('the LARGE file\n') }, 'base_missing'],
    [{ body: Buffer.from('short') }, 'base_missing'],
    [{ body: Buffer.alloc(100_000) }, 'base_missing'],
    [{ batch: { objects: [{ oid, error: { code: 404, message: 'gone' } }] } }, 'base_missing'],
    [{ batch: at('http://10.1.2.3/x') }, 'repo_refused'],
    [{ batch: at('file:///etc/passwd') }, 'repo_refused'],
    [{ status: 404 }, 'repo_not_found'],
    [{ status: 401 }, 'repo_auth'],
  ] as const) {
    served = bad
    const end = await begin('run_bad')
    assert.deepEqual([bad, end.reason], [bad, reason], end.message)
    assert.equal(pool.of('run_bad'), undefined)
  }
  place.host.intercept = () => false
  await attempts.close()
})

test('a foreign checkout is used as it is, by one run at a time, and stays', { skip }, async (t) => {
  using here = boxPlace()
  const slots = mkdtempSync(join(tmpdir(), 'errand-slots-'))
  t.after(() => rmSync(slots, { recursive: true, force: true }))
  const attempts = opened(here, undefined, { allowed: [slots], own: [join(slots, 'own')] })
  const { url, folder, commit } = place.repository()
  for (const name of ['a', 'ahead', 'own/b']) run(slots, ['clone', '-q', folder, name])
  run(join(slots, 'ahead'), ['commit', '-q', '--allow-empty', '-m', 'only here'])
  mkdirSync(join(slots, 'empty'))
  symlinkSync(folder, join(slots, 'link'))
  const slot_path = join(slots, 'a')
  writeFileSync(join(slot_path, 'mine'), 'mine')
  const { exports: reported, message } = await endsWith(
    attempts,
    workspace('run_s', { repo: url, slot_path }),
  )
  assert.deepEqual([message, reported?.SLOT_PATH, reported?.START_SHA], [undefined, slot_path, commit])
  assert.equal(await outputOf(attempts, 'run_s', 'cat mine; pwd; echo left > left'), `mine${slot_path}`)
  const taken = await endsWith(attempts, workspace('run_t', { repo: url, slot_path }))
  assert.deepEqual([taken.reason, taken.message?.includes('in use by run_s')], ['workspace', true])
  await attempts.forgetRun('run_s')
  await pool.settled()
  for (const name of ['mine', 'left', '.git/HEAD']) assert.ok(existsSync(join(slot_path, name)), name)
  for (const [path, reason] of [
    ['ahead', 'base_missing'],
    ...['empty', 'own/b', 'link', 'gone', '../x'].map((each) => [each, 'workspace']),
  ] as [string, string][]) {
    const end = await endsWith(attempts, workspace('run_u', { repo: url, slot_path: join(slots, path) }))
    assert.deepEqual([path, end.reason], [path, reason], end.message)
  }
  const again = await endsWith(attempts, workspace('run_v', { repo: url, slot_path }))
  assert.equal(again.message, undefined)
  await attempts.forgetRun('run_v')
  await attempts.close()
})

test("an earlier try's work is applied from its stored pack", async () => {
  using here = boxPlace()
  const { url, folder, commit } = place.repository()
  const tip = place.commit(folder, 'try', 'made.txt', 'made\n')
  const pack = join(here.path, 'kept.pack')
  writeFileSync(
    pack,
    execFileSync('git', ['pack-objects', '--revs', '--thin', '--stdout', '-q'], {
      cwd: folder,
      input: `${tip}\n^${commit}\n`,
    }),
  )
  run(folder, ['update-ref', '-d', 'refs/heads/try'])
  let isCut = false
  const attempts = opened(here, async (run_id, artifact_id, file) => {
    assert.deepEqual([run_id, artifact_id], ['run_old', 'artifact_1'])
    const bytes = readFileSync(pack)
    writeFileSync(file, isCut ? bytes.subarray(0, 60) : bytes)
  })
  const checkpoint = { start: commit, tip, artifact_id: 'artifact_1', run_id: 'run_old' }
  const args = { repo: url, branch: 'errand/x', checkpoint }
  const { exports: reported, message } = await endsWith(attempts, workspace('run_k', args))
  assert.deepEqual([message, reported?.START_SHA], [undefined, commit])
  const { work } = pool.of('run_k')!
  assert.equal(readFileSync(join(work, 'made.txt'), 'utf8'), 'made\n')
  const seen = execFileSync('git', ['log', '-1', '--format=%H %D'], { cwd: work, encoding: 'utf8' })
  assert.equal(seen.trim(), `${tip} HEAD -> errand/x`)
  await attempts.forgetRun('run_k')
  await pool.settled()
  assert.equal(existsSync(join(work, 'made.txt')), false)
  isCut = true
  const cut = await endsWith(attempts, workspace('run_l', args))
  assert.equal(cut.reason, 'workspace')
  assert.equal(pool.of('run_l'), undefined)
  const foreign = { ...checkpoint, tip: commit.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) }
  isCut = false
  assert.equal(
    (await endsWith(attempts, workspace('run_m', { ...args, checkpoint: foreign }))).reason,
    'workspace',
  )
  await attempts.close()
})
