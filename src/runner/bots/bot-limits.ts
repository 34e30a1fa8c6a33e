import { parseBytes } from '../../contract/amounts.ts'
import type { AttemptLimits } from '../../contract/attempt.ts'
import type { BotLimits } from '../../contract/bot.ts'
import type { ContainerLimits } from '../containers/ports.ts'

/** What its container may use; `most` is what the step and this machine allow. */
export function containerLimits(limits: BotLimits, most: AttemptLimits = {}): ContainerLimits {
  const { cpus = Infinity, memory_bytes = Infinity, processes = Infinity, disk_bytes = Infinity } = most
  return {
    memoryBytes: Math.min(bytes(limits.memory), memory_bytes),
    cpus: Math.min(limits.cpus, cpus),
    processes: Math.min(limits.processes, processes),
    tmpBytes: Math.min(bytes(limits.disk), disk_bytes),
  }
}

/** Of a text that the contract has checked. */
export const bytes = (size: string | number): number => parseBytes(String(size))!

export const limitsText = ({ memoryBytes, cpus, processes }: ContainerLimits): string =>
  `${megabytes(memoryBytes)}, ${cpus} CPU, ${processes} processes`

export const megabytes = (size: number): string => `${Math.round(size / 1024 ** 2)} MB`
