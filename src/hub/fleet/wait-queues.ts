import type { AttemptSpec } from '../../contract/attempt.ts'
import { Heap } from '../../platform/heap.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import type { Assignment } from './assignments.ts'
import { groupOf, type Need, type RunnerKey, takesSlot } from './matching.ts'
import type { Waiting } from './placement.ts'
import { type Demand, demandOf } from './provisioned-groups.ts'
import type { Runner } from './roster.ts'

/** Attempts of one user in a line, served in order of arrival. */
export interface UserQueue {
  readonly line: Line
  readonly user: User
  readonly waiting: Heap<Assignment>
}

/** Waiting attempts with the same needs, home and rejections: a runner with room for one has room for each. */
export interface Line {
  readonly key: string
  readonly need: Need
  /** The demand, if a runner is provisioned for the run. */
  readonly demand: Demand | undefined
  readonly home: RunnerKey | undefined
  readonly not: ReadonlySet<RunnerKey>
  /** True if the home can take them, so that no other runner may. */
  bound: boolean
  waiting: Waiting
  /** Users in the line, ordered by whose turn it is. */
  readonly users: Heap<UserQueue>
  readonly byUser: Map<User, UserQueue>
  /** Number of times its turn came and there was no room. */
  passed: number
  /** Runner that is reserved for the line: it takes nothing else until an attempt of the line has room there. */
  reserved: Runner | undefined
}

/** The facts that decide whose turn it is. */
export interface Turn {
  user: User
  arrival: number
}

/**
 * Reports whether `a` comes before `b`: fewer slots first, then the user who got one longer ago, then the earlier
 * arrival.
 */
export function isBefore(a: Turn, b: Turn): boolean {
  if (a.user.running !== b.user.running) return a.user.running < b.user.running
  if (a.user.turn !== b.user.turn) return a.user.turn < b.user.turn
  return a.arrival < b.arrival
}

/** Returns the turn of the first attempt in the line. */
export const turnIn = (line: Line): Turn => turnOf(line.users.first!)
const turnOf = ({ user, waiting }: UserQueue): Turn => ({ user, arrival: waiting.first!.arrival })

/** Holds all waiting attempts, grouped in lines. */
export class WaitQueues {
  readonly #lines = new Map<string, Line>()
  readonly #loose = new Set<Line>()
  readonly #byHome = new Map<RunnerKey, Set<Line>>()
  /** Lines of runs that wait for a provisioned runner, by group. */
  readonly #forProvisioned = new Map<string, Set<Line>>()
  /** Attempts by run and workspace. */
  readonly #byRun = new Map<string, Set<Assignment>>()
  #waiting = 0
  #ofBots = 0

  get size(): number {
    return this.#lines.size
  }

  /** Number of attempts in all lines. */
  get waiting(): number {
    return this.#waiting
  }

  /** Number of lines that wait for no slot. */
  get ofBots(): number {
    return this.#ofBots
  }

  get(key: string): Line | undefined {
    return this.#lines.get(key)
  }

