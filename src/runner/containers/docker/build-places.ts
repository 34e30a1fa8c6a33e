import { randomBytes, randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ErrandError } from '../../../contract/errors.ts'
import { isTaken, makeBridge, removeBridge } from './bridge.ts'
import { buildCgroups, makeBuildCgroup, removeBuildCgroup } from './build-cgroup.ts'
import type { NetworkAnswer } from './docker-answers.ts'
import type { DockerClient } from './docker-client.ts'
import { buildBridges } from './guard-rules.ts'
import { type Ipv4Range, ipv4Number, type NetworkSettings, rangeText } from './network-settings.ts'
import { engineLabels, labelFilter } from './own-labels.ts'

/** A build has one container at a time; so each network has room for a few. */
const SUBNET_BITS = 28
/** Others may take the same one at that moment. */
const TRIES = 50

/** The things that one build has to itself at the engine. */
export interface BuildPlace {
  network: string
  /** Cgroup for its containers, with its limit of processes; absent where none can be made. */
  cgroup: string | undefined
}

/** Makes them and takes them away again; what a crash has left is found by the runner's name. */
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
      // Both have ended before either is taken away again.
      const made = [
        this.#make(network, id, runner),
        makeBuildCgroup(this.#docker, cgroup, processes),
      ] as const
      await Promise.allSettled(made)
      await made[0]
      return await build({ network, cgroup: await made[1] })
    } finally {
      // What cannot be removed now the sweep removes.
      await removeBridge(this.#docker, network).catch(() => undefined)
      await removeBuildCgroup(cgroup)
      this.#used.delete(network)
      this.#used.delete(cgroup)
    }
  }

  /** Removes those of builds that an earlier process of the runner has begun. Answers the names of networks. */
  async sweep(runner: string): Promise<string[]> {
    const query = { filters: { label: labelFilter({ runner }) } }
    const networks = await this.#docker.ask<NetworkAnswer[]>('GET', '/networks', { query })
    const removed: string[] = []
    for (const { Name } of networks) {
      if (this.#used.has(Name)) continue
      // One that the engine does not let go of yet is asked for again by the next sweep.
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
    const order = { name, bridge: buildBridges(bots) + id, labels: engineLabels({ runner }) }
    for (const subnet of freeSubnets(buildSubnets, routes())) {
      try {
        return await makeBridge(this.#docker, { ...order, subnet })
      } catch (error) {
        if (!isTaken(error)) throw error
      }
    }
    throw new ErrandError('unavailable', `No addresses are free for a build in ${rangeText(buildSubnets)}.`, {
      hint: 'Set ERRAND_BUILD_SUBNETS of the runner to a range of IPv4 addresses that its machine uses for nothing else, such as 10.213.0.0/16.',
    })
  }
}

/** Without the sign by which systemd puts one into another. */
export const cgroupName = (runner: string, id: string): string =>
  `errand_build_${runner}_${id}`.replaceAll('-', '_')

/** Some, from anywhere in the range, that no route of this machine leads to. */
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

/** All but those to everywhere else. The kernel writes addresses as it has them in memory. */
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
