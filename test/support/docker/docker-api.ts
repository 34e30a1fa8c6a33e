import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import type {
  ContainerAnswer,
  HealthConfig,
  ImageAnswer,
  ImageConfig,
  ListedContainer,
  NetworkAnswer,
} from '../../../src/docker/docker-answers.ts'
import { DockerClient, type DockerEnv, type DockerRequest } from '../../../src/docker/docker-client.ts'

type Query = Readonly<Record<string, unknown>>

export interface TestedContainer extends ContainerAnswer {
  Image: string
  Name: string
  RestartCount: number
  Config: {
    Cmd: string[]
    Env: string[]
    Labels: Record<string, string>
    Healthcheck?: HealthConfig
    WorkingDir: string
    Image: string
  }
  NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> }
}

export interface TestedImage extends ImageAnswer {
  Config: ImageConfig & { Labels: Record<string, string>; Env: string[]; Cmd: string[] }
  Parent: string
  RepoTags: string[]
}

export interface TestedNetwork extends NetworkAnswer {
  IPAM: { Config: { Subnet: string; Gateway: string }[] }
}

export interface ListedImage {
  Id: string
  ParentId: string
  RepoTags: string[] | null
  Labels: Record<string, string> | null
}

/** Gives access to the objects of Docker's API that tests create and inspect, with plain requests. */
export class DockerApi {
  readonly client: DockerClient

  constructor(env: DockerEnv = process.env) {
    this.client = new DockerClient(env)
  }

  async ping(): Promise<void> {
    await this.client.ask('GET', '/_ping')
  }

  listContainers(query?: Query): Promise<(ListedContainer & { State: string; Image: string })[]> {
    return this.client.ask('GET', '/containers/json', { query })
  }

  listImages(query?: Query): Promise<ListedImage[]> {
    return this.client.ask('GET', '/images/json', { query })
  }

  listNetworks(query?: Query): Promise<NetworkAnswer[]> {
    return this.client.ask('GET', '/networks', { query })
  }

  listVolumes(
    query?: Query,
  ): Promise<{ Volumes: { Name: string; Labels: Record<string, string> | null }[] | null }> {
    return this.client.ask('GET', '/volumes', { query })
  }

  async createContainer({ name, ...body }: { name?: string; Image: string } & Query): Promise<ContainerApi> {
    const { Id } = await this.client.ask<{ Id: string }>('POST', '/containers/create', {
      query: { name },
      body,
    })
    return this.getContainer(Id)
  }

  async createNetwork(body: { Name: string } & Query): Promise<void> {
    await this.client.ask('POST', '/networks/create', { body })
  }

  async createVolume(body: { Name: string } & Query): Promise<void> {
    await this.client.ask('POST', '/volumes/create', { body })
  }

  /** Builds an image. Resolves with the stream of its progress. */
  buildImage(tar: Readable, query: Query): Promise<IncomingMessage> {
    return this.client.open('POST', '/build', { query, tar })
  }

  getContainer(id: string): ContainerApi {
    return new ContainerApi(this.client, id)
  }

  getImage(name: string): ImageApi {
    return new ImageApi(this.client, name)
  }

  getNetwork(name: string): ResourceApi<TestedNetwork> {
    return new ResourceApi(this.client, `/networks/${name}`)
  }

  getVolume(name: string): ResourceApi<{ Mountpoint: string }> {
    return new ResourceApi(this.client, `/volumes/${name}`)
  }
}

/** A thing at the engine, given by its path. */
export class ResourceApi<Answer> {
  protected readonly client: DockerClient
  protected readonly path: string
  protected readonly inspected: string

  constructor(client: DockerClient, path: string, inspected = path) {
    this.client = client
    this.path = path
    this.inspected = inspected
  }

  inspect(): Promise<Answer> {
    return this.client.ask('GET', this.inspected)
  }

  async remove(query?: Query): Promise<void> {
    await this.client.ask('DELETE', this.path, { query })
  }
}

export class ContainerApi extends ResourceApi<TestedContainer> {
  readonly id: string

  constructor(client: DockerClient, id: string) {
    super(client, `/containers/${id}`, `/containers/${id}/json`)
    this.id = id
  }

  start = (): Promise<void> => this.#post('start')
  kill = (query?: Query): Promise<void> => this.#post('kill', query)
  stop = (query?: Query): Promise<void> => this.#post('stop', query)
  restart = (query?: Query): Promise<void> => this.#post('restart', query)
  rename = (query: { name: string }): Promise<void> => this.#post('rename', query)

  wait(): Promise<{ StatusCode: number }> {
    return this.client.ask('POST', `${this.path}/wait`)
  }

  async logs(query: Query): Promise<Buffer> {
    return await buffer(await this.client.open('GET', `${this.path}/logs`, { query }))
  }

  stats(query: Query): Promise<{ pids_stats?: { current?: number } }> {
    return this.client.ask('GET', `${this.path}/stats`, { query })
  }

  /** Runs a command in it. Resolves with everything it printed. */
  async exec(...command: string[]): Promise<string> {
    const streams = { AttachStdout: true, AttachStderr: true, Tty: true }
    const id = await this.#execution({ Cmd: command, ...streams })
    return await text(await this.client.open('POST', `/exec/${id}/start`, { body: { Tty: true } }))
  }

  /** Starts a command in it, and does not wait for it. */
  async begin(...command: string[]): Promise<void> {
    const id = await this.#execution({ Cmd: command })
    await this.client.ask('POST', `/exec/${id}/start`, { body: { Detach: true } })
  }

  commit(query: Query): Promise<{ Id: string }> {
    return this.client.ask('POST', '/commit', { query: { container: this.id, ...query }, body: {} })
  }

  async #execution(body: object): Promise<string> {
    return (await this.client.ask<{ Id: string }>('POST', `${this.path}/exec`, { body })).Id
  }

  async #post(verb: string, query?: Query): Promise<void> {
    await this.client.ask('POST', `${this.path}/${verb}`, { query })
  }
}

export class ImageApi extends ResourceApi<TestedImage> {
  constructor(client: DockerClient, name: string) {
    super(client, `/images/${name}`, `/images/${name}/json`)
  }

  history(): Promise<object[]> {
    return this.client.ask('GET', `${this.path}/history`)
  }

  /** Pushes the image. Resolves with the stream of its progress. */
  push({ authconfig }: { authconfig: object | undefined }): Promise<IncomingMessage> {
    return this.client.open('POST', `${this.path}/push`, {
      auth: authconfig as DockerRequest['auth'],
    })
  }
}
