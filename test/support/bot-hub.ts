import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import type { BotState, BotView, StartBotInput } from '../../src/contract/bots/bot-api.ts'
import { botNetwork } from '../../src/runner/docker/bot-network.ts'
import { botNetworkFor } from './docker/bot-network.ts'
import { baseImage, dockerHere, removeLabelled } from './docker/docker.ts'
import { type ContainerApi, DockerApi } from './docker/docker-api.ts'
import { eventually } from './errand-command.ts'
import { endProcessesOf, type Programs, type ProgramsOptions, startPrograms } from './programs.ts'

/** Returns the reason to skip a test that needs bots with a closed network, or false. */
export async function botsHere(): Promise<string | false> {
  return (await dockerHere()) || (process.getuid?.() === 0 ? false : 'only root sets the rules of a network')
}

/** A hub and a runner of bots as separate processes. Their bots, images and network are removed with the test. */
export interface BotHub extends Programs {
  engine: DockerApi
  /** Returns the network of the runner's bots, once it has had one. */
  network(): string
  /** Stand-ins for the images that users build on. */
  images: { python: string; node: string; busybox: string }
  /** Starts a bot of shell code over the API. */
  startShell(botId: string, script: string, more?: Partial<StartBotInput>): Promise<BotView>
  /** Waits until the bot is in the given state. */
  until(botId: string, state: BotState): Promise<BotView>
  /** Lists the containers that the runner has created, including ended ones. */
  containers(): ReturnType<DockerApi['listContainers']>
  containerOf(botId: string): Promise<ContainerApi>
  /** Returns everything that the bot's run has printed. */
  printed(runId: string, stream?: 'stdout' | 'stderr'): Promise<string>
  /** Waits until the output contains the text. */
  untilPrinted(runId: string, expected: string | RegExp): Promise<string>
}

export async function startBotHub(
  t: TestContext,
  { runnerEnv, ...options }: Pick<ProgramsOptions, 'host' | 'slots' | 'hubEnv' | 'runnerEnv'> = {},
): Promise<BotHub> {
  const engine = new DockerApi()
  let hub: BotHub | undefined
  // Hooks run in this order. The programs would recreate what is removed before they end, and the network can only be
  // removed when it is empty.
  t.after(() => hub && removeBots(hub))
  const { DOCKER_NETWORK } = botNetworkFor(t)
  const images = {
    python: await baseImage('python:3.11-slim'),
    node: await baseImage('node:20-slim'),
    busybox: await baseImage('busybox:latest'),
  }
  const programs = await startPrograms(t, {
    ...options,
    runnerEnv: {
      DOCKER_NETWORK,
      // More than this machine has, because all bots of a test run at once.
      ERRAND_CPUS: '64',
      ERRAND_MEMORY: '64GB',
      BASE_IMAGE: images.python,
      ERRAND_NODE_BASE_IMAGE: images.node,
      ERRAND_LOCAL_IMAGES: Object.values(images).join(),
      ...runnerEnv,
    },
  })

  const containers = async () => {
    const network = [`${DOCKER_NETWORK}-`]
    const found = await engine.listNetworks({ filters: { name: network } })
    const names = found.map(({ Name }) => Name)
    return names.length === 0 ? [] : await engine.listContainers({ all: true, filters: { network: names } })
  }
  const printed = async (runId: string, stream: 'stdout' | 'stderr' = 'stdout') =>
    await text(await programs.client.output(runId, 1, stream))
  hub = Object.assign(programs, {
    engine,
    network: () => botNetwork({ name: DOCKER_NETWORK, guard: 'iptables' }, engineNames(programs)[0]!),
    images,
    containers,
    printed,
    startShell: (botId: string, script: string, more: Partial<StartBotInput> = {}) =>
      programs.client.bots.start({
        bot_id: botId,
        docker_image: images.busybox,
        command: ['sh', '-c', script],
        ...more,
      }),
    async until(botId: string, state: BotState) {
      let seen: BotView | undefined
      try {
        return await eventually(`${botId}, ${state}`, async () => {
          seen = await programs.client.bots.get(botId).catch(() => undefined)
          return seen?.state === state && seen
        })
      } catch (error) {
        throw new Error(`${(error as Error).message}: ${JSON.stringify(seen)}`)
      }
    },
    async containerOf(botId: string) {
      const found = (await containers()).find(({ Labels }) => Labels['errand.bot'] === botId)
      if (found === undefined) throw new Error(`the bot ${botId} has no container`)
      return engine.getContainer(found.Id)
    },
    async untilPrinted(runId: string, expected: string | RegExp) {
      let seen = ''
      try {
        return await eventually(`${expected} in the log`, async () => {
          seen = await printed(runId).catch(() => seen)
          return (typeof expected === 'string' ? seen.includes(expected) : expected.test(seen)) && seen
        })
      } catch (error) {
        throw new Error(`${(error as Error).message}:\n${seen.slice(-2000)}`)
      }
    },
  })
  return hub
}

/** Returns the runner's names at the engine: none before its first bot. */
export function engineNames({ home }: Programs): string[] {
  return globSync(join(home, '**/engine-name')).map((file) => readFileSync(file, 'utf8'))
}

async function removeBots(hub: BotHub): Promise<void> {
  const { engine, home } = hub
  await endProcessesOf(home)
  for (const name of engineNames(hub)) await removeLabelled(`errand.runner=${name}`)
  for (const { Id } of await hub.containers()) await engine.getContainer(Id).remove({ force: true, v: true })
}
