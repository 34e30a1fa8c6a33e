import { buffer } from 'node:stream/consumers'
import { parseMachineBytes } from '../../../contract/amounts.ts'
import { type ErrandError, isErrandError } from '../../../contract/errors.ts'
import type { DriverSettings } from '../../../contract/fleet/provisioning.ts'
import {
  type ContainerAnswer,
  gatewayOf,
  type ImageAnswer,
  type ListedContainer,
  type NetworkAnswer,
  type StateAnswer,
} from '../../../docker/docker-answers.ts'
import { DockerClient, type DockerEnv, dockerAddress } from '../../../docker/docker-client.ts'
import {
  dockerError,
  isBeingRemoved,
  isConflict,
  isGone,
  isNoContainer,
  isNoImage,
  isTimeout,
  notReached,
  unanswered,
} from '../../../docker/docker-errors.ts'
import { pull, registryOf } from '../../../docker/pull.ts'
import { registryLogin } from '../../../docker/registry-logins.ts'
import { isAnyAddress } from '../../../platform/shown-address.ts'
import { type FoundRunner, ProvisionError, type Provisioner, type ProvisionNeed } from '../provisioner.ts'

export interface DockerProvisionerOptions
  extends Pick<DriverSettings, 'memory' | 'cpus' | 'volumes' | 'docker_network' | 'pull'> {
  /** Id of the hub. */
  hub: string
  image: string
  /** DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH of the engine, and the variables of `registryLogin`. */
  env: DockerEnv
  /** Milliseconds that a runner has to exit when it is told to. Default 10,000. */
  graceMs?: number
  /** Milliseconds of silence after which a pull has failed. Default 60,000. */
  pullSilenceMs?: number
  /** Milliseconds that each call may take. Default 60,000; a healthy engine answers within a second. */
  withinMs?: number
}

const WITHIN_MS = 60_000
/** Limits the processes of a runner. No real work needs more. */
const PROCESSES = 16_384
/** Limits the stored log of a runner. */
const LOG = { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } }
/** Exit code after SIGKILL. The kernel also sends it when memory runs out, and the engine may not notice that. */
const KILLED = 128 + 9
const REPORTED_LINES = 10
const REPORTED_CHARACTERS = 2_000
/** Label of an image that contains a runner. */
const HAS_RUNNER = 'errand.runner-version'
const HUB = 'errand.hub'
const NAME = 'errand.made-runner'
const DEADLINE = 'errand.deadline'
/** Host name of the engine's machine inside a container. */
const MACHINE = 'host.docker.internal'

interface ListedVolume {
  Name: string
  Labels: Record<string, string> | null
}

/**
 * Makes runners as containers of a Docker engine, each with its own volumes. They outlive the hub and, if it allows,
 * the engine. Labels say which hub they belong to.
 */
export class DockerProvisioner implements Provisioner {
  readonly #options: DockerProvisionerOptions
  readonly #address: string
  #pulling: Promise<void> | undefined

  constructor(options: DockerProvisionerOptions) {
    this.#options = options
    this.#address = dockerAddress(options.env)
  }

