import { sizeText } from '../../contract/amounts.ts'
import type { Breach } from './hold.ts'

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
