import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { GitPolicy } from '../../../src/runner/git/remote.ts'
import type {
  LeaseContext,
  PoolCredential,
  PoolLimits,
  RepositoryWorkspace,
  WorkspaceAsk,
} from '../../../src/runner/workspaces/lease.ts'
import { DEFAULT_POOL_LIMITS } from '../../../src/runner/workspaces/lease.ts'
import { WorkspacePool } from '../../../src/runner/workspaces/workspace-pool.ts'
import {
  type GitHost,
  makeRepository,
  policyOf,
  run,
  serveGit,
  type TreeEntry,
} from '../sources/git-fixture.ts'

/** Creates real repositories behind real smart HTTP, and pools of checkouts of them, in one folder. */
export interface PoolPlace {
  dir: string
  host: GitHost
  policy: GitPolicy
  /** Creates a repository that accepts pushes. Returns its address, its folder and the first commit. */
  repository(entries?: readonly TreeEntry[]): { url: string; folder: string; commit: string }
  /** Adds a commit to a branch on the server. */
  commit(folder: string, branch: string, path: string, content: string): string
  pool(more?: {
    limits?: Partial<PoolLimits>
    log?: (message: string) => void
    retries?: number
  }): WorkspacePool
  close(): Promise<void>
}

export async function poolPlace(): Promise<PoolPlace> {
  const dir = mkdtempSync(join(tmpdir(), 'errand-pool-'))
  const root = join(dir, 'server')
  const host = await serveGit(root)
  const policy = policyOf(host)
  let count = 0
  return {
    ...{ dir, host, policy },
    repository(entries = [{ path: 'README.md', content: 'hello\n' }]) {
      const name = `r${count++}.git`
      const folder = join(root, name)
      const commit = makeRepository(folder, entries)
      run(folder, ['config', 'http.receivepack', 'true'])
      return { url: `${host.origin()}/${name}`, folder, commit }
    },
    commit(folder, branch, path, content) {
      const has = run(folder, ['for-each-ref', `refs/heads/${branch}`]) !== ''
      const from = has ? branch : 'main'
      const lines = [
        `commit refs/heads/${branch}`,
        `committer A <a@example.org> ${++count + 1} +0000`,
        `data 1\nm\nfrom refs/heads/${from}^0`,
        `M 100644 inline ${path}\ndata ${Buffer.byteLength(content)}\n${content}\n\n`,
      ]
      run(folder, ['fast-import', '--quiet'], lines.join('\n'))
      return run(folder, ['rev-parse', branch])
    },
    pool: ({ limits, log, retries } = {}) =>
      new WorkspacePool({
        ...{ dir: join(dir, 'pool'), policy, log, retries },
        limits: { ...DEFAULT_POOL_LIMITS, minFreeBytes: 0, ...limits },
      }),
    close: async () => {
      await host.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export const anyone: PoolCredential = { scope: 'none' }

/** Returns a lease of the tenant "t", with nothing to report to. */
export function lease(
  pool: WorkspacePool,
  run_id: string,
  ask: WorkspaceAsk,
  more: Partial<LeaseContext> & { tenant?: string; credential?: PoolCredential } = {},
): Promise<RepositoryWorkspace> {
  const {
    tenant = 't',
    credential = anyone,
    signal = new AbortController().signal,
    report = () => undefined,
  } = more
  return pool.lease({ run_id, tenant }, ask, credential, { signal, report })
}
