import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** By then a program that stays has started. */
const STARTED_MS = 5000

/**
 * Once, when a program that stays has started: memory that only its start needed goes back to the system. By itself
 * V8 does that when much has been allocated since, which an idle hub or runner never does. Answers how to take it back.
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
