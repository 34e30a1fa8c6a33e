import { randomInt } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { AttemptSpec } from '../../../src/contract/attempt.ts'
import { ErrandError } from '../../../src/contract/errors.ts'
import { BotServices, type BotsOptions } from '../../../src/runner/bots/bot-services.ts'
import { dockerName } from '../../../src/runner/bots/docker-here.ts'
import { prepareImage } from '../../../src/runner/bots/images/prepare-image.ts'
import { connectDocker } from '../../../src/runner/docker/connected-docker.ts'
import type { AttemptsOptions } from '../../../src/runner/open-attempts.ts'
import type { Attempts } from '../../../src/runner/ports.ts'
import { attemptSpec, place } from '../runner/attempt-fixture.ts'
import { botNetworkFor } from './bot-network.ts'
import { baseImage, labelled, noteMade, removeLabelled } from './docker.ts'

/** A runner's folder on the real engine, with a network of its own. All of it is removed with the test. */

export interface BotPlace {
  /** The folder that contains everything. */
  path: string
  env: Record<string, string>
  stateDir: string
  /** The label of everything that this runner has at the engine. */
  label: string
  services: BotServices
  open(options?: Partial<AttemptsOptions>): Attempts
  /** Returns the attempt of a busybox bot that runs this shell script. */
  bot(script: string, args?: object, more?: Partial<AttemptSpec>): AttemptSpec
  /** Lists the ids of this runner's containers. */
  containers(): Promise<string[]>
}

export async function botPlace(t: TestContext, options: Partial<BotsOptions> = {}): Promise<BotPlace> {
  const image = await baseImage('busybox:latest')
  const here = place()
  const stateDir = join(here.path, 'bots')
  const label = `errand.runner=${dockerName(stateDir)}`
  noteMade('label', label)
  t.after(async () => {
    await removeLabelled(label)
    await rm(here.path, { recursive: true, force: true })
  })
  const own = { ...botNetworkFor(t), ERRAND_LOCAL_IMAGES: 'errand.test/*' }
  const env = { ...(process.env as Record<string, string>), ...own }
  const services = new BotServices({
    stateDir,
    env,
    connect: connectDocker,
    prepareImage,
    fetchUpload: () => Promise.reject(new ErrandError('internal', 'This test has no hub.')),
    sendData: () => Promise.reject(new ErrandError('internal', 'This test has no hub.')),
    ...options,
  })
  t.after(() => services.close())
  return {
    path: here.path,
    env,
    stateDir,
    label,
    services,
    open: (more) => here.open({ bots: services, ...more }),
    bot: (script, args, more) =>
      attemptSpec(
        'bot.serve',
        {
          bot_id: `test-${randomInt(1e9)}`,
          source: { mode: 'image', image },
          command: ['/bin/sh', '-c', script],
          stop_grace_seconds: 1,
          ...args,
        },
        { owner: 'ann', tenant: 'default', ...more },
      ),
    containers: async () => (await labelled(label)).containers,
  }
}
