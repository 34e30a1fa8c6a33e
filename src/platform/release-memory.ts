import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** A program that stays has started by then. */
const STARTED_MS = 5000

/**
 * Returns memory that only the start needed to the system, once, when a long-running program has started. V8 itself
 * does that only after many allocations, which an idle hub or runner never makes. Returns a function that cancels it.
 */
export function giveBackMemory(): () => void {
  const timer = setTimeout(() => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as (options: { type: 'major'; flavor: 'last-resort' }) => void
    collect({ type: 'major', flavor: 'last-resort' })
  }, STARTED_MS)
  timer.unref()
  return () => clearTimeout(timer)
}
