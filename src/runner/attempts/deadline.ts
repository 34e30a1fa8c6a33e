/** setTimeout takes no more than this. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Calls back once, not before `atMs` (milliseconds since 1970), also where the machine's clock is set meanwhile. The answer takes it back. */
export function callAt(atMs: number, callback: () => void): () => void {
  let timer: NodeJS.Timeout
  // By the clock that nobody sets.
  const steadyMs = performance.now() + atMs - Date.now()
  const arm = () => {
    const leftMs = steadyMs - performance.now()
    timer = leftMs <= 0 ? setTimeout(callback, 0) : setTimeout(arm, Math.min(leftMs, MAX_TIMER_MS))
  }
  arm()
  return () => clearTimeout(timer)
}
