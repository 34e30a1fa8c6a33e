import { availableParallelism, loadavg } from 'node:os'

/** The most times longer that a test waits on a busy machine. */
const MOST_PATIENCE = 4

/**
 * Returns how many times longer to wait for something on a machine with this load (processes that run or wait for a
 * processor): 1 up to two for each processor, then more, at most 4.
 */
export const patience = (load = loadavg()[0]!, processors = availableParallelism()): number =>
  Math.min(Math.max(1, load / (2 * processors)), MOST_PATIENCE)
