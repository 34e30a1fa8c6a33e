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
import { ContainerStreams, type StreamMessage } from './container-streams.ts'

/** Limit in ms; a working engine does each of these in a second. */
const WITHIN_MS = 60_000
/** Milliseconds between tries to reach a lost engine. */
const AGAIN_MS = 500

const KILLED = 128 + constants.signals.SIGKILL

type Passed = 'SIGTERM' | 'SIGINT' | 'SIGHUP'

/**
 * Runs a container in place of a process: it has this process's streams, gets its signals, and ends with an exit code.
 */
export class ContainerRun {
  readonly #spec: ContainerSpec
  readonly #docker: DockerClient
  readonly #ended = Promise.withResolvers<Exclude<StreamMessage, { type: 'began' }>>()
  #id: string | undefined
  #pid: number | undefined
  #began = false
  #started: Promise<void> | undefined
  readonly #received = Promise.withResolvers<void>()
  #signaled: Passed | undefined

  /** Takes further arguments of its program as `more`. */
  constructor(spec: ContainerSpec, more: readonly string[]) {
    this.#spec = { ...spec, body: { ...spec.body, Cmd: more } }
    this.#docker = new DockerClient(spec.docker)
  }

  /** Runs the container; returns its exit code, when nothing of it is left. Never rejects. */
  async run(): Promise<number> {
    try {
      return await this.#run()
    } catch (error) {
      await this.#remove()
      return this.#failed(messageWithHint(error))
    }
  }

  /** Passes a signal to its processes. */
  signal(name: Passed): void {
    this.#signaled = name
    if (this.#began) this.#passOn()
  }

  /** Kills the container, for callers that do not know the engine; its end follows as usual. */
  kill(): void {
    const kill = () => this.#ask('POST', `/containers/${this.#id}/kill`, { query: { signal: 'SIGKILL' } })
    void this.#started?.then(kill).catch(() => undefined)
  }

  async #run(): Promise<number> {
    const streams = new ContainerStreams(this.#spec.io)
    const [id] = await Promise.all([this.#create(streams), streams.make()])
    this.#id = id
    streams.open((message) => this.#receive(message))
    if (this.#signaled !== undefined) {
      await this.#remove()
      return 128 + constants.signals[this.#signaled]
    }
    const started = this.#start()
    // A container that has begun runs, even if the engine does not report it.
    await firstOf(started, this.#received.promise)
    this.#started = started.catch(() => undefined)
    if (this.#began) this.#passOn()
    // Without it everything continues, but is measured and ended more slowly.
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
      // It belongs to an earlier process that was to begin the same, and was ended.
      await this.#remove()
      return await create()
    })
  }

  async #start(): Promise<void> {
    await this.#ask('POST', `/containers/${this.#id}/start`, {}, 'start the container')
  }

  #receive(message: StreamMessage): void {
    if (message.type !== 'began') {
      this.#ended.resolve(message)
      return
    }
    this.#began = true
    this.#received.resolve()
    this.#passOn()
  }

  /**
   * Passes the signal to existing processes, once the engine knows them. If the engine cannot, whoever ends them sends
   * it again.
   */
  #passOn(): void {
    const signal = this.#signaled
    if (signal === undefined) return
    const pass = () => this.#ask('POST', `/containers/${this.#id}/kill`, { query: { signal } })
    void this.#started?.then(pass).catch(() => undefined)
  }

  /** Stores what identifies it on this machine. */
  async #learn(): Promise<void> {
    const { State } = await this.#inspect()
    const status: ContainerStatus = { id: this.#id! }
    // If the engine counts the processes of another machine, that number is not ours.
    if (procText(State.Pid, 'cgroup')?.includes(this.#id!)) status.pid = State.Pid
    this.#pid = status.pid
    writeFileAtomic(this.#spec.files.status, JSON.stringify(status), { mode: 0o600, durable: false })
  }

  /** Waits for its end at the engine, in case its script cannot report it. */
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

  async #end(message: Exclude<StreamMessage, { type: 'began' }>): Promise<number> {
    const { program, image, limits } = this.#spec
    const status = { id: this.#id!, pid: this.#pid }
    const end: ContainerEnd = figuresOf(status, limits)
    let code = NOT_BEGUN
    if (message.type === 'done') code = message.code
    else if (message.type === 'missing') end.failure = `The program ${program} is not in the image ${image}.`
    else if (message.type === 'folder')
      end.failure = 'The working folder does not exist in the container, or is not a folder.'
    else if (message.type === 'garbled') code = KILLED
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

  /** Asks the engine for the end, once it knows: the kernel is faster. */
  async #exit(): Promise<{ exitCode: number; oom: boolean }> {
    const path = `/containers/${this.#id}/wait`
    const { StatusCode } = await this.#ask<{ StatusCode: number }>(
      'POST',
      path,
      {},
      'report how the container ended',
    )
    return { exitCode: StatusCode, oom: (await this.#inspect()).State.OOMKilled }
  }

  async #inspect(): Promise<ContainerAnswer> {
    return await this.#ask('GET', `/containers/${this.#id}/json`, {}, 'look up the container')
  }

  /** Removes the container. If that is impossible now, it happens when its attempt ends, or the runner starts again. */
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
      // A full disk: the exit code says less, but nothing wrong.
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
      const converted = dockerError(doing, address, error)
      throw converted instanceof ErrandError ? converted : notReached(address, error)
    }
  }
}

/** Returns the figures of its cgroup, which exists as long as one of its processes. */
function figuresOf(status: ContainerStatus, limits: ContainerSpec['limits']): ContainerEnd {
  const cgroup = cgroupOf(status, limits)
  if (cgroup === undefined || cgroup.heldBy === 'watchdog') return {}
  return { held_by: cgroup.heldBy, oom: cgroup.look() !== undefined, ...cgroup.measure() }
}

/** Reads the spec in that file, and deletes it: its script contains what nobody else may read. */
export function takeSpec(file: string): ContainerSpec {
  const spec = JSON.parse(readFileSync(file, 'utf8')) as ContainerSpec
  rmSync(file)
  return spec
}