  async provision(need: ProvisionNeed, signal: AbortSignal): Promise<void> {
    const docker = this.#docker()
    const reach = await this.#reach(docker, need.env.ERRAND_HUB_URL!, signal)
    const image = await this.#image(docker, signal)
    const body = this.#body(need, reach, image)
    const id = await this.#call('create the container of a runner', signal, async (signal) => {
      try {
        const query = { name: need.name }
        const made = await docker.ask<{ Id: string }>('POST', '/containers/create', { query, body, signal })
        return made.Id
      } catch (error) {
        if (isNoImage(error))
          throw new ProvisionError(`The image ${this.#options.image} was just removed.`, { cause: error })
        if (!isConflict(error)) throw error
        // An earlier call has made it already.
        return undefined
      }
    })
    if (id !== undefined) return await this.#start(docker, { Id: id, name: need.name }, signal)
    const there = await this.#inspect(docker, need.name, signal)
    if (there === undefined) throw vanished(need.name)
    if (there.Config.Labels[HUB] !== this.#options.hub)
      throw new ProvisionError(`Docker already has another container named ${need.name}.`, {
        hint: 'The hub tries again with another name. Check who created this container.',
      })
    if (there.State.Status === 'created') await this.#start(docker, { Id: there.Id, name: need.name }, signal)
  }

  async service() {
    return { service: 'docker' as const, address: this.#address }
  }

  async find(signal: AbortSignal): Promise<FoundRunner[]> {
    const docker = this.#docker()
    const filters = { label: [`${HUB}=${this.#options.hub}`] }
    const found = new Map<string, FoundRunner>()
    // List the volumes first, so that those of a container made in the meantime do not look like leftovers.
    const { Volumes } = await this.#call('list volumes', signal, (signal) =>
      docker.ask<{ Volumes: ListedVolume[] | null }>('GET', '/volumes', { query: { filters }, signal }),
    )
    const containers = await this.#call('list containers', signal, (signal) =>
      docker.ask<(ListedContainer & { State: string })[]>('GET', '/containers/json', {
        query: { all: true, filters },
        signal,
      }),
    )
    for (const { Id, Labels, State } of containers) {
      const name = Labels[NAME]
      if (name !== undefined) found.set(name, await this.#found(docker, { Id, State, name }, signal))
    }
    for (const { Labels } of Volumes ?? []) {
      const name = Labels?.[NAME]
      if (name !== undefined && !found.has(name))
        found.set(name, { name, state: 'ended', message: 'Its container was removed.' })
    }
    return [...found.values()]
  }

  async remove(name: string, signal: AbortSignal): Promise<void> {
    const { hub, graceMs = 10_000 } = this.#options
    const docker = this.#docker()
    const there = await this.#inspect(docker, name, signal)
    if (there !== undefined && there.Config.Labels[HUB] !== hub) return
    if (there !== undefined) {
      const { Id, State } = there
      const path = `/containers/${Id}`
      // The runner says goodbye to the hub. One that cannot be told to stop is removed anyway.
      if (State.Running && State.Status !== 'paused')
        await docker
          .ask('POST', `${path}/stop`, {
            query: { t: Math.ceil(graceMs / 1000) },
            signal: AbortSignal.any([signal, AbortSignal.timeout(graceMs + WITHIN_MS)]),
          })
          .catch(() => {})
      await this.#call(`remove the container ${name}`, signal, async (signal) => {
        try {
          await docker.ask('DELETE', path, { query: { force: true, v: true }, signal })
        } catch (error) {
          if (isGone(error)) return
          if (!isBeingRemoved(error)) throw error
          await docker
            .ask('POST', `${path}/wait`, { query: { condition: 'removed' }, signal })
            .catch((error) => {
              if (!isGone(error)) throw error
            })
        }
      })
    }
    // Remove also the volumes of a container that somebody has removed without them.
    await this.#call(`remove the volumes of ${name}`, signal, async (signal) => {
      const filters = { label: [`${HUB}=${hub}`, `${NAME}=${name}`] }
      const answer = await docker.ask<{ Volumes: ListedVolume[] | null }>('GET', '/volumes', {
        query: { filters },
        signal,
      })
      for (const { Name } of answer.Volumes ?? [])
        await docker.ask('DELETE', `/volumes/${Name}`, { signal }).catch((error) => {
          if (!isGone(error)) throw error
        })
    })
  }

  /** Returns the client. Throws if the TLS files cannot be read. */
  #docker(): DockerClient {
    try {
      return new DockerClient(this.#options.env)
    } catch (cause) {
      throw new ProvisionError(
        `Docker at ${this.#address} cannot be used: ${(cause as Error).message.replace(/\.$/, '')}.`,
        {
          permanent: true,
          hint: 'DOCKER_CERT_PATH must name the folder with ca.pem, cert.pem and key.pem.',
          cause,
        },
      )
    }
  }

  /** Returns how a container reaches the hub. Throws if it cannot. */
  async #reach(
    docker: DockerClient,
    url: string,
    signal: AbortSignal,
  ): Promise<{ url: string; hosts: readonly string[] }> {
    const { docker_network: network = 'bridge' } = this.#options
    const { hostname } = new URL(url)
    const isAny = isAnyAddress(hostname)
    if (network === 'host' && docker.isHere)
      return { url: isAny ? url.replace(hostname, '127.0.0.1') : url, hosts: [] }
    if (isAny && docker.isHere)
      return { url: url.replace(hostname, MACHINE), hosts: [`${MACHINE}:host-gateway`] }
    if (!isAny && !isLoopback(hostname)) return { url, hosts: [] }
    if (!docker.isHere)
      throw new ProvisionError(`Containers of Docker at ${this.#address} cannot reach the hub at ${url}.`, {
        permanent: true,
        hint: "Set the hub's address in the group, as that machine reaches it: hub_url: https://errand.example.com",
      })
    const gateway = await this.#gateway(docker, network, signal)
    throw new ProvisionError(`Containers cannot reach the hub at ${url}.`, {
      permanent: true,
      hint: `Start the hub ${gateway === undefined ? 'at another address (--host)' : `with --host ${gateway}`}, so that the containers of this machine can reach it, or set in the group: docker_network: host`,
    })
  }

  async #gateway(docker: DockerClient, network: string, signal: AbortSignal): Promise<string | undefined> {
    const late = AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)])
    const answer = await docker
      .ask<NetworkAnswer>('GET', `/networks/${network}`, { signal: late })
      .catch(() => undefined)
    return gatewayOf(answer ?? {})
  }

  /** Returns the image, pulled if the group says so. Throws if it contains no runner. */
  async #image(docker: DockerClient, signal: AbortSignal): Promise<ImageAnswer> {
    const { image, pull: when = 'missing' } = this.#options
    const look = () =>
      this.#call(`look up the image ${image}`, signal, async (signal) => {
        try {
          return await docker.ask<ImageAnswer>('GET', `/images/${image}/json`, { signal })
        } catch (error) {
          if (isGone(error)) return undefined
          throw error
        }
      })
    let there = when === 'always' ? undefined : await look()
    if (there === undefined) {
      if (when === 'never')
        throw new ProvisionError(`Docker has no image ${image}.`, {
          permanent: true,
          hint: 'Build or pull it there, or set in the group: pull: missing',
        })
      // Runners that start together share one pull.
      this.#pulling ??= this.#pull(docker, signal).finally(() => {
        this.#pulling = undefined
      })
      await this.#pulling
      there = await look()
    }
    if (there === undefined)
      throw new ProvisionError(`The image ${image} was removed just after it was pulled.`)
    if (there.Config?.Labels?.[HAS_RUNNER] === undefined)
      throw new ProvisionError(`The image ${image} does not contain an Errand runner.`, {
        permanent: true,
        hint: 'Use an image that is built from deploy/Dockerfile, or base your Dockerfile on it, for example: FROM errand',
      })
    return there
  }

  async #pull(docker: DockerClient, signal: AbortSignal): Promise<void> {
    const { image, env, pullSilenceMs = 60_000 } = this.#options
    const { login, missing } = await registryLogin(image, env)
    const silent = new AbortController()
    const timer = setTimeout(() => silent.abort(), pullSilenceMs)
    try {
      await pull(docker, {
        ...{ image, ...(login && { auth: login }) },
        progress: () => void timer.refresh(),
        signal: AbortSignal.any([signal, silent.signal]),
      })
    } catch (error) {
      if (silent.signal.aborted && !signal.aborted)
        throw new ProvisionError(
          `The image ${image} could not be pulled: no data arrived for ${pullSilenceMs / 1000} s.`,
          { hint: 'Check whether its registry answers.', cause: error },
        )
      if (isErrandError(error) && error.code === 'pull_refused')
        throw new ProvisionError(error.message, {
          permanent: true,
          hint:
            missing === undefined
              ? `Log in again, as the hub's user: docker login ${registryOf(image)}`
              : `${missing}.`,
          cause: error,
        })
      throw provisionError(error)
    } finally {
      clearTimeout(timer)
    }
  }

  #body(
    { name, env, marks, deadlineMs }: ProvisionNeed,
    reach: { url: string; hosts: readonly string[] },
    image: ImageAnswer,
  ): object {
    const { hub, memory, cpus, volumes = [], docker_network } = this.#options
    const labels = {
      'errand.managed-by': 'hub',
      [HUB]: hub,
      [NAME]: name,
      'errand.run': marks.run,
      'errand.epoch': marks.epoch,
      'errand.group': marks.group,
      [DEADLINE]: new Date(deadlineMs).toISOString(),
    }
    const bytes = memory === undefined ? 0 : parseMachineBytes(memory)!
    const seconds = Math.max(1, Math.ceil((deadlineMs - Date.now()) / 1000))
    const mounts = volumes.map(mount)
    // Volumes of the image get labels, so that they are found even if the container was removed without them.
    const own = Object.keys(image.Config?.Volumes ?? {}).filter(
      (path) => !mounts.some(({ Target }) => Target === path),
    )
    return {
      Image: image.Id,
      // It ends by then, whatever happens to the hub.
      Entrypoint: ['timeout', '-k', '30', String(seconds), 'errand'],
      Cmd: ['runner'],
      Env: Object.entries({
        ...env,
        ERRAND_HUB_URL: reach.url,
        ERRAND_MADE_BOX: 'container',
        // Otherwise it would offer everything that the machine has.
        ...(cpus !== undefined && { ERRAND_CPUS: String(cpus) }),
        ...(bytes > 0 && { ERRAND_MEMORY: String(bytes) }),
      }).map((each) => each.join('=')),
      Labels: labels,
      // The hub watches the runner itself.
      Healthcheck: { Test: ['NONE'] },
      Tty: false,
      OpenStdin: false,
      HostConfig: {
        Init: true,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        PidsLimit: PROCESSES,
        Memory: bytes,
        MemorySwap: bytes,
        NanoCpus: Math.round((cpus ?? 0) * 1e9),
        NetworkMode: docker_network ?? 'default',
        ExtraHosts: reach.hosts,
        Mounts: [
          ...mounts,
          ...own.map((Target) => ({
            ...{ Type: 'volume', Source: '', Target },
            VolumeOptions: { Labels: labels },
          })),
        ],
        RestartPolicy: { Name: 'no' },
        AutoRemove: false,
        LogConfig: LOG,
      },
    }
  }

  async #start(
    docker: DockerClient,
    { Id, name }: { Id: string; name: string },
    signal: AbortSignal,
  ): Promise<void> {
    await this.#call('start the container of a runner', signal, async (signal) => {
      try {
        await docker.ask('POST', `/containers/${Id}/start`, { signal })
      } catch (error) {
        if (isNoContainer(error)) throw vanished(name, error)
        // It is started already.
        if ((error as { statusCode?: number }).statusCode !== 304) throw error
      }
    })
  }

  async #inspect(docker: DockerClient, name: string, signal: AbortSignal): Promise<Inspected | undefined> {
    return await this.#call(`look up the container ${name}`, signal, async (signal) => {
      try {
        return await docker.ask<Inspected>('GET', `/containers/${name}/json`, { signal })
      } catch (error) {
        if (isGone(error)) return undefined
        throw error
      }
    })
  }

  async #found(
    docker: DockerClient,
    { Id, State, name }: { Id: string; State: string; name: string },
    signal: AbortSignal,
  ): Promise<FoundRunner> {
    if (State === 'created') return { name, state: 'starting' }
    if (State === 'running' || State === 'paused' || State === 'restarting') return { name, state: 'running' }
    const there = await this.#inspect(docker, Id, signal)
    if (there === undefined) return { name, state: 'ended', message: 'Its container was removed.' }
    return { name, state: 'ended', ...(await this.#end(docker, there, signal)) }
  }

  async #end(
    docker: DockerClient,
    { Id, State, Config }: Inspected,
    signal: AbortSignal,
  ): Promise<Pick<FoundRunner, 'reason' | 'message'>> {
    const { memory } = this.#options
    const { ExitCode, FinishedAt, Error: fault } = State
    if (State.OOMKilled && ExitCode !== 0)
      return {
        reason: 'oom',
        message: `It ran out of memory${memory === undefined ? '' : `: its limit is ${memory}`}.`,
      }
    if (fault !== '') return { message: `Docker ended it: ${fault}` }
    if (Date.parse(FinishedAt) >= Date.parse(Config.Labels[DEADLINE] ?? ''))
      return { message: 'Its time limit was reached.' }
    const logEnd = await this.#logTail(docker, Id, signal)
    const perhaps =
      ExitCode === KILLED && memory !== undefined
        ? ` (killed, perhaps for lack of memory: its limit is ${memory})`
        : ''
    return { message: `It ended with exit code ${ExitCode}${perhaps}${logEnd === '' ? '.' : `: ${logEnd}`}` }
  }

  async #logTail(docker: DockerClient, id: string, signal: AbortSignal): Promise<string> {
    return await this.#call('read the log of a runner', signal, async (signal) => {
      try {
        const query = { stdout: true, stderr: true, tail: REPORTED_LINES }
        return tail(await buffer(await docker.open('GET', `/containers/${id}/logs`, { query, signal })))
      } catch (error) {
        if (isGone(error)) return ''
        throw error
      }
    })
  }

  /** Makes the call within a time limit of its own, and turns what it throws into a `ProvisionError`. */
  async #call<T>(doing: string, signal: AbortSignal, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { withinMs = WITHIN_MS } = this.#options
    const late = AbortSignal.timeout(withinMs)
    try {
      return await call(AbortSignal.any([signal, late]))
    } catch (error) {
      if (error instanceof ProvisionError) throw error
      if (signal.aborted) throw new ProvisionError('The hub is stopping.', { cause: error })
      if (late.aborted || isTimeout(error))
        throw provisionError(unanswered(this.#address, doing, withinMs), true)
      // An error about a connection that breaks in the middle sometimes has no code.
      const isBroken = (error as { message?: string }).message === 'aborted'
      throw provisionError(
        isBroken ? notReached(this.#address, error) : dockerError(doing, this.#address, error),
        true,
      )
    }
  }
}

const vanished = (name: string, cause?: unknown): ProvisionError =>
  new ProvisionError(`The container ${name} was removed before it started.`, { end: 'failed', cause })

interface Inspected extends ContainerAnswer {
  State: StateAnswer
  Config: { Labels: Record<string, string> }
}

/** Error codes that a retry does not change. */
const PERMANENT: readonly ErrandError['code'][] = ['invalid_argument', 'not_found', 'pull_refused']

/** Turns an error into a `ProvisionError`. `asked`: the call was to Docker itself, not from it to a registry. */
function provisionError(error: unknown, isRequested = false): Error {
  if (!isErrandError(error)) return error as Error
  const { message, hint, code } = error
  const unanswered = isRequested && code === 'unavailable'
  return new ProvisionError(message, { hint, permanent: PERMANENT.includes(code), unanswered, cause: error })
}

const isLoopback = (hostname: string): boolean =>
  /^127\.|^\[::1\]$|^localhost$/.test(hostname) || hostname.endsWith('.localhost')

/** Parses `SOURCE:TARGET[:ro]`. A missing source folder is an error; Docker does not create it. */
function mount(text: string): { Type: string; Source: string; Target: string; ReadOnly: boolean } {
  const [source, target, mode] = text.split(':') as [string, string, string?]
  return {
    Type: source.startsWith('/') ? 'bind' : 'volume',
    ...{ Source: source, Target: target, ReadOnly: mode === 'ro' },
  }
}

/** Returns the end of a log that comes in frames, each with a head of 8 bytes that gives its length. */
function tail(frames: Buffer): string {
  const parts: Buffer[] = []
  for (let at = 0; at + 8 <= frames.length; ) {
    const end = at + 8 + frames.readUInt32BE(at + 4)
    parts.push(frames.subarray(at + 8, end))
    at = end
  }
  return Buffer.concat(parts).toString('utf8').trim().slice(-REPORTED_CHARACTERS)
}
