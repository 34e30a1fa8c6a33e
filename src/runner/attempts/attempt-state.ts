/**
 * Where an attempt is in its life. `starting`: nothing of it is known to run. `stopping`: ordered to end. `measuring`: what is
 * left of it is swept, its output measured. `ended`: its end is told. `released`: nothing of it is kept any more. `left`: this
 * process has let go of it before its end, and a later one takes it up.
 */
export type AttemptStateName =
  | 'starting'
  | 'running'
  | 'stopping'
  | 'measuring'
  | 'ended'
  | 'released'
  | 'left'

/** Whereto an attempt can go from each state. */
export const moves: Readonly<Record<AttemptStateName, readonly AttemptStateName[]>> = {
  starting: ['running', 'stopping', 'measuring', 'left'],
  running: ['stopping', 'measuring', 'left'],
  stopping: ['measuring', 'left'],
  measuring: ['ended', 'left'],
  ended: ['released'],
  left: ['released'],
  released: [],
}

/** The state of one attempt. */
export class AttemptState {
  #now: AttemptStateName

  constructor(first: 'starting' | 'ended' = 'starting') {
    this.#now = first
  }

  get now(): AttemptStateName {
    return this.#now
  }

  /** False where it cannot go there from here; then it stays. */
  move(to: AttemptStateName): boolean {
    if (!moves[this.#now].includes(to)) return false
    this.#now = to
    return true
  }
}
