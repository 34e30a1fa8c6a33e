import { readFileSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { ErrandError, messageWithHint } from '../../contract/errors.ts'
import type { ContainerAnswer } from '../../docker/docker-answers.ts'
import { DockerClient, type DockerRequest } from '../../docker/docker-client.ts'
import {
  dockerError,
  isConflict,
  isGone,
  isTimeout,
  notReached,
  unanswered,
} from '../../docker/docker-errors.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { procText, signal } from '../../platform/proc.ts'
import { firstOf } from '../../platform/races.ts'
import { cgroupOf } from './container-cgroup.ts'
import { type ContainerEnd, type ContainerSpec, type ContainerStatus, NOT_BEGUN } from './container-spec.ts'
import { ContainerStreams, type Said } from './container-streams.ts'

/** An engine that works does each of these in a second. */
const WITHIN_MS = 60_000
/** A lost engine is asked again after it. */
const AGAIN_MS = 500

const KILLED = 128 + constants.signals.SIGKILL

type Passed = 'SIGTERM' | 'SIGINT' | 'SIGHUP'

/** A container in the place of a process: it has the streams of this one, gets its signals, and ends with an exit code. */
export class ContainerRun {
  readonly #spec: ContainerSpec
  readonly #docker: DockerClient
  readonly #ended = Promise.withResolvers<Exclude<Said, { type: 'began' }>>()
  #id: string | undefined
  #pid: number | undefined
  #began = false
  #started: Promise<void> | undefined
  readonly #heard = Promise.withResolvers<void>()
  #signaled: Passed | undefined

  /** `more`: further arguments of its program. */
  constructor(spec: ContainerSpec, more: readonly string[]) {
    this.#spec = { ...spec, body: { ...spec.body, Cmd: more } }
    this.#docker = new DockerClient(spec.docker)
  }

  /** Its exit code, when nothing of it is left. Never rejects. */
  async run(): Promise<number> {
    try {
      return await this.#run()
    } catch (error) {
      await this.#remove()
      return this.#failed(messageWithHint(error))
    }
  }

  /** Handed on to its processes. */
  signal(name: Passed): void {
    this.#signaled = name
    if (this.#began) this.#passOn()
  }

  /** Ends the container, for who does not know the engine; its end follows as that of any other. */
  kill(): void {
    const kill = () => this.#ask('POST', `/containers/${this.#id}/kill`, { query: { signal: 'SIGKILL' } })
    void this.#started?.then(kill).catch(() => undefined)
  }

  async #run(): Promise<number> {
    const streams = new ContainerStreams(this.#spec.io)
    const [id] = await Promise.all([this.#create(streams), streams.make()])
    this.#id = id
    streams.open((said) => this.#hear(said))
    if (this.#signaled !== undefined) {
      await this.#remove()
      return 128 + constants.signals[this.#signaled]
    }
    const started = this.#start()
    // What has begun runs, whether the engine comes to say so or not.
    await firstOf(started, this.#heard.promise)
    this.#started = started.catch(() => undefined)
    if (this.#began) this.#passOn()
    // Without it all goes on, and is measured and ended more slowly.
    const learned = this.#started.then(() => this.#learn()).catch(() => undefined)
    void this.#started.then(() => this.#wait())
    const end = await this.#ended.promise
    await learned
    const code = await this.#end(end)
    await streams.drained()
    return code
  }

  async #create(streams: ContainerStreams): Promise<string> {
    const { name, body } = this.#spec
    const { HostConfig } = body
    const mounted = { ...HostConfig, Mounts: [...HostConfig.Mounts, ...streams.mounts] }
    const request = { query: { name }, body: { ...body, HostConfig: mounted } }
    const create = async () =>
      (await this.#ask<{ Id: string }>('POST', '/containers/create', request, 'create the container')).Id
    return await create().catch(async (error) => {
      if (!isConflict(error.cause)) throw error
      // Of a process that was to begin the same, and was ended.
      await this.#remove()
      return await create()
    })
  }

  async #start(): Promise<void> {
    await this.#ask('POST', `/containers/${this.#id}/start`, {}, 'start the container')
  }

  #hear(said: Said): void {
    if (said.type !== 'began') {
      this.#ended.resolve(said)
      return
    }
    this.#began = true
    this.#heard.resolve()
    this.#passOn()
  }

  /** To processes that are there, once the engine knows of them. One that it cannot pass on is told again by who ends them. */
  #passOn(): void {
    const signal = this.#signaled
    if (signal === undefined) return
    const pass = () => this.#ask('POST', `/containers/${this.#id}/kill`, { query: { signal } })
    void this.#started?.then(pass).catch(() => undefined)
  }

  /** Keeps by what it is known on this machine. */
  async #learn(): Promise<void> {
    const { State } = await this.#inspect()
    const status: ContainerStatus = { id: this.#id! }
    // Where the engine counts the processes of another machine, that number is none of ours.
    if (procText(State.Pid, 'cgroup')?.includes(this.#id!)) status.pid = State.Pid
    this.#pid = status.pid
    writeFileAtomic(this.#spec.files.status, JSON.stringify(status), { mode: 0o600, durable: false })
  }

  /** Its end as the engine tells it, where its script cannot. */
  async #wait(): Promise<void> {
    for (;;) {
      try {
        await this.#docker.ask('POST', `/containers/${this.#id}/wait`)
        break
      } catch (error) {
        if (isGone(error)) break
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS).unref())
      }
    }
    this.#ended.resolve({ type: 'gone' })
  }

  async #end(said: Exclude<Said, { type: 'began' }>): Promise<number> {
    const { program, image, limits } = this.#spec
    const status = { id: this.#id!, pid: this.#pid }
    const end: ContainerEnd = figuresOf(status, limits)
    let code = NOT_BEGUN
    if (said.type === 'done') code = said.code
    else if (said.type === 'missing') end.failure = `The program ${program} is not in the image ${image}.`
    else if (said.type === 'folder')
      end.failure = 'The working folder does not exist in the container, or is not a folder.'
    else if (said.type === 'garbled') code = KILLED
    else {
      const { exitCode, oom } = await this.#exit().catch(() => ({ exitCode: KILLED, oom: false }))
      end.oom ||= oom
      code = this.#began ? exitCode : NOT_BEGUN
      if (!this.#began) end.failure = `The container ended before its program began (exit code ${exitCode}).`
    }
    writeFileAtomic(this.#spec.files.end, JSON.stringify(end), { mode: 0o600, durable: false })
    if (this.#pid !== undefined) signal(this.#pid, 'SIGKILL')
    await this.#remove()
    return code
  }

  /** As the engine tells it, once it knows: the kernel is faster. */
  async #exit(): Promise<{ exitCode: number; oom: boolean }> {
    const path = `/containers/${this.#id}/wait`
    const { StatusCode } = await this.#ask<{ StatusCode: number }>('POST', path, {}, 'tell of an end')
    return { exitCode: StatusCode, oom: (await this.#inspect()).State.OOMKilled }
  }

  async #inspect(): Promise<ContainerAnswer> {
    return await this.#ask('GET', `/containers/${this.#id}/json`, {}, 'look up the container')
  }

  /** One that cannot be removed now is when its attempt ends, or the runner starts anew. */
  async #remove(): Promise<void> {
    try {
      await this.#ask('DELETE', `/containers/${this.#spec.name}`, { query: { force: true, v: true } })
    } catch (error) {
      if (!isGone((error as Error).cause)) return
    }
    rmSync(this.#spec.files.name, { force: true })
  }

  #failed(failure: string): number {
    const end: ContainerEnd = { failure }
    try {
      writeFileAtomic(this.#spec.files.end, JSON.stringify(end), { mode: 0o600, durable: false })
    } catch {
      // A full disk: the exit code says less, but not that of another end.
    }
    return NOT_BEGUN
  }

  async #ask<T>(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    request: DockerRequest = {},
    doing = 'answer',
  ): Promise<T> {
    const { address } = this.#docker
    try {
      return await this.#docker.ask<T>(method, path, { ...request, signal: AbortSignal.timeout(WITHIN_MS) })
    } catch (error) {
      if (isTimeout(error)) throw unanswered(address, doing, WITHIN_MS)
      const told = dockerError(doing, address, error)
      throw told instanceof ErrandError ? told : notReached(address, error)
    }
  }
}

/** By its cgroup, which is there as long as a process of it is. */
function figuresOf(status: ContainerStatus, limits: ContainerSpec['limits']): ContainerEnd {
  const cgroup = cgroupOf(status, limits)
  if (cgroup === undefined || cgroup.heldBy === 'watchdog') return {}
  return { held_by: cgroup.heldBy, oom: cgroup.look() !== undefined, ...cgroup.measure() }
}

/** The spec in that file, which is gone then: its script holds what nobody else may read. */
export function takeSpec(file: string): ContainerSpec {
  const spec = JSON.parse(readFileSync(file, 'utf8')) as ContainerSpec
  rmSync(file)
  return spec
}
