import type { AttemptLimits, AttemptUsage } from '../../contract/attempt.ts'
import { sizeText } from '../../platform/text.ts'

export type HeldBy = AttemptUsage['held_by']

/** A limit that was gone past, in words with the figure. */
export interface Breach {
  reason: 'oom' | 'quota'
  message: string
}

/** A limiter holds the processes of one attempt together, keeps them to their limits and measures them. */
export interface Limiter {
  readonly heldBy: HeldBy
  /** Limits that it was asked for and does not keep. */
  readonly notHeld: readonly (keyof AttemptLimits)[]
  /** Cgroups that the command puts itself into before it begins. */
  readonly enter: readonly string[]
  /** Makes what it needs on this machine, before the first process. Throws as the kernel refuses it. */
  make(): void
  /** The attempt's process is this one, in a group and session of its own. */
  begun(pid: number): void
  /** Now and then while it runs, and once after: the first limit gone past. */
  look(): Breach | undefined
  /** Processes that belong to it, however they left its tree; none where it cannot tell. */
  members(): number[]
  /** From now on its processes start no others, where that can be had. */
  seal(): void
  /** After the last `look`. */
  measure(): Pick<AttemptUsage, 'peak_memory_bytes' | 'cpu_ms'>
  /** Removes all that it made on this machine; false where a process left behind still needs it. May be called twice. */
  remove(): boolean
}

export const outOfMemory = (usedBytes: number, limitBytes: number): Breach => ({
  reason: 'oom',
  message: `Out of memory: its processes used ${sizeText(usedBytes)} of ${sizeText(limitBytes)}.`,
})

export const machineOutOfMemory = (usedBytes: number | undefined): Breach => ({
  reason: 'oom',
  message:
    'The machine was out of memory and killed a process of it' +
    `${usedBytes === undefined ? '' : `; all of them used ${sizeText(usedBytes)}`}.`,
})

export const tooManyProcesses = (count: number, limit: number): Breach => ({
  reason: 'quota',
  message: `Too many processes: it had ${count} of ${limit}, threads counted.`,
})

export const diskFull = (usedBytes: number, limitBytes: number): Breach => ({
  reason: 'quota',
  message: `Too much on disk: its workspace holds ${sizeText(usedBytes)} of ${sizeText(limitBytes)}.`,
})
