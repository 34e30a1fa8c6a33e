import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { type GitReason, GitRefused } from '../../src/runner/git/git-words.ts'
import { policyFetch } from '../../src/runner/git/policy-fetch.ts'
import type { GitPolicy } from '../../src/runner/git/remote.ts'
import { AllowedOrigins } from '../../src/runner/git/server-addresses.ts'
import { DEFAULT_POOL_LIMITS } from '../../src/runner/workspaces/lease.ts'
import { placeLfsFiles } from '../../src/runner/workspaces/lfs-files.ts'
import { WorkspacePool } from '../../src/runner/workspaces/workspace-pool.ts'
import { Front } from '../support/outside/front.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import { throughManners } from '../support/outside/through-manners.ts'
import { anyone, poolPlace } from '../support/workspaces/pool-fixture.ts'

const SILENCE_MS = 1_000
const { signal } = new AbortController()

const policyFor = (...fronts: Front[]): GitPolicy => ({
  allow: new AllowedOrigins(fronts.map(({ host }) => `http://${host}`).join(','), 'ERRAND_GIT_ALLOW'),
  variable: 'ERRAND_GIT_ALLOW',
  lookup: async () => ['127.0.0.1'],
  folders: [],
  silenceMs: SILENCE_MS,
})

/** Checks that the refusal names the server and what it could not be used for. */
function checkRefusal(error: unknown, host: string): true {
  assert.ok(error instanceof GitRefused, String(error))
  assert.ok(error.message.includes(host), error.message)
  const reasons: GitReason[] = ['host_unreachable', 'repo_not_found', 'repo_refused']
  assert.ok(reasons.includes(error.reason), `${error.reason}: ${error.message}`)
  return true
}

test('a Git server fails in every way, at its first answer and in the middle of a pack', async (t) => {
  const place = await poolPlace()
  t.after(() => place.close())
  const { works } = await hubPlace(t)
  const fronts = {
    first: await Front.open(t, { behind: place.host.port }),
    // Branches and tags are listed as usual; the answer with the commits fails.
    pack: await Front.open(t, { behind: place.host.port, answersFrom: /x-git-upload-pack-result/i }),
  }
  const pool = new WorkspacePool({
    ...{ dir: join(place.dir, 'pool'), policy: policyFor(fronts.first, fronts.pack), retries: 0 },
    limits: { ...DEFAULT_POOL_LIMITS, minFreeBytes: 0 },
  })
  t.after(() => pool.close())
  const { folder, url } = place.repository()
  let count = 0
  const through = (front: Front) => {
    const repo = `http://${front.host}${new URL(url).pathname}`
    let content = ''
    const lease = async () => {
      const user = { run_id: `run_${++count}`, tenant: 'default' }
      const { work } = await pool.lease(user, { repo }, anyone, { signal, report: () => {} })
      const read = readFileSync(join(work, 'new.txt'), 'utf8')
      await pool.release(user.run_id)
      return read
    }
    return {
      front,
      works,
      async spoiled() {
        // Each time, there is something to fetch.
        content = `commit ${count}`
        place.commit(folder, 'main', 'new.txt', content)
        await assert.rejects(lease(), (error) => checkRefusal(error, front.host))
      },
      async mended() {
        assert.equal(await lease(), content)
      },
    }
  }
  await throughManners(t, 'git server', through(fronts.first))
  await throughManners(t, 'git server in a pack', through(fronts.pack))
})

test('a Git LFS server fails in every way, and only fetched files count as fetched', async (t) => {
  const place = await poolPlace()
  t.after(() => place.close())
  const { works } = await hubPlace(t)
  const front = await Front.open(t, { behind: place.host.port })
  const content = 'the large file'
  const oid = createHash('sha256').update(content).digest('hex')
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${content.length}\n`
  const { url } = place.repository([
    { path: '.gitattributes', content: '*.bin filter=lfs diff=lfs merge=lfs -text\n' },
    { path: 'large.bin', content: pointer },
  ])
  place.host.intercept = (path, response) => {
    if (path.endsWith('/info/lfs/objects/batch')) {
      const download = { href: `http://${front.host}/lfs/${oid}` }
      response.end(JSON.stringify({ objects: [{ oid, actions: { download } }] }))
      return true
    }
    if (!path.startsWith('/lfs/')) return false
    response.end(content)
    return true
  }
  const pool = place.pool({ retries: 0 })
  t.after(() => pool.close())
  const user = { run_id: 'run_lfs', tenant: 'default' }
  const { work, own_git } = await pool.lease(user, { repo: url }, anyone, { signal, report: () => {} })
  const home = join(place.dir, 'lfs-home')
  mkdirSync(home)
  const identity = `http://${front.host}${new URL(url).pathname}`
  const fetch = policyFetch(policyFor(front))
  const placed = () =>
    placeLfsFiles({ own_git, work, identity }, { fetch, home, maxBytes: 1024 ** 2, signal, report: () => {} })
  const file = join(work, 'large.bin')
  await throughManners(t, 'git lfs', {
    front,
    works,
    async spoiled() {
      const before = readFileSync(file, 'utf8')
      await assert.rejects(placed(), (error) => checkRefusal(error, front.host))
      assert.equal(readFileSync(file, 'utf8'), before)
    },
    async mended() {
      await placed()
      assert.equal(readFileSync(file, 'utf8'), content)
    },
  })
})
