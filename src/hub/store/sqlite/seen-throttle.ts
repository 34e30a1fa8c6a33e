import type { Session } from './session.ts'

const THROTTLE_MS = 60_000

/**
 * Notes by `sql` (parameters: time, id) that something was seen, at most once a minute for each id: what is seen
 * with every request must not cost every request a commit.
 */
export function seenThrottle(session: Session, sql: string): (id: string, at: string) => void {
  const notedMs = new Map<string, number>()
  return (id, at) => {
    const atMs = Date.parse(at)
    if (atMs - (notedMs.get(id) ?? Number.NEGATIVE_INFINITY) < THROTTLE_MS) return
    notedMs.set(id, atMs)
    // Losing one costs a minute of exactness; the next that fails is told by whoever needs its commit.
    session.write(() => session.run(sql, at, id)).catch(() => notedMs.delete(id))
  }
}
