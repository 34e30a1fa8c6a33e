import type { HeldAttempt } from '../ports.ts'
import type { Attempt } from './attempt.ts'

/** The attempts that this machine has: running, or ended and not yet released. */
export class HeldAttempts {
  readonly #byId = new Map<string, Attempt>()

  get(attemptId: string): Attempt | undefined {
    return this.#byId.get(attemptId)
  }

  all(): Attempt[] {
    return [...this.#byId.values()]
  }

  ids(): Set<string> {
    return new Set(this.#byId.keys())
  }

  /** By which the processes and cgroups of those are known that outlive this process. */
  keys(): Set<string> {
    return new Set(this.all().flatMap((one) => one.key ?? []))
  }

  add(attempt: Attempt): void {
    this.#byId.set(attempt.spec.attempt_id, attempt)
  }

  /** Leaves one alone that has come in its place. */
  forget(attempt: HeldAttempt): void {
    const id = attempt.spec.attempt_id
    if (this.#byId.get(id) === attempt) this.#byId.delete(id)
  }
}
