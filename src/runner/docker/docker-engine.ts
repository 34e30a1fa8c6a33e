import type { Readable } from 'node:stream'
import type { Progress } from '../../docker/docker-answers.ts'
import type { PullOrder } from '../../docker/pull.ts'

/** The needs of bots in a container engine. One conformance suite runs on every implementation. */

/** Labels that every container, network and image of ours carries; nothing without them is ever touched. */
export interface OwnLabels {
  /** Id of the runner, and of its engine folder: two runners on one engine leave each other alone. */
  runner: string
  attempt?: string
  bot?: string
  /** Tenant and owner, as one opaque text. */
  owner?: string
}

export interface ContainerLimits {
  memoryBytes: number
  /** The most that it may use. */
  cpus: number
  /** Its weight among all that want a core; default: the ordinary one, 1024. */
  cpuShares?: number
  processes: number
  tmpBytes: number
}

export interface ContainerOrder {
  name: string
  /** An image id, or a name that is on the engine. */
  image: string
  command?: readonly string[]
  env: Readonly<Record<string, string>>
  limits: ContainerLimits
  /** Bytes that the engine keeps of its log (rotated). */
  logBytes: number
  /** A volume that outlives it, at this path; made where there is none of that name, and labelled without the attempt. */
  data?: { volume: string; path: string }
  runtime?: string
  stopGraceSeconds: number
  /** Absent: the one of its image, if that has any. */
  health?: HealthOrder
  labels: OwnLabels
}

/** `none`: there is no check. */
export type HealthOrder =
  | 'none'
  | {
      cmd: string | readonly string[]
      intervalSeconds: number
      timeoutSeconds: number
      retries: number
      startPeriodSeconds: number
    }

/** `output`: of the last check, as the container has said it. */
export interface ContainerHealth {
  state: 'starting' | 'healthy' | 'unhealthy'
  output?: string
  checkedAt?: string
}

/** Of one that dies at once `finishedAt` may be a few milliseconds before `startedAt`. */
export type ContainerState =
  | { type: 'created' }
  | { type: 'running'; pid: number; startedAt: string; health?: ContainerHealth }
  | { type: 'exited'; exitCode: number; oom: boolean; startedAt: string; finishedAt: string; error?: string }
  | { type: 'gone' }

/** Something that the engine has seen happen to a container. `signaled`: by whoever; also by an engine that is stopped. */
export interface ContainerEvent {
  id: string
  type: 'start' | 'signaled' | 'ended' | 'health'
  atMs: number
}

/**
 * The events of a container since a time, up to its end, that this process of an engine has seen. `knownFromMs`: it may have
 * forgotten what was before, and has forgotten nothing of its own time where that is -Infinity.
 */
export interface ContainerHistory {
  seen: ReadonlySet<ContainerEvent['type']>
  knownFromMs: number
}

/** A container's use, now and since its start. */
export interface ContainerUse {
  atMs: number
  cpuMs: number
  memoryBytes: number
  receivedBytes: number
  sentBytes: number
  readBytes: number
  writtenBytes: number
  heldBy: 'cgroup_v2' | 'cgroup_v1'
}

/**
 * One piece of a container's log. `time` has nanoseconds, as the engine writes it; pieces may share one. Engines keep text:
 * bytes that are no UTF-8 may come as U+FFFD.
 */
export interface LogPiece {
  stream: 'stdout' | 'stderr'
  time: string
  bytes: Buffer
}

export interface FoundContainer {
  id: string
  name: string
  labels: OwnLabels
  state: ContainerState
  createdAt: string
}

export interface FoundVolume {
  name: string
  labels: OwnLabels
}

export interface ImageInfo {
  /** `sha256:…` */
  id: string
  names: readonly string[]
  /** `repository@sha256:…`, of what a registry has given. */
  digests: readonly string[]
  /** Instructions that a build on top of it carries out; only told by `image`. */
  onBuild?: readonly string[]
  /** Paths that each container of a build on it has as volumes, with a copy of what stands there; only told by `image`. */
  volumes?: readonly string[]
  /** The shell of a build on it, where that is not the usual shell; only told by `image`. */
  shell?: readonly string[]
  labels: Readonly<Record<string, string>>
  sizeBytes: number
  createdAt: string
}

export interface BuildOrder {
  /** A tar of the build's context; asked for again where the engine has to begin anew. */
  context(): Promise<Readable>
  dockerfile: string
  args: Readonly<Record<string, string>>
  /** The image's name; and the labels that it gets. */
  name: string
  labels: OwnLabels
  /** Without what the engine has of earlier builds. */
  refresh?: boolean
  /** The limits of each of the build's own containers; `diskBytes`: of all its files, with those of its image and volumes, and an image. */
  limits: { memoryBytes: number; cpus: number; cpuShares?: number; processes: number; diskBytes: number }
  progress: Progress
  signal: AbortSignal
}

