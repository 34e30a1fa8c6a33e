import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { randomText } from '../../contract/ids.ts'
import type { ListedContainer } from '../../docker/docker-answers.ts'
import { askVersion, DockerClient, type DockerEnv } from '../../docker/docker-client.ts'
import {
  dockerError,
  isBeingRemoved,
  isGone,
  isTimeout,
  notReached,
  unanswered,
} from '../../docker/docker-errors.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { unlessAborted } from '../../platform/races.ts'
import { type ContainerImage, containerImage, type EngineFacts } from './container-image.ts'
import { packagedSocat } from './packaged-socat.ts'

const ANSWERS_WITHIN_MS = 10_000
const FOUND_WITHIN_MS = 2_000
/** Age in ms; a trial of an image takes a second. */
const TRIAL_MS = 60 * 60_000
const KEY_LABEL = 'errand.attempt_key'
/** Label with the box's folder, which is deleted with its attempt. */
const FOLDER_LABEL = 'errand.box_folder'
const OWN_LABEL = 'errand.box'

export interface ContainersOptions {
  /** Folder for state that all containers of attempts share: one for each folder of attempts. */
  stateDir: string
  /** Variables that locate the engine. */
  env: DockerEnv
}

/** Result of trying the engine. */
export type EngineState = { type: 'usable' } | { type: 'unusable'; why: string; hint?: string }

interface DockerInfo {
  ID: string
  OSType: string
  NCPU: number
  SecurityOptions?: readonly string[]
}

/** Gives access to the engine of this machine, as far as containers of attempts need it. */
export class Containers {
  readonly docker: DockerClient
  /** Variables that locate the engine. */
  readonly env: Readonly<Record<string, string>>
  readonly #stateDir: string
  #engine: Promise<EngineFacts> | undefined
  #socat: Promise<string | undefined> | undefined
  /** Images by name; each is looked up once at a time. */
  readonly #images = new Map<string, Promise<ContainerImage>>()

  /** Takes the options; asks nothing of the engine. */
  constructor({ stateDir, env }: ContainersOptions) {
    this.#stateDir = stateDir
    this.docker = new DockerClient(env)
    this.env = Object.fromEntries(
      ['DOCKER_HOST', 'DOCKER_TLS_VERIFY', 'DOCKER_CERT_PATH'].flatMap((name) =>
        env[name] === undefined ? [] : [[name, env[name]]],
      ),
    )
  }

