import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type Docker from 'dockerode'
import type { NetworkInspectInfo } from 'dockerode'
import { ErrandError } from '../../../contract/errors.ts'
import { bridgeName, type GuardedBridge } from './guard-rules.ts'
import { NetworkGuard, notClosed } from './network-guard.ts'
import type { NetworkSettings } from './network-settings.ts'
import { openPlaces } from './open-places.ts'

const ICC = 'com.docker.network.bridge.enable_icc'
const BRIDGE = 'com.docker.network.bridge.name'
const MTU = 'com.docker.network.driver.mtu'
/** Whether packets between two bots of one bridge are shown to its rules. */
const BRIDGED_TOO = '/proc/sys/net/bridge/bridge-nf-call-iptables'

/**
 * The networks of bots, and of their builds: a build has more capabilities, and could speak on its network in the name of
 * a bot. Both are closed towards this machine, each other and every private address.
 */
export class BotNetwork {
  readonly bots: string
  readonly builds: string
  readonly #docker: Docker
  readonly #settings: NetworkSettings
  readonly #guard = new NetworkGuard()
  #preparing: Promise<void> = Promise.resolve()

  constructor(docker: Docker, settings: NetworkSettings) {
    this.#docker = docker
    this.#settings = settings
    this.bots = settings.name
    this.builds = `${settings.name}-builds`
  }

  /** One at a time: two would make the same network twice. */
  prepare(): Promise<void> {
    const prepared = this.#preparing.then(() => this.#prepare())
    this.#preparing = prepared.catch(() => {})
    return prepared
  }

  async #prepare(): Promise<void> {
    const bridges: GuardedBridge[] = []
    for (const network of [this.bots, this.builds])
      bridges.push(guardedBridge((await this.#find(network)) ?? (await this.#make(network))))
    if (this.#settings.guard === 'external') return
    const elsewhere = bridges.find(({ bridge }) => !existsSync(`/sys/class/net/${bridge}`))
    if (elsewhere !== undefined)
      throw notClosed(
        `its bridge ${elsewhere.bridge} is not on this machine, or not seen from this container`,
      )
    const bridgedToo = await readFile(BRIDGED_TOO, 'utf8').catch(() => '')
    if (bridgedToo.trim() !== '1') throw notClosed(`${BRIDGED_TOO} is not 1, so bots would reach each other`)
    await this.#guard.set(bridges, await openPlaces(this.#settings.allow))
  }

  async #find(name: string): Promise<NetworkInspectInfo | undefined> {
    // The engine's filter also finds names that contain this one.
    const found = await this.#docker.listNetworks({ filters: { name: [name] } })
    return found.find(({ Name }) => Name === name)
  }

  async #make(name: string): Promise<NetworkInspectInfo> {
    const general: NetworkInspectInfo = await this.#docker.getNetwork('bridge').inspect()
    const mtu = general.Options?.[MTU]
    try {
      await this.#docker.createNetwork({
        Name: name,
        CheckDuplicate: true,
        Driver: 'bridge',
        EnableIPv6: false,
        Options: {
          [ICC]: 'false',
          [BRIDGE]: bridgeName(name),
          // The one of the engine's own network: it knows what the way out can carry.
          ...(mtu === undefined ? {} : { [MTU]: mtu }),
        },
      })
    } catch (error) {
      // Another runner was quicker.
      const found = await this.#find(name)
      if (found === undefined) throw error
      return found
    }
    return (await this.#find(name))!
  }
}

function guardedBridge(info: NetworkInspectInfo): GuardedBridge {
  const difference = differs(info)
  if (difference !== undefined)
    throw new ErrandError('conflict', `The network ${info.Name} is there, but ${difference}.`, {
      hint: `Remove it (docker network rm ${info.Name}) and it is made as it must be, or set DOCKER_NETWORK to another name.`,
    })
  return {
    network: info.Name,
    bridge: info.Options?.[BRIDGE] ?? `br-${info.Id.slice(0, 12)}`,
    subnets: (info.IPAM?.Config ?? []).flatMap(({ Subnet }) => (Subnet === undefined ? [] : [Subnet])),
  }
}

function differs({ Driver, EnableIPv6, Options }: NetworkInspectInfo): string | undefined {
  if (Driver !== 'bridge') return `its driver is "${Driver}", not "bridge"`
  if (EnableIPv6) return 'it has IPv6'
  if (Options?.[ICC] !== 'false') return `its containers reach each other (${ICC} is not "false")`
  return undefined
}
