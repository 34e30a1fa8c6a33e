import type { AttemptReport } from '../../contract/attempt.ts'

/** The reports of one attempt, and who is told of them. */
export class HeldReports {
  readonly list: AttemptReport[] = []
  readonly #listeners = new Set<() => void>()
  readonly #end = Promise.withResolvers<void>()

  get ended(): boolean {
    return this.list.at(-1)?.type === 'ended'
  }

  /** Resolves once `ended` is there. */
  get whenEnded(): Promise<void> {
    return this.#end.promise
  }

  add(report: AttemptReport): boolean {
    this.list.push(report)
    if (report.type === 'ended') this.#end.resolve()
    this.changed()
    return true
  }

  changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