/**
 * All of it throws `ErrandError`: `unavailable` (no engine; how to start it), `not_found` (no such image or container),
 * `pull_refused` (needs credentials, or the ones given are wrong), `build_failed` (`details.lines`: the last ones),
 * `invalid_argument`. Calls may overlap.
 */
export interface DockerEngine {
  readonly about: { engine: string; version: string }
  /** Its network for bots is there, closed towards this machine and the other bots. Idempotent. Throws where it cannot be closed. */
  prepareNetwork(): Promise<void>
  pull(order: PullOrder): Promise<ImageInfo>
  /** On a network of its own, closed as `prepareNetwork` has left it, which is gone when it has ended. */
  build(order: BuildOrder): Promise<ImageInfo>
  image(nameOrId: string): Promise<ImageInfo | undefined>
  images(labels: Partial<OwnLabels>): Promise<ImageInfo[]>
  tag(id: string, name: string): Promise<void>
  /** A name, or an id with all its names. One that is in use stays, and false is answered. */
  removeImage(nameOrId: string): Promise<boolean>
  /**
   * Created, not started; the limits are read back, and one that is not as ordered is an error and leaves nothing. Its
   * working folder and the volumes of its image are volumes of its own, `volumes`, which go with it and begin with what the image
   * has there; all that may be read there may be written. The rest is read-only.
   */
  create(order: ContainerOrder): Promise<{ id: string; volumes: readonly string[] }>
  start(id: string): Promise<void>
  state(id: string): Promise<ContainerState>
  /** The events that are known of it since then, a start of it. Of one that has just ended an engine may take a second to know. */
  history(id: string, since: string): Promise<ContainerHistory>
  /** The events of containers of these labels: `open` once it is listened to, then as it happens. Ends or throws where the engine goes. */
  events(labels: Partial<OwnLabels>, signal: AbortSignal): AsyncIterable<ContainerEvent | { type: 'open' }>
  /** Throws `unavailable` where there is no answer within the time; so it does as soon as the engine is being stopped. */
  ping(withinMs: number): Promise<void>
  /** Undefined where it does not run. */
  use(id: string): Promise<ContainerUse | undefined>
  /** Whether a process of it was ended for its memory since then. An engine may learn of that after the end, and its `state` never. */
  wasOutOfMemory(id: string, since: string): Promise<boolean>
  /** Resolves with the state once it no longer runs. */
  wait(id: string, signal: AbortSignal): Promise<ContainerState>
  /**
   * Its log, oldest first, from `since` (inclusive: pieces of that very time come again), then as it grows until the
   * container ends or the signal is aborted.
   */
  logs(id: string, options: { since?: string; follow: boolean; signal: AbortSignal }): AsyncIterable<LogPiece>
  /** SIGTERM, the grace, SIGKILL. Resolves when it no longer runs; one that is gone is no error. */
  stop(id: string, graceSeconds: number): Promise<void>
  /** With what it still runs and its volumes. One that is gone is no error. */
  remove(id: string): Promise<void>
  /** Only ours, by these labels. */
  containers(labels: Partial<OwnLabels>): Promise<FoundContainer[]>
  /** Only ours, by these labels. */
  volumes(labels: Partial<OwnLabels>): Promise<FoundVolume[]>
  /**
   * The bytes that stand in them, on the disk, each name of a file with 4 KiB at least. Not counted further than `enoughBytes`; Infinity where
   * it cannot be measured, as with paths that are too long or too many open files. One that is gone has nothing. With `container`, also files on
   * their disk that its processes hold and that stand in no folder any more, as far as those can be seen.
   */
  volumeBytes(
    names: readonly string[],
    options: { enoughBytes: number; signal: AbortSignal; container?: string },
  ): Promise<number>
  /** A tar of what stands in it; also while a container uses it. Throws `not_found`. */
  readVolume(name: string, labels: OwnLabels): Promise<Readable>
  /** One that is in use stays, and false is answered; one that is gone is no error. */
  removeVolume(name: string): Promise<boolean>
  /**
   * Removes the networks of builds that an earlier process of this runner has left, networks of bots that are needed no more,
   * and rules of networks that are gone.
   */
  sweepNetworks(runner: string): Promise<string[]>
  /** Removes the network of this runner's bots, where none is left. Nothing is created or built afterwards. */
  releaseNetwork(): Promise<void>
  close(): void
}
