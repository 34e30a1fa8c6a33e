import type { QueryClient } from '@tanstack/react-query'

/**
 * Remembers changes that arrive while a list is being read. The hub may have made its answer before the change, and
 * the answer may arrive after it: then it lacks a row or shows an old state. Such a change is applied once more when
 * the list has been read.
 */
export class LateChanges {
  readonly #client: QueryClient
  readonly #lists: readonly string[]
  readonly #changes = new Map<string, () => void>()
  readonly #stop: () => void

  /** `lists` are the first words of the lists' query keys. */
  constructor(client: QueryClient, lists: readonly string[]) {
    this.#client = client
    this.#lists = lists
    this.#stop = client.getQueryCache().subscribe((event) => {
      const isRead = event.type === 'updated' && event.action.type === 'success' && !event.action.manual
      if (!isRead || this.#changes.size === 0 || !this.#isList(event.query)) return
      const changes = [...this.#changes.values()]
      if (!this.#isReading()) this.#changes.clear()
      for (const apply of changes) apply()
    })
  }

  /** Applies a change now, and again if a list is being read. Only the last change of an id is applied again. */
  take(id: string, apply: () => void): void {
    if (this.#isReading()) this.#changes.set(id, apply)
    apply()
  }

  stop(): void {
    this.#stop()
  }

  #isReading(): boolean {
    return this.#client.isFetching({ predicate: (query) => this.#isList(query) }) > 0
  }

  #isList({ queryKey }: { queryKey: readonly unknown[] }): boolean {
    return this.#lists.some((list) => list === queryKey[0])
  }
}
