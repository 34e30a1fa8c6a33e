import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { NetworkAnswer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { Mutex } from '../../platform/sync.ts'
import { BRIDGE, ICC, makeBridge } from './bridge.ts'
import { BuildPlaces } from './build-places.ts'
import {
  bridgeName,
  buildBridges,
  buildsChain,
  type GuardedBridge,
  guardChain,
  NetworkGuard,
  notClosed,
  openPlaces,
  short,
} from './network-guard.ts'
import { type NetworkSettings, rangeText } from './network-settings.ts'

/** Tells whether the rules see packets between two bots of one bridge. */
const BRIDGED_TOO = '/proc/sys/net/bridge/bridge-nf-call-iptables'

/**
 * Returns the network of a runner's bots. If this process closes it, no other runner uses it: places that one runner
 * opens to its bots, by rules for that network, are neither closed by another nor open to the bots of another.
 */
export const botNetwork = (
  { name, guard }: Pick<NetworkSettings, 'name' | 'guard'>,
  runner: string,
): string => (guard === 'external' ? name : `${name}-${short(runner)}`)

/**
 * Manages the network of a runner's bots, and a separate one for each build: a build has more capabilities, and could
 * impersonate others on its network. All are closed towards this machine, each other and every private address.
 */
export class BotNetwork {
  readonly bots: string
  readonly builds: BuildPlaces
  readonly #docker: DockerClient
  readonly #settings: NetworkSettings
  readonly #guard = new NetworkGuard()
  /** Serializes changes: two could create the same network twice, or one could remove what the other has just created. */
  readonly #mutex = new Mutex()
  #isUsed = false

  constructor(docker: DockerClient, settings: NetworkSettings, runner: string) {
    this.#docker = docker
    this.#settings = settings
    this.bots = botNetwork(settings, runner)
    this.builds = new BuildPlaces(docker, { ...settings, name: this.bots })
  }

  prepare(): Promise<void> {
    this.#isUsed = true
    return this.#mutex.run(() => this.#prepare())
  }

  async #prepare(): Promise<void> {
    const bots = guardedBridge((await this.#find(this.bots)) ?? (await this.#make()))
    if (this.#settings.guard === 'external') return
    if (!existsSync(`/sys/class/net/${bots.bridge}`))
      throw notClosed(`its bridge ${bots.bridge} is not on this machine, or not visible from this container`)
    const bridgedToo = await readFile(BRIDGED_TOO, 'utf8').catch(() => '')
    if (bridgedToo.trim() !== '1') throw notClosed(`${BRIDGED_TOO} is not 1, so bots could reach each other`)
    const builds: GuardedBridge = {
      chain: buildsChain(this.bots),
      bridge: `${buildBridges(this.bots)}+`,
      subnets: [rangeText(this.#settings.buildSubnets)],
      forges: true,
    }
    const shared = await this.#findShared()
    const old = shared === undefined || differs(shared) !== undefined ? [] : [guardedBridge(shared)]
    await this.#guard.set([bots, builds, ...old], await openPlaces(this.#settings.allow))
  }

  /**
   * Removes leftovers of this runner's builds, networks that nobody needs any more, and the rules of networks that are
   * gone. Returns the names of removed build networks.
   */
  async sweep(runner: string): Promise<string[]> {
    const removed = await this.builds.sweep(runner)
    await this.#removeEarlier()
    if (this.#settings.guard === 'external') return removed
    await this.#mutex.run(async () => {
      // A bot or a build of this process may be about to need it.
      if (!this.#isUsed) await this.#removeUnused(this.bots)
      await this.#removeUnused(this.#settings.name)
      await this.#guard.removeStale()
    })
    return removed
  }

  /** Removes its network and the rules for it, if no bot of the runner is left. Nothing can be prepared afterwards. */
  async release(): Promise<void> {
    if (this.#settings.guard === 'external' || !this.#isUsed) return
    await this.#mutex.run(async () => {
      await this.#removeUnused(this.bots)
      await this.#guard.removeStale()
    })
  }

  /** Removes the common network that builds of earlier versions had. */
  async #removeEarlier(): Promise<void> {
    const name = `${this.#settings.name}-builds`
    const found = await this.#find(name)
    // Another runner's build may be on it.
    if (found?.Options?.[BRIDGE] === bridgeName(name))
      await this.#docker.ask('DELETE', `/networks/${found.Id}`).catch(() => undefined)
  }

  /** Finds the network that earlier versions shared between all runners of a machine; some bots may still be on it. */
  async #findShared(): Promise<NetworkAnswer | undefined> {
    const { name } = this.#settings
    const found = await this.#find(name)
    return found?.Options?.[BRIDGE] === bridgeName(name) ? found : undefined
  }

  /**
   * Removes a network of ours without bots, running or not, and without builds beside it: the rules for builds are
   * removed with it.
   */
  async #removeUnused(name: string): Promise<void> {
    const ask = (path: string, filters: object) =>
      this.#docker.ask<{ Name?: string }[]>('GET', path, { query: { all: true, filters } })
    const found = await this.#find(name)
    if (found?.Options?.[BRIDGE] !== bridgeName(name)) return
    const builds = await ask('/networks', { name: [`${name}-build-`] })
    const bots = await ask('/containers/json', { network: [name] })
    if (bots.length > 0 || builds.some(({ Name }) => Name?.startsWith(`${name}-build-`))) return
    await this.#docker.ask('DELETE', `/networks/${found.Id}`).catch(() => undefined)
  }

  async #find(name: string): Promise<NetworkAnswer | undefined> {
    // The engine's filter also finds names that contain this one.
    const found = await this.#docker.ask<NetworkAnswer[]>('GET', '/networks', {
      query: { filters: { name: [name] } },
    })
    return found.find(({ Name }) => Name === name)
  }

  async #make(): Promise<NetworkAnswer> {
    try {
      await makeBridge(this.#docker, { name: this.bots, bridge: bridgeName(this.bots) })
    } catch (error) {
      // Another runner was quicker.
      const found = await this.#find(this.bots)
      if (found === undefined) throw error
      return found
    }
    return (await this.#find(this.bots))!
  }
}

function guardedBridge(info: NetworkAnswer): GuardedBridge {
  const difference = differs(info)
  if (difference !== undefined)
    throw new ErrandError('conflict', `The network ${info.Name} exists, but ${difference}.`, {
      hint: `Remove it (docker network rm ${info.Name}) so that it is recreated correctly, or set DOCKER_NETWORK to another name.`,
    })
  return {
    chain: guardChain(info.Name),
    bridge: info.Options?.[BRIDGE] ?? `br-${info.Id.slice(0, 12)}`,
    subnets: (info.IPAM?.Config ?? []).flatMap(({ Subnet }) => (Subnet === undefined ? [] : [Subnet])),
    forges: false,
  }
}

function differs({ Driver, EnableIPv6, Options }: NetworkAnswer): string | undefined {
  if (Driver !== 'bridge') return `its driver is "${Driver}", not "bridge"`
  if (EnableIPv6) return 'IPv6 is enabled'
  if (Options?.[ICC] !== 'false') return `its containers can reach each other (${ICC} is not "false")`
  return undefined
}
