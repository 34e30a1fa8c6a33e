/** How long things may take on the way to a host agent. */
export interface RemoteLimits {
  /** How long one request may take. */
  requestTimeoutMs: number
  /** How long a host that has not answered yet is tried. */
  reachWithinMs: number
  /** When it is told that a host is waited for which leaves a request without an answer. */
  overdueAfterMs: number
  /** How long one that has answered may be silent. */
  lostAfterMs: number
  /** From SIGTERM to SIGKILL. */
  cancelGraceMs: number
  /** How much later the end of a canceled attempt must be known. */
  cancelWithinMs: number
}

/** Between requests of which the one before brought nothing. */
export const pauses = { firstMs: 50, maxMs: 500 }
