import type { Log } from '../../platform/log.ts'
import { type GitPolicy, remoteIdentity } from '../git/remote.ts'

export interface PoolLimits {
  /** Slots at once, used or not. */
  slots: number
  /** Of all mirrors and slots, as far as known. */
  bytes: number
  /** Of a slot, or a mirror, that nobody used for so long. */
  ageMs: number
  /** The least that stays free on the disk. */
  minFreeBytes: number
}

export const DEFAULT_POOL_LIMITS: PoolLimits = {
  slots: 64,
  bytes: 20 * 1024 ** 3,
  ageMs: 30 * 24 * 3_600_000,
  minFreeBytes: 2 * 1024 ** 3,
}

export interface WorkspacePoolOptions {
  /** Folder of its own; one process at a time. */
  dir: string
  policy: GitPolicy
  limits?: PoolLimits
  /** How often a server that cannot be reached is asked again (default 3). */
  retries?: number
  log?: Log
}

/** Who works there. */
export interface PoolUser {
  run_id: string
  tenant: string
}

export interface WorkspaceAsk {
  repo: string
  /** Branch, tag or commit; default: the default branch. */
  ref?: string
  /** Made at `ref`; one that is there is taken up as it is. */
  branch?: string
  depth?: number
  /** A checkout of somebody else's on this machine, which is used as it is, and stays: the folder, behind all links. */
  slotPath?: string
}

export interface PoolCredential {
  /** Its name, such as that of its secret: what is kept by it serves no other. */
  scope: string
  token?: string
  username?: string
}

export interface LeaseContext {
  signal: AbortSignal
  tell(message: string): void
  /** Called as it begins to wait for a workspace of another run; default: `tell`. */
  waits?(message: string): void
}

/** A run's own checkout of a repository. */
export interface RepositoryWorkspace {
  run_id: string
  slot_id: string
  /** The files, with the user's own repository. */
  work: string
  /** Our repository of the same files, which no box has. */
  own_git: string
  /** The copy of all of the repository; both borrow its objects, so a box has to have it, read-only. */
  mirror: string
  repo: string
  start_sha: string
  /** Short name of the branch or tag that work began at; the commit itself where that was asked for. */
  base_ref: string
  base_sha: string
  branch?: string
}

/** An ask as a text, by which it is told from another. */
export const askedText = ({ repo, ref, branch, depth, slotPath }: WorkspaceAsk, policy: GitPolicy): string =>
  JSON.stringify([remoteIdentity(repo, policy), ref, branch, depth, slotPath])

export function depthAsked(asked: string): number | undefined {
  const depth: unknown = (JSON.parse(asked) as unknown[])[3]
  return typeof depth === 'number' ? depth : undefined
}

/** Work of git that is done sooner is not told of. */
const LONG_MS = 3_000

/** Tells a line where a phase of git's work is done that takes long, and not each hundredth of it. */
export const progressOf = (tell: (message: string) => void) => {
  const beganMs = performance.now()
  return (line: string) => {
    const isDone = line.includes(', done.') && performance.now() - beganMs >= LONG_MS
    if (isDone || /^(fatal|error|warning): |credentials/.test(line)) tell(line)
  }
}
