import type { HeldAttempt } from '../../runner/ports.ts'

/** Resolves once `ready` holds, the time has passed or the signal is aborted. Never rejects. */
export function waitForChange(
  attempt: HeldAttempt,
  ready: () => boolean,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (ready() || timeoutMs <= 0 || signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      stop()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, timeoutMs)
    const stop = attempt.onChange(() => {
      if (ready()) done()
    })
    signal.addEventListener('abort', done)
  })
}
