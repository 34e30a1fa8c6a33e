import type { HeldAttempt } from '../ports.ts'
import type { FolderAttempt } from './folder-attempt.ts'
import type { InlineAttempt } from './inline-attempt.ts'

type Held = FolderAttempt | InlineAttempt

/** The attempts that this machine has: running, or ended and not yet released. */
export class HeldAttempts {
  readonly #byId = new Map<string, Held>()

  get(attemptId: string): Held | undefined {
    return this.#byId.get(attemptId)
  }

  all(): Held[] {
    return [...this.#byId.values()]
  }

  ids(): Set<string> {
    return new Set(this.#byId.keys())
  }

  /** By which the processes and cgroups of those are known that outlive this process. */
  keys(): Set<string> {
    return new Set(this.all().flatMap((one) => ('facts' in one ? [one.facts.key] : [])))
  }

  add(attempt: Held): void {
    this.#byId.set(attempt.spec.attempt_id, attempt)
  }

  /** Leaves one alone that has come in its place. */
  forget(attempt: HeldAttempt): void {
    const id = attempt.spec.attempt_id
    if (this.#byId.get(id) === attempt) this.#byId.delete(id)
  }
}
