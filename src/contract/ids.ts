import * as z from './mini-zod.ts'
import { digits32, randomText } from './random-text.ts'

/**
 * A run id: `run_` and what follows. A caller may bring its own (letters, digits, `_`, `-`, up to 100
 * characters), as the workflow runner's users do; the prefix is not required of theirs.
 */
export const RunId = z
  .string()
  .check(z.regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/, 'a run id is 1-100 letters, digits, "_" or "-"'))

/** A new run id that sorts by time: 9 base-32 characters of milliseconds, 11 of chance (55 bits). */
export function newRunId(nowMs: number = Date.now()): string {
  let time = ''
  for (let rest = nowMs, i = 0; i < 9; i++, rest = Math.floor(rest / 32)) time = digits32[rest % 32] + time
  return `run_${time}${randomText(11)}`
}

/** An attempt id: the run's id, a dot, and the attempt's number within the run, from 1. */
export const attemptId = (runId: string, number: number): string => `${runId}.${number}`

/** The two halves of an attempt id. */
export function splitAttemptId(id: string): { runId: string; number: number } {
  const dot = id.lastIndexOf('.')
  return { runId: id.slice(0, dot), number: Number(id.slice(dot + 1)) }
}
