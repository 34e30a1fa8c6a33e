const BUSY_MS = 20
const IDLE_MS = 100

export interface Polled {
  /** Polls the member; returns true if something has changed. */
  poll(): boolean
}

/** Polls everything that runs with one timer: often while there is news, less often while there is none. */
export class Poller {
  readonly #members = new Set<Polled>()
  #timer: NodeJS.Timeout | undefined
  #intervalMs = BUSY_MS

  add(member: Polled): void {
    this.#members.add(member)
    this.#intervalMs = BUSY_MS
    this.#arm()
  }

  remove(member: Polled): void {
    this.#members.delete(member)
    if (this.#members.size === 0) this.close()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      let news = false
      for (const member of this.#members) news = look(member) || news
      this.#intervalMs = news ? BUSY_MS : Math.min(this.#intervalMs * 1.5, IDLE_MS)
      if (this.#members.size > 0) this.#arm()
    }, this.#intervalMs)
  }
}

function look(member: Polled): boolean {
  try {
    return member.poll()
  } catch {
    // No descriptors or no memory at the moment: the next check will show.
    return false
  }
}

/** Longest delay that `setTimeout` accepts, in ms. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Calls back once, not before `atMs` (milliseconds since 1970), even if the machine's clock is changed meanwhile.
 * Returns a function that cancels the call.
 */
export function callAt(atMs: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout
  // Measured by the clock that nobody can set.
  const steadyMs = performance.now() + atMs - Date.now()
  const arm = () => {
    const leftMs = steadyMs - performance.now()
    timer = leftMs <= 0 ? setTimeout(callback, 0) : setTimeout(arm, Math.min(leftMs, MAX_TIMER_MS))
  }
  arm()
  return () => clearTimeout(timer)
}
