import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { botNetwork } from '../../../src/runner/docker/bot-network.ts'
import { connectDocker } from '../../../src/runner/docker/connected-docker.ts'
import { networkSettings } from '../../../src/runner/docker/network-settings.ts'
import { botNetworkFor } from './bot-network.ts'
import { baseImage, noteMade, removeLabelled } from './docker.ts'
import type { EngineUnderTest } from './docker-engine-conformance.ts'

/**
 * Connects a driver with its own network and its own runner name. All of it is removed with the test. `base` is the
 * prefix of the network's name.
 */
export async function dockerUnderTest(
  t: TestContext,
  env: Readonly<Record<string, string>> = {},
): Promise<EngineUnderTest & { network: string; base: string }> {
  const runner = `errand-test-${randomBytes(4).toString('hex')}`
  noteMade('label', `errand.runner=${runner}`)
  // Runs before the network is removed, because a container keeps it in use.
  t.after(() => removeLabelled(`errand.runner=${runner}`))
  const network = botNetworkFor(t)
  const all = { ...process.env, ...network, ...env }
  const engine = await connectDocker(all, runner)
  t.after(() => engine.close())
  const { DOCKER_NETWORK: base } = all
  const image = await baseImage('busybox:latest')
  return { engine, runner, image, network: botNetwork(networkSettings(all), runner), base }
}
