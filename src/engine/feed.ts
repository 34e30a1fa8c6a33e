/** Tells those who follow a run that its log has grown. */
export class Feed {
  readonly #followers = new Map<string, Set<Follower>>()

  /** Until it is disposed of, told of what is committed from now on. */
  follow(runId: string): Follower {
    const followers = this.#followers.get(runId) ?? new Set()
    this.#followers.set(runId, followers)
    const follower = new Follower(() => {
      followers.delete(follower)
      if (followers.size === 0 && this.#followers.get(runId) === followers) this.#followers.delete(runId)
    })
    followers.add(follower)
    return follower
  }

  tell(runId: string): void {
    for (const follower of this.#followers.get(runId) ?? []) follower.tell()
  }

  /** Wakes all. */
  close(): void {
    for (const runId of this.#followers.keys()) this.tell(runId)
  }
}

/** Waits for news of one run; for one reader. */
export class Follower {
  readonly #leave: () => void
  #news = false
  #wake: (() => void) | undefined

  constructor(leave: () => void) {
    this.#leave = leave
  }

  /** What was told so far is no news: to be called before the log is read. */
  reads(): void {
    this.#news = false
  }

  /** Resolves when there is news since the log was read. */
  async news(): Promise<void> {
    if (this.#news) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }

  readonly tell = (): void => {
    this.#news = true
    this.#wake?.()
    this.#wake = undefined
  };

  [Symbol.dispose](): void {
    this.#leave()
    this.tell()
  }
}
