import type { Readable } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'
import type { ContainerAnswer, ListedContainer } from '../../docker/docker-answers.ts'
import { askVersion, DockerClient, type DockerEnv, dockerAddress } from '../../docker/docker-client.ts'
import { isBeingRemoved, isGone, notReached, withDockerErrors } from '../../docker/docker-errors.ts'
import { type PullOrder, pull } from '../../docker/pull.ts'
import { BotNetwork } from './bot-network.ts'
import { build } from './build.ts'
import {
  containerEvents,
  containerHistory,
  containerState,
  containerUse,
  waitFor,
} from './container-state.ts'
import { createContainer } from './create-container.ts'
import type {
  BuildOrder,
  ContainerEvent,
  ContainerHistory,
  ContainerOrder,
  ContainerState,
  ContainerUse,
  DockerEngine,
  FoundContainer,
  FoundVolume,
  ImageInfo,
  LogPiece,
  OwnLabels,
} from './docker-engine.ts'
import { followLog } from './docker-log.ts'
import { readVolume } from './held-volumes.ts'
import { image, images, removeImage, tag } from './images.ts'
import { networkSettings } from './network-settings.ts'
import { labelFilter, ownLabels } from './own-labels.ts'
import { removeVolume, volumeBytes, volumes } from './volumes.ts'

/** Seconds that the kernel's report about an ended container may take to reach the engine. */
const LATE_SECONDS = 3

class ConnectedDocker implements DockerEngine {
  readonly about: { engine: string; version: string }
  readonly #docker: DockerClient
  readonly #network: BotNetwork
  readonly #hasSeccomp: boolean
  readonly #env: DockerEnv
  readonly #closed = new AbortController()
  /** Folders of volumes. */
  readonly #folders = new Map<string, string>()

  /** Takes `env` as the client has read it. */
  constructor(
    docker: DockerClient,
    { version, hasSeccomp, env }: { version: string; hasSeccomp: boolean; env: DockerEnv },
    network: BotNetwork,
  ) {
    this.#env = env
    this.about = { engine: 'docker', version }
    this.#hasSeccomp = hasSeccomp
    this.#docker = docker
    this.#network = network
  }

  prepareNetwork(): Promise<void> {
    return this.#withDockerErrors('prepare the network of bots', this.#network.prepare())
  }

