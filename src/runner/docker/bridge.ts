import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { ListedContainer, NetworkAnswer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { isBeingRemoved, isGone } from '../../docker/docker-errors.ts'

export const ICC = 'com.docker.network.bridge.enable_icc'
export const BRIDGE = 'com.docker.network.bridge.name'
const MTU = 'com.docker.network.driver.mtu'
/** Milliseconds that an engine may take to release a container. */
const TIMEOUT_MS = 10_000
const AGAIN_MS = 100

export interface BridgeOrder {
  name: string
  /** Name of the bridge on the machine. */
  bridge: string
  /** Subnet; if absent, the engine takes one of its own. */
  subnet?: string
  labels?: Record<string, string>
}

/** Creates a network whose containers do not reach each other. */
export async function makeBridge(
  docker: DockerClient,
  { name, bridge, subnet, labels }: BridgeOrder,
): Promise<void> {
  const { Options: general } = await docker.ask<NetworkAnswer>('GET', '/networks/bridge')
  const mtu = general?.[MTU]
  try {
    await docker.ask('POST', '/networks/create', {
      body: {
        Name: name,
        CheckDuplicate: true,
        Driver: 'bridge',
        EnableIPv6: false,
        ...(subnet === undefined ? {} : { IPAM: { Config: [{ Subnet: subnet }] } }),
        ...(labels === undefined ? {} : { Labels: labels }),
        Options: {
          [ICC]: 'false',
          [BRIDGE]: bridge,
          // The value of the engine's own network, which knows what the outgoing link can carry.
          ...(mtu === undefined ? {} : { [MTU]: mtu }),
        },
      },
    })
  } catch (error) {
    if (!/non-overlapping IPv4 address pool|predefined address pools/.test((error as Error).message))
      throw error
    throw new ErrandError('unavailable', `Docker has no addresses left for the network ${name}.`, {
      hint: 'Remove unused networks (docker network prune), or give Docker more "default-address-pools" in its daemon.json.',
      cause: error,
    })
  }
}

/** Reports whether another network has these addresses. */
export const isTaken = (error: unknown): boolean => /overlap/i.test((error as Error).message)

/** Removes a network, with the containers that are still on it. Does nothing if it is gone. */
export async function removeBridge(docker: DockerClient, name: string): Promise<void> {
  for (const until = performance.now() + TIMEOUT_MS; ; await sleep(AGAIN_MS)) {
    const inside = await docker.ask<ListedContainer[]>('GET', '/containers/json', {
      query: { all: true, filters: { network: [name] } },
    })
    for (const { Id } of inside)
      await docker.ask('DELETE', `/containers/${Id}`, { query: { force: true, v: true } }).catch((error) => {
        if (!isGone(error) && !isBeingRemoved(error)) throw error
      })
    try {
      return void (await docker.ask('DELETE', `/networks/${name}`))
    } catch (error) {
      if (isGone(error)) return
      // A container that the engine is creating or removing at the moment.
      if (!/active endpoints/.test((error as Error).message) || performance.now() > until) throw error
    }
  }
}
