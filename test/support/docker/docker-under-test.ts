import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { connectDocker } from '../../../src/runner/docker/connected-docker.ts'
import { botNetworkFor } from './bot-network.ts'
import { baseImage, noteMade, removeLabelled } from './docker.ts'
import type { EngineUnderTest } from './docker-engine-conformance.ts'

/** A driver with a network and a runner's name of its own; all of it goes with the test. */
export async function dockerUnderTest(
  t: TestContext,
  env: Readonly<Record<string, string>> = {},
): Promise<EngineUnderTest & { network: string }> {
  const runner = `errand-test-${randomBytes(4).toString('hex')}`
  noteMade('label', `errand.runner=${runner}`)
  // Before its network: a container holds that.
  t.after(() => removeLabelled(`errand.runner=${runner}`))
  const network = botNetworkFor(t)
  const engine = await connectDocker({ ...process.env, ...network, ...env })
  t.after(() => engine.close())
  return { engine, runner, image: await baseImage('busybox:latest'), network: network.DOCKER_NETWORK }
}