  async pull(order: PullOrder): Promise<ImageInfo> {
    await pull(this.#docker, { ...order, signal: this.#until(order.signal) })
    return this.#known(order.image)
  }

  async build(order: BuildOrder): Promise<ImageInfo> {
    const until = { ...order, signal: this.#until(order.signal) }
    const place = { runner: order.labels.runner, processes: order.limits.processes }
    const built = this.#network.builds.use(place, (place) => build(this.#docker, place, until))
    return this.#known(await this.#withDockerErrors('create a network for a build', built))
  }

  image(nameOrId: string): Promise<ImageInfo | undefined> {
    return this.#withDockerErrors(`look up the image ${nameOrId}`, image(this.#docker, nameOrId))
  }

  images(labels: Partial<OwnLabels>): Promise<ImageInfo[]> {
    return this.#withDockerErrors('list images', images(this.#docker, labels))
  }

  tag(id: string, name: string): Promise<void> {
    return this.#withDockerErrors(`tag an image as ${name}`, tag(this.#docker, id, name))
  }

  removeImage(nameOrId: string): Promise<boolean> {
    return this.#withDockerErrors(`remove the image ${nameOrId}`, removeImage(this.#docker, nameOrId))
  }

  create(order: ContainerOrder): Promise<{ id: string; volumes: readonly string[] }> {
    const held = { network: this.#network.bots, hasSeccomp: this.#hasSeccomp, isHere: this.#docker.isHere }
    const created = createContainer(this.#docker, held, order)
    return this.#withDockerErrors(`create the container ${order.name}`, created)
  }

  async start(id: string): Promise<void> {
    await this.#withDockerErrors(
      `start the container ${id}`,
      this.#docker.ask('POST', `/containers/${id}/start`),
    )
  }

  async state(id: string): Promise<ContainerState> {
    try {
      const { State } = await this.#docker.ask<ContainerAnswer>('GET', `/containers/${id}/json`)
      return containerState(State)
    } catch (error) {
      if (isGone(error)) return { type: 'gone' }
      return this.#learned(`look up the container ${id}`, Promise.reject(error))
    }
  }

  history(id: string, since: string): Promise<ContainerHistory> {
    const request = containerHistory(this.#docker, id, Date.parse(since))
    return this.#learned(`find out what ended the container ${id}`, request)
  }

  wasOutOfMemory(id: string, since: string): Promise<boolean> {
    const from = Math.floor(Date.parse(since) / 1000)
    const until = Math.ceil(Date.now() / 1000) + LATE_SECONDS
    const request = { since: from, until, filters: { container: [id], event: ['oom'] } }
    return this.#learned(`find out what ended the container ${id}`, hadEvent(this.#docker, request))
  }

  async *events(
    labels: Partial<OwnLabels>,
    signal: AbortSignal,
  ): AsyncGenerator<ContainerEvent | { type: 'open' }> {
    const events = containerEvents(this.#docker, labels, this.#until(signal))
    try {
      for (;;) {
        const next = await this.#learned('report the events of containers', events.next())
        if (next.done) break
        yield next.value
      }
    } finally {
      await events.return(undefined)
    }
  }

  async ping(withinMs: number): Promise<void> {
    if ((await askVersion(this.#env, AbortSignal.timeout(withinMs))) === undefined)
      throw notReached(this.#docker.address, undefined)
  }

  async use(id: string): Promise<ContainerUse | undefined> {
    const request = containerUse(this.#docker, id)
    return await this.#learned(`measure what the container ${id} uses`, request)
  }

  async wait(id: string, signal: AbortSignal): Promise<ContainerState> {
    const abortSignal = this.#until(signal)
    abortSignal.throwIfAborted()
    const waited = waitFor(this.#docker, id, 'not-running', abortSignal)
    await this.#learned(`wait for the container ${id}`, unlessGone(waited))
    return this.state(id)
  }

  async *logs(
    id: string,
    options: { since?: string; follow: boolean; signal: AbortSignal },
  ): AsyncGenerator<LogPiece> {
    const signal = this.#until(options.signal)
    const pieces = followLog(this.#docker, id, { ...options, signal })
    try {
      for (;;) {
        const next = await this.#withDockerErrors(`read the log of the container ${id}`, pieces.next())
        // Some pieces may have been read ahead.
        if (next.done || options.signal.aborted) break
        yield next.value
      }
    } finally {
      await pieces.return(undefined)
    }
  }

  async stop(id: string, graceSeconds: number): Promise<void> {
    const query = { t: Math.ceil(graceSeconds) }
    const stopped = this.#docker.ask('POST', `/containers/${id}/stop`, { query })
    // "It does not run" is reported as an error too.
    const ended = stopped.catch((error) => {
      if (error.statusCode !== 304) throw error
    })
    await this.#withDockerErrors(`stop the container ${id}`, unlessGone(ended))
  }

  async remove(id: string): Promise<void> {
    const query = { force: true, v: true }
    const removed = this.#docker.ask('DELETE', `/containers/${id}`, { query }).catch(async (error) => {
      if (!isBeingRemoved(error)) throw error
      await waitFor(this.#docker, id, 'removed')
    })
    await this.#withDockerErrors(`remove the container ${id}`, unlessGone(removed))
  }

  async containers(labels: Partial<OwnLabels>): Promise<FoundContainer[]> {
    const query = { all: true, filters: { label: labelFilter(labels) } }
    const request = this.#docker.ask<ListedContainer[]>('GET', '/containers/json', { query })
    const listed = await this.#withDockerErrors('list containers', request)
    const found = listed.map(async ({ Id, Names, Labels, Created }) => ({
      id: Id,
      name: Names[0]!.replace(/^\//, ''),
      labels: ownLabels(Labels)!,
      state: await this.state(Id),
      createdAt: new Date(Created * 1000).toISOString(),
    }))
    return (await Promise.all(found)).filter(({ state }) => state.type !== 'gone')
  }

  volumes(labels: Partial<OwnLabels>): Promise<FoundVolume[]> {
    return this.#withDockerErrors('list volumes', volumes(this.#docker, labels))
  }

  volumeBytes(
    names: readonly string[],
    options: { enoughBytes: number; signal: AbortSignal; container?: string },
  ): Promise<number> {
    const look = {
      ...options,
      isHere: this.#docker.isHere,
      signal: this.#until(options.signal),
      folders: this.#folders,
    }
    return this.#learned('measure volumes', volumeBytes(this.#docker, names, look))
  }

  readVolume(name: string, labels: OwnLabels): Promise<Readable> {
    return this.#withDockerErrors(`read the volume ${name}`, readVolume(this.#docker, name, labels))
  }

  removeVolume(name: string): Promise<boolean> {
    this.#folders.delete(name)
    return this.#withDockerErrors(`remove the volume ${name}`, removeVolume(this.#docker, name))
  }

  sweepNetworks(runner: string): Promise<string[]> {
    return this.#withDockerErrors('remove what builds have left behind', this.#network.sweep(runner))
  }

  releaseNetwork(): Promise<void> {
    return this.#withDockerErrors('remove the network of bots', this.#network.release())
  }

  close(): void {
    this.#closed.abort()
  }

  #withDockerErrors<T>(doing: string, call: Promise<T>): Promise<T> {
    return withDockerErrors(doing, this.#docker.address, call)
  }

  /** Retries a failure in the engine itself, which says nothing about a container, like an absence. */
  async #learned<T>(doing: string, call: Promise<T>): Promise<T> {
    try {
      return await this.#withDockerErrors(doing, call)
    } catch (error) {
      if (!(error instanceof ErrandError) || error.code !== 'internal') throw error
      throw new ErrandError('unavailable', error.message, { cause: error })
    }
  }

  #until(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#closed.signal])
  }

  async #known(nameOrId: string): Promise<ImageInfo> {
    const found = await this.image(nameOrId)
    if (found === undefined)
      throw new ErrandError('not_found', `The image ${nameOrId} no longer exists.`, {
        hint: 'Try again.',
      })
    return found
  }
}

/** Reports whether there was an event; if there is none yet, it waits until the end of the query's time. */
async function hadEvent(docker: DockerClient, query: object): Promise<boolean> {
  for await (const _ of await docker.open('GET', '/events', { query: { ...query } })) return true
  return false
}

async function unlessGone(call: Promise<unknown>): Promise<void> {
  await call.catch((error) => {
    if (!isGone(error)) throw error
  })
}

const ANSWERS_WITHIN_MS = 10_000

interface DockerInfo {
  ServerVersion: string
  SecurityOptions: readonly string[]
}

/** Connects to Docker at DOCKER_HOST, or at its usual socket. `runner` is its name at the engine. */
export async function connectDocker(env: DockerEnv, runner: string): Promise<DockerEngine> {
  const settings = networkSettings(env)
  try {
    const docker = new DockerClient(env)
    const signal = AbortSignal.timeout(ANSWERS_WITHIN_MS)
    const { ServerVersion: version, SecurityOptions } = await docker.ask<DockerInfo>('GET', '/info', {
      signal,
    })
    const hasSeccomp = SecurityOptions.some((option) => /^name=seccomp(,|$)/.test(option))
    const network = new BotNetwork(docker, settings, runner)
    return new ConnectedDocker(docker, { version, hasSeccomp, env }, network)
  } catch (error) {
    if (error instanceof ErrandError) throw error
    throw notReached(dockerAddress(env), error)
  }
}
