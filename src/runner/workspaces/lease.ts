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
