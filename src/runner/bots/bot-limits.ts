import { parseBytes } from '../../contract/amounts.ts'
import type { AttemptLimits } from '../../contract/attempt.ts'
import type { BotLimits } from '../../contract/bot.ts'
import type { ContainerLimits } from '../containers/ports.ts'

/** Of an ordinary group of processes that wants a core. */
const ORDINARY_SHARES = 1024
/** Where no cores are kept for bots: ten that are busy get as much as one step. */
const PRESET_OVERCOMMIT = 10

/** The limits of its container; `most` is what the step and this machine allow. */
export function containerLimits(
  limits: BotLimits,
  most: AttemptLimits = {},
  cpuOvercommit = PRESET_OVERCOMMIT,
): ContainerLimits {
  const { cpus = Infinity, memory_bytes = Infinity, processes = Infinity, disk_bytes = Infinity } = most
  return {
    memoryBytes: Math.min(bytes(limits.memory), memory_bytes),
    cpus: Math.min(limits.cpus, cpus),
    cpuShares: cpuShares(Math.min(limits.cpus, cpus), cpuOvercommit),
    processes: Math.min(limits.processes, processes),
    tmpBytes: Math.min(bytes(limits.disk), disk_bytes),
  }
}

/** All bots for which a core is kept have together the weight of one. */
export const cpuShares = (cpus: number, cpuOvercommit = PRESET_OVERCOMMIT): number =>
  Math.max(2, Math.round((ORDINARY_SHARES * cpus) / cpuOvercommit))

/** Of a text that the contract has checked. */
export const bytes = (size: string | number): number => parseBytes(String(size))!

export const limitsText = ({ memoryBytes, cpus, processes }: ContainerLimits): string =>
  `${megabytes(memoryBytes)}, ${cpus} CPU, ${processes} processes`

export const megabytes = (size: number): string => `${Math.round(size / 1024 ** 2)} MB`
