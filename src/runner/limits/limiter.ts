import type { AttemptLimits, AttemptUsage } from '../../contract/attempt.ts'
import { sizeText } from '../../platform/text.ts'

export type HeldBy = AttemptUsage['held_by']

/** Describes a limit that was exceeded, in words with the figure. */
export interface Breach {
  reason: 'oom' | 'quota'
  message: string
}

/** Groups the processes of one attempt, holds them to their limits and measures them. */
export interface Limiter {
  readonly heldBy: HeldBy
  /** Limits that were requested and that it does not apply. */
  readonly notHeld: readonly (keyof AttemptLimits)[]
  /** Cgroups that the command enters before it begins. */
  readonly enter: readonly string[]
  /** Creates what it needs on this machine, before the first process. Throws if the kernel refuses. */
  make(): void
  /** Records the attempt's process, which has its own group and session. */
  begun(pid: number): void
  /** Checks the limits regularly during the run, and once after; returns the first one exceeded. */
  look(): Breach | undefined
  /** Returns the processes that belong to it, even if they left its tree; none if it cannot tell. */
  members(): number[]
  /** Prevents its processes from starting others, if possible. */
  seal(): void
  /** Measures the usage, after the last `look`. */
  measure(): Pick<AttemptUsage, 'peak_memory_bytes' | 'cpu_ms'>
  /**
   * Removes everything that it created on this machine; returns false if a leftover process still needs it. Idempotent.
   */
  remove(): boolean
}

export const outOfMemory = (usedBytes: number, limitBytes: number): Breach => ({
  reason: 'oom',
  message: `Out of memory: its processes used ${sizeText(usedBytes)} of ${sizeText(limitBytes)}.`,
})

export const machineOutOfMemory = (usedBytes: number | undefined): Breach => ({
  reason: 'oom',
  message:
    'The machine ran out of memory and killed a process of this attempt' +
    `${usedBytes === undefined ? '' : `; its processes used ${sizeText(usedBytes)}`}.`,
})

export const tooManyProcesses = (count: number, limit: number): Breach => ({
  reason: 'quota',
  message: `Too many processes: ${count} of ${limit}, including threads.`,
})

export const diskFull = (usedBytes: number, limitBytes: number): Breach => ({
  reason: 'quota',
  message: `Disk limit exceeded: its workspace uses ${sizeText(usedBytes)} of ${sizeText(limitBytes)}.`,
})
