import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptLimits } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { findProgram, isBelow, realPath } from '../../platform/files.ts'
import { ownProgram } from '../../platform/own-program.ts'
import { isFurtherIn, procText, signal } from '../../platform/proc.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { LogSince } from '../proxy/endpoint-log.ts'
import { ENDPOINT_INSIDE } from '../proxy/rules.ts'
import { type Box, type BoxMounts, outsideEnvironment } from '../sandbox/box.ts'
import type { BoxEndpoint, EndpointRequest } from '../sandbox/box-endpoint.ts'
import { bridged } from '../sandbox/bridge.ts'
import type { Launch } from '../sandbox/launch.ts'
import { mountsOf } from '../sandbox/mounts.ts'
import { ContainerLimiter } from './container-cgroup.ts'
import { type ContainerImage, imageBridge } from './container-image.ts'
import { containerBody, HOME_INSIDE } from './container-order.ts'
import {
  bind,
  CONTAINER_PROGRAMS,
  type ContainerEnd,
  type ContainerFiles,
  type ContainerSpec,
  type ContainerStatus,
} from './container-spec.ts'
import { engineVariables, startScript } from './container-start.ts'
import type { Containers } from './containers.ts'
import { elfLoader } from './elf-loader.ts'

export interface ContainerBoxOptions {
  containers: Containers
  /** Folder of the box, in the attempt's folder. */
  folder: string
  /** Key of the attempt, unique on this machine. */
  key: string
  image: string
  /** Way out of the box; absent if it has none. */
  endpoint?: BoxEndpoint
  limits: AttemptLimits
  /** Places that the operator mounts into every box. */
  mounts: BoxMounts
  /** Folders of the hub and the runner: never in a box, except for places below them that the box is given. */
  hidden: readonly string[]
}

const UNREMOVABLE_AFTER_MS = 10_000

/**
 * Makes a box with a container engine: each launch is a separate container, run by a program that represents it
 * outside.
 */
export class ContainerBox implements Box {
  readonly isolation = 'container'
  readonly #options: ContainerBoxOptions
  #image: ContainerImage | undefined
  #report: (message: string) => void = () => undefined

  constructor(options: ContainerBoxOptions) {
    this.#options = options
  }

  listen(report: (message: string) => void): void {
    this.#report = report
  }

  async prepare(requested?: EndpointRequest): Promise<void> {
    const { containers, folder, image, endpoint } = this.#options
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const opened = endpoint?.prepare(requested)
    opened?.catch(() => undefined)
    try {
      this.#image = await containers.image(image, this.#report)
    } finally {
      // Whoever closes it after a failure finds it open.
      await opened
    }
  }

  logSince(fromOffset: number): LogSince {
    return this.#options.endpoint?.logSince(fromOffset) ?? { lines: [], offset: fromOffset }
  }

  async close(): Promise<void> {
    await this.#options.endpoint?.close()
  }

  async remove(): Promise<void> {
    await this.#options.endpoint?.remove()
  }

