import type { Breach } from './hold.ts'

const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB'] as const

/** As steps write it: a KB has 1,024 bytes. */
export function sizeText(bytes: number): string {
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${UNITS[unit]}`
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
