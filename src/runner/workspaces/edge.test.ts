import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { run } from '../../../test/support/sources/git-fixture.ts'
import { anyone, lease, poolPlace } from '../../../test/support/workspaces/pool-fixture.ts'
import { openRemote } from '../git/remote.ts'
import type { WorkspacePool } from './workspace-pool.ts'

const place = await poolPlace()
after(() => place.close())
const { signal } = new AbortController()

/** Makes a repository whose branches `main` and `work` have diverged by so many commits; returns the last of each. */
function apart(count: number, content = (n: number) => `${n}`) {
  const { url, folder } = place.repository()
  const lines = ['main', 'work'].flatMap((branch) =>
    Array.from({ length: count }, (_, n) => {
      const from = n === 0 ? 'from refs/heads/feature/+x^0\n' : ''
      const text = content(n)
      return `commit refs/heads/${branch}\ncommitter A <a@example.org> ${n + 2} +0000\ndata 1\nm\n${from}M 100644 inline ${branch}\ndata ${text.length}\n${text}\n\n`
    }),
  )
  run(folder, ['fast-import', '--quiet', '--force'], lines.join(''))
  const [main, work] = ['main', 'work'].map((branch) => run(folder, ['rev-parse', branch]))
  return { url, folder, commits: [main!, work!] as const }
}

function opened(t: TestContext, more: Parameters<typeof place.pool>[0] = {}): WorkspacePool {
  const pool = place.pool(more)
  t.after(async () => {
    for (const run of pool.runs()) await pool.release(run)
    await pool.close()
  })
  return pool
}

async function withHistory(pool: WorkspacePool, url: string, commits: readonly [string, string]) {
  const remote = await openRemote({ url }, { policy: place.policy, folder: place.dir, signal })
  const ask = { sha: commits[0], apartFrom: [commits[1]], scope: anyone.scope }
  await pool.withCommit({ run_id: 'run_e', tenant: 't' }, remote, ask, { signal, report: () => undefined })
}

test('commits that a shallow checkout lacks are fetched up to the merge base, and no more', async (t) => {
  const pool = opened(t)
  const { url, folder, commits } = apart(120)
  const found = await lease(pool, 'run_e', { repo: url, ref: 'work', depth: 1 })
  assert.equal(run(found.own_git, ['rev-list', '--count', commits[1]]), '1')
  await withHistory(pool, url, commits)
  for (const repository of [found.own_git, join(found.work, '.git')]) {
    assert.equal(run(repository, ['rev-list', '--count', `${commits[0]}...${commits[1]}`]), '240')
    assert.equal(run(repository, ['merge-base', ...commits]), run(folder, ['merge-base', ...commits]))
  }
  const before = place.host.requests.length
  await withHistory(pool, url, commits)
  assert.equal(place.host.requests.length, before + 1)
  // Another run's shallow checkout, with its own edge, is unaffected.
  const other = await lease(pool, 'run_o', { repo: url, depth: 1 })
  run(other.own_git, ['fsck', '--connectivity-only', commits[0]])
})

test('a server that itself lacks the commits is reported, and a complete checkout requests nothing', async (t) => {
  const pool = opened(t)
  const { url, folder, commits } = apart(5)
  run(place.dir, [
    'clone',
    '-q',
    '--bare',
    '--depth=2',
    '--no-single-branch',
    `file://${folder}`,
    'server/cut',
  ])
  const cut = `${place.host.origin()}/cut`
  await lease(pool, 'run_e', { repo: cut })
  await assert.rejects(withHistory(pool, cut, commits), { reason: 'history_missing', hint: /unshallow/ })
  await pool.release('run_e')
  const whole = await lease(pool, 'run_e', { repo: url })
  const before = place.host.requests.length
  await withHistory(pool, url, commits)
  assert.equal(place.host.requests.length, before + 1)
  assert.equal(existsSync(join(whole.own_git, 'shallow')), false)
})

test('more commits than there is space for are not fetched', async (t) => {
  const pool = opened(t, { limits: { bytes: 64 * 1024 } })
  const { url, commits } = apart(300, () => randomBytes(600).toString('base64'))
  await lease(pool, 'run_e', { repo: url, depth: 1 })
  await assert.rejects(withHistory(pool, url, commits), { reason: 'disk_full', hint: /ERRAND_POOL_SPACE/ })
})
