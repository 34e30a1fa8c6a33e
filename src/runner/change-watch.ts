export interface Watched<T> {
  everyMs: number
  look(): Promise<T>
  tell(found: T): void
}

/** Looks at what this machine has, at once and now and then, and tells of what is new; nothing, at first, is not. */
export class ChangeWatch<T> {
  readonly #watched: Watched<T>
  readonly #timer: NodeJS.Timeout
  #told: string | undefined
  #closed = false

  constructor(watched: Watched<T>) {
    this.#watched = watched
    this.#timer = setInterval(() => void this.#look(), watched.everyMs)
    void this.#look()
  }

  /** May be called twice. */
  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    const found = await this.#watched.look()
    const text = JSON.stringify(found)
    if (this.#closed || text === this.#told) return
    this.#told = text
    this.#watched.tell(found)
  }
}
