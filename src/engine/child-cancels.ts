/** The sub-workflows of one run whose end it has asked for. */
export class ChildCancels {
  readonly #cancel: (runId: string, force: boolean) => void
  readonly #forced = new Map<string, boolean>()

  constructor(cancel: (runId: string, force: boolean) => void) {
    this.#cancel = cancel
  }

  /** Whether that of a child was, and whether by force; undefined: it was not. */
  get(runId: string): boolean | undefined {
    return this.#forced.get(runId)
  }

  /** Returns what is to be done for it after the commit. Deciding asks until the child has ended; once is enough. */
  ask(runId: string, force: boolean): (() => void)[] {
    const before = this.#forced.get(runId)
    if (before === true || before === force) return []
    this.#forced.set(runId, force)
    return [() => this.#cancel(runId, force)]
  }

  /** By force, and again where it was asked for. */
  endAll(children: readonly { run_id: string }[]): void {
    for (const { run_id } of children) {
      this.#forced.set(run_id, true)
      this.#cancel(run_id, true)
    }
  }
}
