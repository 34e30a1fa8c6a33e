/**
 * Describes where an attempt is in its life.
 * - `starting`: nothing of it is known to run. A process that runs leads to `running`, a cause to `stopping`, an end to
 *   `measuring`.
 * - `running`: it runs. A cause leads to `stopping`, an end to `measuring`.
 * - `stopping`: it was ordered to end. Its end leads to `measuring`.
 * - `measuring`: its leftovers are swept and its output is measured. The report of its end leads to `ended`.
 * - `ended`: its end is reported. The release leads to `released`.
 * - `left`: this process left it, before its end, in any of the first four states. A later process adopts it; here its
 *   release leads to `released`.
 * - `released`: nothing of it is stored any more.
 */
export type AttemptStateName =
  | 'starting'
  | 'running'
  | 'stopping'
  | 'measuring'
  | 'ended'
  | 'released'
  | 'left'

/** States that an attempt can move to from each state. */
export const moves: Readonly<Record<AttemptStateName, readonly AttemptStateName[]>> = {
  starting: ['running', 'stopping', 'measuring', 'left'],
  running: ['stopping', 'measuring', 'left'],
  stopping: ['measuring', 'left'],
  measuring: ['ended', 'left'],
  ended: ['released'],
  left: ['released'],
  released: [],
}

/** Holds the state of one attempt. */
export class AttemptState {
  #now: AttemptStateName

  constructor(first: 'starting' | 'ended' = 'starting') {
    this.#now = first
  }

  get now(): AttemptStateName {
    return this.#now
  }

  /** Moves to a state; returns false and stays if that move is not allowed. */
  move(to: AttemptStateName): boolean {
    if (!moves[this.#now].includes(to)) return false
    this.#now = to
    return true
  }
}
