import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { NetworkAnswer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
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
} from './network-guard.ts'
import { type NetworkSettings, rangeText } from './network-settings.ts'

/** Whether packets between two bots of one bridge are shown to its rules. */
const BRIDGED_TOO = '/proc/sys/net/bridge/bridge-nf-call-iptables'

/**
 * The network of bots, and those of their builds, one each: a build has more capabilities, and could speak in the name of
 * whoever is on its network. All are closed towards this machine, each other and every private address.
 */
export class BotNetwork {
  readonly bots: string
  readonly builds: BuildPlaces
  readonly #docker: DockerClient
  readonly #settings: NetworkSettings
  readonly #guard = new NetworkGuard()
  #changing: Promise<void> = Promise.resolve()

  constructor(docker: DockerClient, settings: NetworkSettings) {
    this.#docker = docker
    this.#settings = settings
    this.bots = settings.name
    this.builds = new BuildPlaces(docker, settings)
  }

  prepare(): Promise<void> {
    return this.#oneAtATime(() => this.#prepare())
  }

  /** Two would make the same network twice, or one take away what the other has just made. */
  #oneAtATime(change: () => Promise<void>): Promise<void> {
    const changed = this.#changing.then(change)
    this.#changing = changed.catch(() => {})
    return changed
  }

  async #prepare(): Promise<void> {
    const bots = guardedBridge((await this.#find(this.bots)) ?? (await this.#make()))
    if (this.#settings.guard === 'external') return
    if (!existsSync(`/sys/class/net/${bots.bridge}`))
      throw notClosed(`its bridge ${bots.bridge} is not on this machine, or not seen from this container`)
    const bridgedToo = await readFile(BRIDGED_TOO, 'utf8').catch(() => '')
    if (bridgedToo.trim() !== '1') throw notClosed(`${BRIDGED_TOO} is not 1, so bots would reach each other`)
    const builds: GuardedBridge = {
      chain: buildsChain(this.bots),
      bridge: `${buildBridges(this.bots)}+`,
      subnets: [rangeText(this.#settings.buildSubnets)],
      forges: true,
    }
    await this.#guard.set([bots, builds], await openPlaces(this.#settings.allow))
  }

  /** Takes away what builds of this runner have left, and the rules of networks that are gone. Answers names of networks. */
  async sweep(runner: string): Promise<string[]> {
    const removed = await this.builds.sweep(runner)
    await this.#removeShared()
    if (this.#settings.guard === 'iptables') await this.#oneAtATime(() => this.#guard.removeStale())
    return removed
  }

  /** Builds of earlier versions had one network together. */
  async #removeShared(): Promise<void> {
    const name = `${this.bots}-builds`
    const found = await this.#find(name)
    // Another runner's build may be on it.
    if (found?.Options?.[BRIDGE] === bridgeName(name))
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
    throw new ErrandError('conflict', `The network ${info.Name} is there, but ${difference}.`, {
      hint: `Remove it (docker network rm ${info.Name}) and it is made as it must be, or set DOCKER_NETWORK to another name.`,
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
  if (EnableIPv6) return 'it has IPv6'
  if (Options?.[ICC] !== 'false') return `its containers reach each other (${ICC} is not "false")`
  return undefined
}
