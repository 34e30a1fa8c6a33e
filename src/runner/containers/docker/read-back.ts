import { isDeepStrictEqual } from 'node:util'
import type { ContainerAnswer, HostConfig } from './docker-answers.ts'

/** A profile of system calls has thousands. */
const SHOWN_CHARACTERS = 200

/**
 * Name of the first thing that the engine does not hold as it was asked to, with both values. Engines leave out what the
 * kernel cannot do, with no more than a warning.
 */
export function differing(asked: HostConfig, info: ContainerAnswer): string | undefined {
  const held = info.HostConfig
  for (const [name, wanted] of Object.entries(asked)) {
    if (isDeepStrictEqual(plain(name, held[name]), plain(name, wanted))) continue
    return `${name} is ${shown(held[name])}, not ${shown(wanted)}`
  }
  const targets = new Set(asked.Mounts.map(({ Target }) => Target))
  const disk = info.Mounts.find(
    ({ Type, Destination }) => Type !== 'tmpfs' && !(Type === 'volume' && targets.has(Destination)),
  )
  if (disk !== undefined) return `${disk.Destination} is a ${disk.Type} of this machine`
  const networks = Object.keys(info.NetworkSettings.Networks)
  if (!isDeepStrictEqual(networks, [asked.NetworkMode]))
    return `its networks are ${networks.join(', ')}, not ${asked.NetworkMode}`
  return undefined
}

const shown = (value: unknown): string => String(JSON.stringify(value)).slice(0, SHOWN_CHARACTERS)

/** Engines write the same in several ways: an empty list as null, a capability with and without its prefix. */
function plain(name: string, value: unknown): unknown {
  if (value === null || value === undefined) return []
  if (typeof value === 'object' && Object.keys(value).length === 0) return []
  if (name === 'CapAdd' || name === 'CapDrop')
    return (value as string[]).map((capability) => capability.replace(/^CAP_/, ''))
  if (name === 'Mounts') return (value as { Target: string }[]).map(({ Target }) => Target).sort()
  return value
}
