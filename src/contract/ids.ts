import { closeSync, openSync, readSync } from 'node:fs'
import * as z from './mini-zod.ts'

/**
 * A run id, normally beginning with `run_`. A caller may choose one (letters, digits, `_`, `-`, up to 100 characters),
 * as the workflow runner's users do; it does not need the prefix.
 */
export const RunId = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/,
      'a run id is 1-100 letters, digits, "_" or "-", and starts with a letter or digit',
    ),
  )

/** Returns a new run id that sorts by time: 9 base-32 characters of milliseconds, 11 random ones (55 bits). */
export const newRunId = (nowMs: number = Date.now()): string => `run_${timedText(nowMs)}`

/** Returns a new id of a coding task, made like a run's. */
export const newTaskId = (nowMs: number = Date.now()): string => `task_${timedText(nowMs)}`

function timedText(nowMs: number): string {
  let time = ''
  for (let rest = nowMs, i = 0; i < 9; i++, rest = Math.floor(rest / 32)) time = digits32[rest % 32] + time
  return `${time}${randomText(11)}`
}

/** Returns an attempt id: the run's id, a dot, and the attempt's number within the run, from 1. */
export const attemptId = (runId: string, number: number): string => `${runId}.${number}`

/** Splits an attempt id into its two halves. */
export function splitAttemptId(id: string): { runId: string; number: number } {
  const dot = id.lastIndexOf('.')
  return { runId: id.slice(0, dot), number: Number(id.slice(dot + 1)) }
}

/** Base-32 digits, in the order in which they sort. */
const digits32 = '0123456789abcdefghijklmnopqrstuv'

/** Returns random characters that nobody can guess, 5 bits each. */
export function randomText(characters: number): string {
  let text = ''
  for (const byte of randomBytes(characters)) text += digits32[byte & 31]
  return text
}

/** Reads from the kernel: loading Node's cryptography takes as long as checking a workflow. */
function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count)
  try {
    const device = openSync('/dev/urandom', 'r')
    try {
      if (readSync(device, bytes) === count) return bytes
    } finally {
      closeSync(device)
    }
  } catch {
    // This system has no such file, or no descriptor is left.
  }
  return crypto.getRandomValues(bytes)
}

/** Returns a name that every file system accepts; short enough that a name of three of them stays under 255 bytes. */
const safe = (name: string): string => name.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 70)

/** Returns the name of the file in `output_path` that holds one stream of an attempt. */
export function outputFileName(
  spec: { attempt_id: string; run_id: string; step: string; host: string },
  stream: string,
): string {
  const { number } = splitAttemptId(spec.attempt_id)
  return `${safe(spec.run_id)}.${safe(spec.step)}.${safe(spec.host)}.${number}.${stream}.log`
}
