import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import {
  bridgeName,
  buildBridges,
  buildsChain,
  guardChain,
} from '../../../src/runner/docker/network-guard.ts'
import { noteMade } from './docker.ts'
import { DockerApi, type ResourceApi } from './docker-api.ts'

const execute = promisify(execFile)

/**
 * Returns a name that no other test's bot networks begin with. Networks with that name or prefix are removed with the
 * test, and their firewall rules too.
 */
export function botNetworkFor(t: TestContext): { DOCKER_NETWORK: string } {
  const name = `errand-test-${randomBytes(4).toString('hex')}`
  noteMade('network', name)
  t.after(() => removeBotNetwork(name))
  return { DOCKER_NETWORK: name }
}

/** Removes the network of that name, the networks whose names begin with it (those of builds too), and their rules. */
export async function removeBotNetwork(base: string): Promise<void> {
  const docker = new DockerApi()
  const networks = await docker.listNetworks({ filters: { name: [base] } })
  const own = networks.filter(({ Name }) => Name === base || Name.startsWith(`${base}-`))
  for (const { Id } of own) await removedOnceEmpty(docker.getNetwork(Id))
  const names = own.map(({ Name }) => Name.replace(/-build-.*$/, ''))
  for (const name of new Set([base, ...names])) await removeRules(name)
}

async function removeRules(name: string): Promise<void> {
  for (const [bridge, chain] of [
    [bridgeName(name), guardChain(name)],
    [`${buildBridges(name)}+`, buildsChain(name)],
  ] as const) {
    const rule = (target: string): string[] => ['-D', 'PREROUTING', '-i', bridge, '-j', target]
    for (const args of [rule(chain), ['-F', chain], ['-X', chain]])
      await execute('iptables', ['-w', '10', '-t', 'raw', ...args]).catch(notThere)
    await execute('ip6tables', ['-w', '10', '-t', 'raw', ...rule('DROP')]).catch(notThere)
  }
}

/** Removes a network, and retries while it still has endpoints: an engine takes its time to end an aborted build. */
async function removedOnceEmpty(network: ResourceApi<unknown>): Promise<void> {
  const deadline = Date.now() + 180_000
  for (;;) {
    try {
      await network.remove()
      return
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 404) return
      if (!/active endpoints/.test((error as Error).message) || Date.now() > deadline) throw error
      // Sleeps: the engine is asked again until its containers are gone.
      await sleep(100)
    }
  }
}

/** Ignores errors about missing rules: a test may have created none, or only some. */
function notThere(error: { stderr?: string }): void {
  const gone = /No chain|No such file|does not exist|Bad rule|doesn't exist|does a matching rule exist/
  if (!gone.test(error.stderr ?? '')) throw error
}