  /** Reports whether attempts can have containers here. Never rejects, and waits for a second or two at most. */
  async find(): Promise<EngineState> {
    const late = AbortSignal.timeout(FOUND_WITHIN_MS)
    try {
      await unlessAborted(late, this.#present(late), () => {
        throw unanswered(this.docker.address, 'describe itself', FOUND_WITHIN_MS)
      })
      return { type: 'usable' }
    } catch (error) {
      const { message, hint } = error as ErrandError
      return { type: 'unusable', why: message, hint }
    }
  }

  async #present(late: AbortSignal): Promise<void> {
    // An engine that was there may be gone by now.
    if ((await askVersion(this.env, late)) === undefined) this.#engine = undefined
    // A request that nobody waits for would keep the process alive for its whole duration.
    if (!late.aborted) await this.engine()
  }

  /** Asks the engine once, and again if it was away. Throws `unavailable`. */
  engine(): Promise<EngineFacts> {
    this.#engine ??= this.#look().catch((error) => {
      this.#engine = undefined
      throw error
    })
    return this.#engine
  }

  /**
   * Looks up the image each time, so that a name may come to mean another. `tell` gets messages for a person about slow
   * steps.
   */
  async image(name: string, report: (message: string) => void): Promise<ContainerImage> {
    const engine = await this.engine()
    const own = { folder: this.#stateDir, labels: this.labels(), socat: await this.#packagedSocat() }
    const known = { docker: this.docker, engine, ...own }
    const checked =
      this.#images.get(name) ?? containerImage(known, name, report).finally(() => this.#images.delete(name))
    this.#images.set(name, checked)
    return await this.#withDockerErrors(`look up the image ${name}`, checked)
  }

  /** Finds it once, and again if a later process has replaced it. */
  async #packagedSocat(): Promise<string | undefined> {
    const known = await this.#socat
    if (this.#socat === undefined || (known !== undefined && !existsSync(known)))
      this.#socat = packagedSocat(this.#stateDir)
    return await this.#socat
  }

  /**
   * Returns the labels that identify the containers of this machine's attempts; without an attempt it is a trial of an
   * image.
   */
  labels(attempt?: { key: string; folder: string }): Record<string, string> {
    const own = { [OWN_LABEL]: this.name }
    return attempt === undefined ? own : { ...own, [KEY_LABEL]: attempt.key, [FOLDER_LABEL]: attempt.folder }
  }

  /** Returns files for the /etc of each container whose processes have that user. */
  etc(user: string): string[] {
    const [uid, gid] = user.split(':')
    const folder = join(this.#stateDir, `etc-${uid}-${gid}`)
    const own = uid === '0' ? '' : `errand:x:${uid}:${gid}:errand:/home/errand:/bin/sh\n`
    const files = {
      passwd: `root:x:0:0:root:/home/errand:/bin/sh\n${own}nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n`,
      group: `root:x:0:\n${gid === '0' ? '' : `errand:x:${gid}:\n`}nogroup:x:65534:\n`,
      hosts: '127.0.0.1 localhost errand\n::1 localhost\n',
      // Nothing listens there, which all resolvers except musl's see at once; musl's uses its timeout.
      'resolv.conf': 'nameserver 127.0.0.1\noptions timeout:0 attempts:1\n',
    }
    mkdirSync(folder, { recursive: true, mode: 0o755 })
    return Object.entries(files).map(([name, text]) => {
      const file = join(folder, name)
      // Running containers have it, so it is not replaced.
      if (!existsSync(file)) writeFileSync(file, text)
      return file
    })
  }

  /** Removes it, with everything that runs in it. Does nothing if it is gone. */
  async remove(nameOrId: string): Promise<void> {
    const request = { query: { force: true, v: true }, signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) }
    try {
      await this.docker.ask('DELETE', `/containers/${nameOrId}`, request)
    } catch (error) {
      if (isGone(error)) return
      if (!isBeingRemoved(error)) throw error
      const signal = AbortSignal.timeout(ANSWERS_WITHIN_MS)
      await this.docker.ask('POST', `/containers/${nameOrId}/wait`, {
        query: { condition: 'removed' },
        signal,
      })
    }
  }

  /**
   * Removes the containers of attempts whose folder is gone: leftovers of a crash. Returns how many. Does not contact
   * an engine if there never was one.
   */
  async sweep(): Promise<number> {
    if (!existsSync(this.#nameFile)) return 0
    const signal = AbortSignal.timeout(ANSWERS_WITHIN_MS)
    const query = { all: true, filters: { label: [`${OWN_LABEL}=${this.name}`] } }
    const found = await this.#withDockerErrors(
      'list containers',
      this.docker.ask<ListedContainer[]>('GET', '/containers/json', { query, signal }),
    )
    let removed = 0
    for (const { Id, Labels, Created } of found) {
      const folder = Labels[FOLDER_LABEL]
      if (folder === undefined ? Date.now() - Created * 1000 < TRIAL_MS : existsSync(folder)) continue
      await this.#withDockerErrors(`remove the container ${Id}`, this.remove(Id))
      removed++
    }
    return removed
  }

  async #look(): Promise<EngineFacts> {
    const { docker } = this
    if (!docker.isHere)
      throw new ErrandError(
        'unavailable',
        `Docker at ${docker.address} is on another machine, so files of this machine cannot be mounted there.`,
        { hint: 'Use an engine on this machine: unset DOCKER_HOST, or set it to unix:///…/docker.sock.' },
      )
    const within = { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) }
    const request = docker.ask<DockerInfo>('GET', '/info', within)
    const {
      ID,
      OSType,
      NCPU,
      SecurityOptions = [],
    } = await this.#withDockerErrors('describe itself', request)
    const version = docker.ask<{ Arch: string }>('GET', '/version', within)
    const { Arch } = await this.#withDockerErrors('report its version', version)
    if (OSType !== 'linux')
      throw new ErrandError('unavailable', `Docker at ${docker.address} runs containers of ${OSType} only.`, {
        hint: 'Switch it to Linux containers.',
      })
    const has = (name: string) => SecurityOptions.some((option) => option.split(',')[0] === `name=${name}`)
    return { id: ID, arch: Arch, cpus: NCPU, hasSeccomp: has('seccomp'), isRootless: has('rootless') }
  }

  /** Name of this machine's folder of attempts: two that share an engine do not touch each other's containers. */
  get name(): string {
    if (!existsSync(this.#nameFile)) {
      mkdirSync(this.#stateDir, { recursive: true, mode: 0o700 })
      writeFileAtomic(this.#nameFile, randomText(16), { mode: 0o600 })
    }
    return readFileSync(this.#nameFile, 'utf8')
  }

  get #nameFile(): string {
    return join(this.#stateDir, 'containers-name')
  }

  async #withDockerErrors<T>(doing: string, call: Promise<T>): Promise<T> {
    const { address } = this.docker
    try {
      return await call
    } catch (error) {
      if (isTimeout(error)) throw unanswered(address, doing, ANSWERS_WITHIN_MS)
      const converted = dockerError(doing, address, error)
      throw converted instanceof ErrandError ? converted : notReached(address, error)
    }
  }
}
