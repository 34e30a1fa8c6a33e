import type { AttemptSpec } from '../../contract/attempt.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import type { UserQueue } from './lines.ts'
import { takesSlot } from './needs.ts'

/**
 * Someone whose attempts have slots, or wait for them: an owner within a tenant. With bots an owner is another one than
 * with steps: they take no slots from each other.
 */
export interface User {
  readonly key: string
  /** Slots that it has, or bots. */
  running: number
  /** When it was last given one, or began to wait; the clock is the count of such events. */
  turn: number
  readonly queues: Set<UserQueue>
}

type Owned = Pick<AttemptSpec, 'tenant' | 'owner' | 'requires'>

/** How many slots each user has, and how many bots. */
export class Shares {
  readonly #users = new Map<string, User>()
  #turns = 0

  /** The user as it is now; one that has nothing comes after all others that have nothing. */
  of({ tenant = DEFAULT_TENANT, owner = '', requires }: Owned): User {
    const key = JSON.stringify([tenant, owner, takesSlot(requires)])
    return this.#users.get(key) ?? { key, running: 0, turn: ++this.#turns, queues: new Set() }
  }

  /** Keeps a user who waits, until `leave`. */
  enter(owned: Owned): User {
    const user = this.of(owned)
    this.#users.set(user.key, user)
    return user
  }

  took(owned: Owned): User {
    const user = this.enter(owned)
    user.turn = ++this.#turns
    this.#change(user, 1)
    return user
  }

  gave(user: User): void {
    this.#change(user, -1)
    this.leave(user)
  }

  /** Nothing is kept of one that has nothing and waits for nothing. */
  leave(user: User): void {
    if (user.running === 0 && user.queues.size === 0) this.#users.delete(user.key)
  }

  #change(user: User, by: 1 | -1): void {
    user.running += by
    for (const queue of user.queues) queue.line.users.moved(queue)
  }
}
