import type { Log } from '../../platform/log.ts'
import { type GitPolicy, remoteIdentity } from '../git/remote.ts'

export interface PoolLimits {
  /** Limit for slots at once, used or not. */
  slots: number
  /** Limit in bytes for all mirrors and slots, as far as known. */
  bytes: number
  /** Age in ms after which an unused slot or mirror is deleted. */
  ageMs: number
  /** Bytes that must stay free on the disk. */
  minFreeBytes: number
}

export const DEFAULT_POOL_LIMITS: PoolLimits = {
  slots: 64,
  bytes: 20 * 1024 ** 3,
  ageMs: 30 * 24 * 3_600_000,
  minFreeBytes: 2 * 1024 ** 3,
}

export interface WorkspacePoolOptions {
  /** Folder of the pool; only one process may use it at a time. */
  dir: string
  policy: GitPolicy
  limits?: PoolLimits
  /** Number of retries for a server that cannot be reached (default 3). */
  retries?: number
  log?: Log
}

/** Identifies who works in a checkout. */
export interface PoolUser {
  run_id: string
  tenant: string
}

export interface WorkspaceAsk {
  repo: string
  /** Branch, tag or commit; default: the default branch. */
  ref?: string
  /** Branch that is created at `ref`, or resumed unchanged if it exists. */
  branch?: string
  depth?: number
  /** Folder, without links, of an external checkout on this machine, which is used unchanged and not deleted. */
  slotPath?: string
}

export interface PoolCredential {
  /** Name of the credential, such as that of its secret: what it fetched serves no other credential. */
  scope: string
  token?: string
  username?: string
}

export interface LeaseContext {
  signal: AbortSignal
  report(message: string): void
  /** Called when it begins to wait for a workspace of another run; default: `tell`. */
  waits?(message: string): void
}

/** Describes a run's own checkout of a repository. */
export interface RepositoryWorkspace {
  run_id: string
  slot_id: string
  /** Folder of the files, with the user's own repository. */
  work: string
  /** Our repository of the same files, which no box can see. */
  own_git: string
  /** Full copy of the repository. Both repositories borrow its objects, so a box needs it, read-only. */
  mirror: string
  repo: string
  start_sha: string
  /** Short name of the branch or tag that work began at, or the commit itself if that was requested. */
  base_ref: string
  base_sha: string
  branch?: string
}

/** Returns a text that identifies a request. */
export const requestText = (
  { repo, ref, branch, depth, slotPath }: WorkspaceAsk,
  policy: GitPolicy,
): string => JSON.stringify([remoteIdentity(repo, policy), ref, branch, depth, slotPath])

export function depthOf(text: string): number | undefined {
  const depth: unknown = (JSON.parse(text) as unknown[])[3]
  return typeof depth === 'number' ? depth : undefined
}

/** Git work that takes less time in ms is not reported. */
const LONG_MS = 3_000

/** Reports a line when a long phase of Git's work is done, instead of each percent. */
export const progressOf = (report: (message: string) => void) => {
  const beganMs = performance.now()
  return (line: string) => {
    const isDone = line.includes(', done.') && performance.now() - beganMs >= LONG_MS
    if (isDone || /^(fatal|error|warning): |credentials/.test(line)) report(line)
  }
}