  enclose(launch: Launch, mounts: BoxMounts, name: string): Launch {
    const { containers, folder, key, limits, mounts: operators, hidden } = this.#options
    const image = this.#image!
    const all = {
      writable: [...mounts.writable, ...operators.writable],
      readable: [...mounts.readable, ...operators.readable],
    }
    const endpoint = mounts.offline ? undefined : this.#options.endpoint?.open
    const env = { ...this.#environment(launch.env, all, image), ...endpoint?.env }
    this.#checkLoader(launch, env.PATH!, all, image)
    const bridge = endpoint && imageBridge(image)
    const argv = bridge ? bridged(bridge, launch.argv) : launch.argv
    const io = join(folder, `io.${name}`)
    rmSync(io, { recursive: true, force: true })
    mkdirSync(io, { mode: 0o700 })
    writeFileSync(join(io, 'start'), startScript({ ...launch, argv, env }, launch.argv[0]), { mode: 0o600 })
    const files = this.#files(name)
    rmSync(files.end, { force: true })
    const container = `errand-${key}-${name.replaceAll(/[^A-Za-z0-9_.-]/g, '_')}`
    const spec: ContainerSpec = {
      docker: containers.env,
      name: container,
      program: launch.argv[0]!,
      image: image.name,
      body: containerBody({
        ...{ image, mounts: mountsOf(mounts, operators, hidden), io, limits },
        more: endpoint ? [bind(endpoint.folder, ENDPOINT_INSIDE), ...bridge!.mounts] : [],
        etc: containers.etc(image.user),
        labels: containers.labels({ key, folder }),
        env: engineVariables(env),
      }),
      limits,
      io,
      files,
    }
    writeFileSync(files.name, container)
    writeFileSync(join(folder, `spec.${name}`), JSON.stringify(spec), { mode: 0o600 })
    return {
      argv: [
        process.execPath,
        ownProgram(import.meta.dirname, ...CONTAINER_PROGRAMS),
        join(folder, `spec.${name}`),
      ],
      cwd: folder,
      env: outsideEnvironment(launch.env),
    }
  }

  /** Returns none: its processes end with their container, which gets signals from the program that represents it. */
  members(): number[] {
    return []
  }

  spares(pid: number): boolean {
    return isFurtherIn(pid)
  }

  limiter(): Limiter {
    const { limits } = this.#options
    return new ContainerLimiter({
      limits,
      notHeld: () => [],
      running: () => this.#running(),
      ends: () => this.#ends(),
    })
  }

  began(name: string): boolean {
    const end = this.#read<ContainerEnd>('end').find((each) => each.name === name)
    return end !== undefined && end.value.failure === undefined
  }

  whyNot(name: string): string | undefined {
    return this.#read<ContainerEnd>('end').find((each) => each.name === name)?.value.failure
  }

  async end(): Promise<boolean> {
    const { containers, folder } = this.#options
    // At once, if this process may: the engine takes longer.
    for (const { pid } of this.#running()) if (pid !== undefined) signal(pid, 'SIGKILL')
    const until = performance.now() + UNREMOVABLE_AFTER_MS
    for (;;) {
      const left = namesIn(folder).filter((name) => name.startsWith('name.'))
      try {
        for (const name of left) {
          await containers.remove(readFileSync(join(folder, name), 'utf8'))
          rmSync(join(folder, name), { force: true })
        }
        break
      } catch {
        if (performance.now() > until) return false
        await sleep(100)
      }
    }
    for (const name of namesIn(folder))
      if (/^(io|spec)\./.test(name)) rmSync(join(folder, name), { recursive: true, force: true })
    return true
  }

  #files(name: string): ContainerFiles {
    const file = (kind: string) => join(this.#options.folder, `${kind}.${name}`)
    return { name: file('name'), status: file('status'), end: file('end') }
  }

  /** Returns the containers that have begun and are not removed. */
  #running(): ContainerStatus[] {
    const isLeft = ({ id, pid }: ContainerStatus) =>
      pid === undefined || procText(pid, 'cgroup')?.includes(id)
    return this.#read<ContainerStatus>('status')
      .filter(({ name, value }) => existsSync(this.#files(name).name) && isLeft(value))
      .map(({ value }) => value)
  }

  #ends(): ContainerEnd[] {
    return this.#read<ContainerEnd>('end').map(({ value }) => value)
  }

  #read<T>(kind: 'status' | 'end'): { name: string; value: T }[] {
    const { folder } = this.#options
    return namesIn(folder)
      .filter((file) => file.startsWith(`${kind}.`) && !file.endsWith('.tmp'))
      .flatMap((file) => {
        try {
          const value = JSON.parse(readFileSync(join(folder, file), 'utf8')) as T
          return [{ name: file.slice(kind.length + 1), value }]
        } catch {
          return []
        }
      })
  }

  #environment(env: Launch['env'], { writable, readable }: BoxMounts, image: ContainerImage): Launch['env'] {
    const { HOME = '', PATH = '' } = env
    const mounted = (path: string) => isInside(path, [...writable, ...readable])
    const folders = PATH.split(':').filter(Boolean)
    // Mounted folders are found by name; the rest of PATH belongs to this machine, so the image's own comes before it.
    const path = [...folders.filter(mounted), ...image.path, ...folders]
    return {
      ...env,
      PATH: [...new Set(path)].join(':'),
      HOME: isInside(HOME, writable) ? HOME : HOME_INSIDE,
      TMPDIR: '/tmp',
      USER: 'errand',
    }
  }

  /** Throws if a program of this machine that is to run in it is built for another libc than its image has. */
  #checkLoader(
    { argv, cwd }: Launch,
    path: string,
    { writable, readable }: BoxMounts,
    image: ContainerImage,
  ) {
    const mounts = [...writable, ...readable]
    const mounted = path.split(':').filter((folder) => isInside(folder, mounts))
    const program = findProgram(argv[0]!, mounted.join(':'), cwd)
    if (program === undefined || !isInside(program, mounts)) return
    const loader = elfLoader(realPath(program, cwd))
    if (loader === undefined || image.loaders.includes(loader)) return
    const has = image.loaders.length === 0 ? 'no libc' : libcOf(image.loaders[0]!)
    throw new ErrandError(
      'invalid_argument',
      `The program ${program} is built for ${libcOf(loader)} (${loader}), but the image ${image.name} has ${has}.`,
      { hint: `Use an image with ${libcOf(loader)}, or a build of the program for that image.` },
    )
  }
}

const libcOf = (loader: string): string => (loader.includes('musl') ? 'musl' : 'glibc')

const isInside = (path: string, mounts: readonly string[]): boolean =>
  mounts.some((each) => isBelow(path, each))

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
