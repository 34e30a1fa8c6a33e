import { execFile } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { ErrandError } from '../../contract/errors.ts'
import type { NetworkAnswer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { procText } from '../../platform/proc.ts'
import { cgroupPlaces, cgroupsBelow, makeCgroup, removeCgroup, tryControl } from '../limits/cgroups.ts'
import { isTaken, makeBridge, removeBridge } from './bridge.ts'
import { buildBridges } from './network-guard.ts'
import { type Ipv4Range, ipv4Number, type NetworkSettings, rangeText } from './network-settings.ts'
import { dockerLabels, labelFilter } from './own-labels.ts'

/** Size of a build's network: a build has one container at a time, so there is room for a few. */
const SUBNET_BITS = 28
/** Limit for tries, since others may take the same subnet at that moment. */
const TRIES = 50

/** Holds what one build has for itself at the engine. */
export interface BuildPlace {
  network: string
  /** Cgroup for its containers, with its limit of processes; absent if none can be created. */
  cgroup: string | undefined
}

/** Creates and removes build places; leftovers of a crash are found by the runner's name. */
export class BuildPlaces {
  readonly #docker: DockerClient
  readonly #settings: NetworkSettings
  readonly #used = new Set<string>()

  constructor(docker: DockerClient, settings: NetworkSettings) {
    this.#docker = docker
    this.#settings = settings
  }

  async use<T>(
    { runner, processes }: { runner: string; processes: number },
    build: (place: BuildPlace) => Promise<T>,
  ): Promise<T> {
    const id = randomBytes(5).toString('hex').slice(0, 5)
    const network = `${this.#settings.name}-build-${id}`
    const cgroup = cgroupName(runner, id)
    this.#used.add(network).add(cgroup)
    try {
      // Both have settled before either is removed again.
      const made = [
        this.#make(network, id, runner),
        makeBuildCgroup(this.#docker, cgroup, processes),
      ] as const
      await Promise.allSettled(made)
      await made[0]
      return await build({ network, cgroup: await made[1] })
    } finally {
      // The sweep removes what cannot be removed now.
      await removeBridge(this.#docker, network).catch(() => undefined)
      await removeBuildCgroup(cgroup)
      this.#used.delete(network)
      this.#used.delete(cgroup)
    }
  }

  /** Removes the places of builds that an earlier process of the runner has begun. Returns the names of networks. */
  async sweep(runner: string): Promise<string[]> {
    const query = { filters: { label: labelFilter({ runner }) } }
    const networks = await this.#docker.ask<NetworkAnswer[]>('GET', '/networks', { query })
    const removed: string[] = []
    for (const { Name } of networks) {
      if (this.#used.has(Name)) continue
      // The next sweep tries again if the engine does not release it yet.
      await removeBridge(this.#docker, Name).then(
        () => removed.push(Name),
        () => undefined,
      )
    }
    for (const name of buildCgroups(cgroupName(runner, '')))
      if (!this.#used.has(name)) await removeBuildCgroup(name)
    return removed
  }

  async #make(name: string, id: string, runner: string): Promise<void> {
    const { name: bots, buildSubnets } = this.#settings
    const order = { name, bridge: buildBridges(bots) + id, labels: dockerLabels({ runner }) }
    for (const subnet of freeSubnets(buildSubnets, routes())) {
      try {
        return await makeBridge(this.#docker, { ...order, subnet })
      } catch (error) {
        if (!isTaken(error)) throw error
      }
    }
    throw new ErrandError('unavailable', `No free addresses for a build in ${rangeText(buildSubnets)}.`, {
      hint: 'Set ERRAND_BUILD_SUBNETS of the runner to a range of IPv4 addresses that its machine uses for nothing else, such as 10.213.0.0/16.',
    })
  }
}

/** Returns the name of a cgroup, without the character that nests systemd units. */
export const cgroupName = (runner: string, id: string): string =>
  `errand_build_${runner}_${id}`.replaceAll('-', '_')

/** Returns subnets from random places of the range that no route of this machine covers. */
export function freeSubnets(range: Ipv4Range, taken: readonly Ipv4Range[]): string[] {
  const size = 2 ** (32 - SUBNET_BITS)
  const count = 2 ** (SUBNET_BITS - range.bits)
  const from = randomInt(count)
  const found: string[] = []
  for (let index = 0; index < count && found.length < TRIES; index++) {
    const subnet = { first: range.first + ((from + index) % count) * size, bits: SUBNET_BITS }
    if (!taken.some((other) => overlap(subnet, other))) found.push(rangeText(subnet))
  }
  return found
}

function overlap(a: Ipv4Range, b: Ipv4Range): boolean {
  const size = 2 ** (32 - Math.min(a.bits, b.bits))
  return Math.floor(a.first / size) === Math.floor(b.first / size)
}

/** Returns all routes except default ones. The kernel prints addresses in memory order. */
function routes(): Ipv4Range[] {
  const lines = readFileSync('/proc/net/route', 'utf8').split('\n').slice(1)
  return lines.flatMap((line) => {
    const [, destination, , , , , , mask] = line.split('\t')
    if (destination === undefined || mask === undefined) return []
    const bits = [...Number.parseInt(mask, 16).toString(2)].filter((bit) => bit === '1').length
    const first = ipv4Number(Buffer.from(destination, 'hex').reverse().join('.'))
    return bits === 0 ? [] : [{ first, bits }]
  })
}

const execute = promisify(execFile)
/** Cgroup namespace that a machine boots with, to which an engine's paths refer. */
const FIRST_NAMESPACE = 'cgroup:[4026531835]'
/** Folder in which systemd stores settings of units until the machine boots again. */
const SYSTEMD_SETTINGS = '/run/systemd/system.control'
/** Milliseconds that killed processes may take to be gone. */
const RETRY_MS = 5_000
const AGAIN_MS = 20

/**
 * Creates a cgroup for the containers of one build, with its limit of processes, because the classic builder has no
 * option for that. Returns the name for the engine; undefined if the engine's cgroups are not this machine's, or not
 * ours to create.
 */
export async function makeBuildCgroup(
  docker: DockerClient,
  name: string,
  processes: number,
): Promise<string | undefined> {
  if (!sharesCgroups(docker)) return undefined
  const { CgroupDriver } = await docker.ask<{ CgroupDriver?: string }>('GET', '/info')
  if (CgroupDriver === 'systemd')
    return (await systemctl('set-property', '--runtime', slice(name), `TasksMax=${processes}`))
      ? slice(name)
      : undefined
  const { v1, v2 } = cgroupRoots()
  const root = v1.get('pids') ?? v2
  if (root === undefined || !makeCgroup(join(root, name))) return undefined
  if (tryControl(join(root, name, 'pids.max'), processes)) return `/${name}`
  removeCgroup(join(root, name))
  return undefined
}

/** Removes it, with what the engine has made of it in other hierarchies. It stays where a process is still in it. */
async function removeBuildCgroup(name: string): Promise<void> {
  if (cgroupsBelow(SYSTEMD_SETTINGS).includes(`${slice(name)}.d`)) {
    await systemctl('stop', slice(name))
    await systemctl('revert', slice(name))
  }
  const removed = () => allRoots().map((root) => removeCgroup(join(root, name)))
  for (const until = performance.now() + RETRY_MS; ; await sleep(AGAIN_MS))
    if (removed().every(Boolean) || performance.now() > until) return
}

/** Returns the names with that beginning. */
export function buildCgroups(prefix: string): string[] {
  const ofSystemd = cgroupsBelow(SYSTEMD_SETTINGS).map((folder) => folder.replace(/\.slice\.d$/, ''))
  const names = [...allRoots().flatMap(cgroupsBelow), ...ofSystemd]
  return [...new Set(names)].filter((name) => name.startsWith(prefix))
}

/** Returns the name of a slice below the root, which contains no "-". */
const slice = (name: string): string => `${name}.slice`

/** Runs systemctl, which also accepts units that do not exist yet. Returns false if systemd is missing, or refuses. */
async function systemctl(...args: string[]): Promise<boolean> {
  return await execute('systemctl', args).then(
    () => true,
    () => false,
  )
}

function sharesCgroups({ isHere }: DockerClient): boolean {
  try {
    return isHere && readlinkSync('/proc/self/ns/cgroup') === FIRST_NAMESPACE
  } catch {
    return false
  }
}

/** Returns the folders of the topmost cgroups. */
function cgroupRoots(): ReturnType<typeof cgroupPlaces> {
  const text = (file: string) => procText('self', file) ?? ''
  const topmost = text('cgroup').replace(/^(\d+:[^:]*:).*$/gm, '$1/')
  return cgroupPlaces(text('mountinfo'), topmost)
}

function allRoots(): string[] {
  const { v1, v2 } = cgroupRoots()
  return [...new Set([...v1.values(), ...(v2 === undefined ? [] : [v2])])]
}