  all(): Line[] {
    return [...this.#lines.values()]
  }

  /** Returns the lines whose home is the runner. */
  at(runner: RunnerKey): Iterable<Line> {
    return this.#byHome.get(runner) ?? []
  }

  /** Returns the lines of runs that wait for a provisioned runner of the group. */
  forProvisioned(group: string): Iterable<Line> {
    return this.#forProvisioned.get(group) ?? []
  }

  /** Yields the lines that the runner may serve if it offers what they need. */
  *open(runner: RunnerKey): Iterable<Line> {
    yield* this.#loose
    for (const line of this.at(runner)) if (line.bound) yield line
  }

  /** Returns the waiting attempts of a run that share a workspace. */
  ofRun(runId: string, workspace: string): Assignment[] {
    return [...(this.#byRun.get(`${runId} ${workspace}`) ?? [])]
  }

  create(line: Pick<Line, 'key' | 'need' | 'home' | 'not' | 'bound' | 'waiting'>): Line {
    const users = new Heap<UserQueue>((a, b) => isBefore(turnOf(a), turnOf(b)))
    const created: Line = {
      ...line,
      demand: demandOf(line.need),
      users,
      byUser: new Map(),
      passed: 0,
      reserved: undefined,
    }
    this.#lines.set(line.key, created)
    if (line.home !== undefined) addTo(this.#byHome, line.home, created)
    if (!line.bound) this.#loose.add(created)
    const group = provisionedGroupOf(line.need)
    if (group !== undefined) addTo(this.#forProvisioned, group, created)
    if (!takesSlot(line.need.requires)) this.#ofBots++
    return created
  }

  bind(line: Line, bound: boolean): void {
    line.bound = bound
    if (bound) this.#loose.delete(line)
    else this.#loose.add(line)
  }

  add(line: Line, assignment: Assignment, user: User): void {
    const queue = line.byUser.get(user) ?? {
      line,
      user,
      waiting: new Heap<Assignment>((a, b) => a.arrival < b.arrival),
    }
    queue.waiting.add(assignment)
    if (queue.waiting.size > 1) line.users.moved(queue)
    else {
      line.byUser.set(user, queue)
      line.users.add(queue)
      user.queues.add(queue)
    }
    assignment.queue = queue
    this.#waiting++
    const { spec, workspace } = assignment
    addTo(this.#byRun, `${spec.run_id} ${workspace}`, assignment)
  }

  /** Removes the attempt and returns the queue that it was in. An empty line is removed too. */
  remove(assignment: Assignment): UserQueue | undefined {
    const { queue, spec, workspace } = assignment
    if (!queue) return undefined
    const { line, user, waiting } = queue
    assignment.queue = undefined
    this.#waiting--
    takeFrom(this.#byRun, `${spec.run_id} ${workspace}`, assignment)
    // Do this while the attempt is still in the order it is taken out of.
    if (waiting.size === 1) {
      line.users.delete(queue)
      line.byUser.delete(user)
      user.queues.delete(queue)
      waiting.delete(assignment)
    } else {
      waiting.delete(assignment)
      line.users.moved(queue)
    }
    if (line.users.size === 0) {
      this.#lines.delete(line.key)
      this.#loose.delete(line)
      if (!takesSlot(line.need.requires)) this.#ofBots--
      if (line.home !== undefined) takeFrom(this.#byHome, line.home, line)
      const group = provisionedGroupOf(line.need)
      if (group !== undefined) takeFrom(this.#forProvisioned, group, line)
    }
    return queue
  }
}

const provisionedGroupOf = ({ run, requires }: Need) => (run === undefined ? undefined : groupOf(requires))

function addTo<K, T>(sets: Map<K, Set<T>>, key: K, item: T): void {
  const set = sets.get(key) ?? new Set()
  sets.set(key, set.add(item))
}

function takeFrom<K, T>(sets: Map<K, Set<T>>, key: K, item: T): void {
  const set = sets.get(key)
  set?.delete(item)
  if (set?.size === 0) sets.delete(key)
}

/**
 * A user whose attempts have slots or wait for them: an owner within a tenant. An owner's bots and steps count as
 * separate users, because bots take no slots from steps.
 */
export interface User {
  readonly key: string
  /** Number of slots, or bots, that the user has. */
  running: number
  /** When the user last got one or began to wait, on a clock that counts such events. */
  turn: number
  readonly queues: Set<UserQueue>
}

type Owned = Pick<AttemptSpec, 'tenant' | 'owner' | 'requires'>

/** Counts the slots and bots of each user. */
export class FairShare {
  readonly #users = new Map<string, User>()
  #turns = 0

  /** Returns the current user. One who has nothing comes after all others who have nothing. */
  of({ tenant = DEFAULT_TENANT, owner = '', requires }: Owned): User {
    const key = JSON.stringify([tenant, owner, takesSlot(requires)])
    return this.#users.get(key) ?? { key, running: 0, turn: ++this.#turns, queues: new Set() }
  }

  /** Remembers a user who waits, until `leave`. */
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

  /** Forgets the user if it has nothing and waits for nothing. */
  leave(user: User): void {
    if (user.running === 0 && user.queues.size === 0) this.#users.delete(user.key)
  }

  #change(user: User, by: 1 | -1): void {
    user.running += by
    for (const queue of user.queues) queue.line.users.moved(queue)
  }
}
