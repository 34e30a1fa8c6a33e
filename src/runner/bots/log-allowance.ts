const DAY_MS = 24 * 60 * 60 * 1000
/** Once it is used up, nothing is admitted before this share of it is there again: few long gaps, not many short ones. */
const REOPENED_AT = 0.01

export interface AllowanceState {
  leftBytes: number
  /** Time of the last piece, which is the only clock here: what is read again counts the same again. */
  atMs: number
  usedUp: boolean
}

/** How many bytes of log a bot may still write: `perDayBytes` at first, and as many a day that come back bit by bit. */
export class LogAllowance {
  readonly #perDayBytes: number
  readonly state: AllowanceState

  constructor(perDayBytes: number, state?: AllowanceState) {
    this.#perDayBytes = perDayBytes
    this.state = { leftBytes: perDayBytes, atMs: 0, usedUp: false, ...state }
  }

  /** Takes the bytes from it, or says no. */
  admits(bytes: number, atMs: number): boolean {
    const { state } = this
    if (state.atMs > 0 && atMs > state.atMs)
      state.leftBytes = Math.min(
        this.#perDayBytes,
        state.leftBytes + (this.#perDayBytes * (atMs - state.atMs)) / DAY_MS,
      )
    state.atMs = Math.max(state.atMs, atMs)
    if (state.usedUp && state.leftBytes >= this.#perDayBytes * REOPENED_AT) state.usedUp = false
    if (bytes > state.leftBytes) state.usedUp = true
    if (state.usedUp) return false
    state.leftBytes -= bytes
    return true
  }
}
