import type { Readable } from 'node:stream'
import type { Progress } from '../../docker/docker-answers.ts'
import type { PullOrder } from '../../docker/pull.ts'

/** Interface of what bots need from a container engine. One conformance suite runs on every implementation. */

/** Labels of every container, network and image of ours; nothing without them is ever changed. */
export interface OwnLabels {
  /** Id of the runner and of its folder: two runners on one engine do not touch each other's things. */
  runner: string
  attempt?: string
  bot?: string
  /** Tenant and owner, as one opaque text. */
  owner?: string
}

export interface ContainerLimits {
  memoryBytes: number
  /** Limit of CPU cores. */
  cpus: number
  /** Weight among all that want a core; default: the ordinary one, 1024. */
  cpuShares?: number
  processes: number
  tmpBytes: number
}

export interface ContainerOrder {
  name: string
  /** Image id, or a name that is at the engine. */
  image: string
  command?: readonly string[]
  env: Readonly<Record<string, string>>
  limits: ContainerLimits
  /** Bytes of its log that the engine stores (rotated). */
  logBytes: number
  /**
   * Volume at this path that outlives the container; created if none of that name exists, and labeled without the
   * attempt.
   */
  data?: { volume: string; path: string }
  runtime?: string
  stopGraceSeconds: number
  /** Health check; absent: the one of its image, if that has any. */
  health?: HealthOrder
  labels: OwnLabels
}

/** Order for a health check; `none` disables it. */
export type HealthOrder =
  | 'none'
  | {
      cmd: string | readonly string[]
      intervalSeconds: number
      timeoutSeconds: number
      retries: number
      startPeriodSeconds: number
    }

/** Health of a container; `output` is that of the last check. */
export interface ContainerHealth {
  state: 'starting' | 'healthy' | 'unhealthy'
  output?: string
  checkedAt?: string
}

/** State of a container. If it dies at once, `finishedAt` may be a few milliseconds before `startedAt`. */
export type ContainerState =
  | { type: 'created' }
  | { type: 'running'; pid: number; startedAt: string; health?: ContainerHealth }
  | { type: 'exited'; exitCode: number; oom: boolean; startedAt: string; finishedAt: string; error?: string }
  | { type: 'gone' }

/** Event of a container that the engine has seen. `signaled`: by anybody, including a stopping engine. */
export interface ContainerEvent {
  id: string
  type: 'start' | 'signaled' | 'ended' | 'health'
  atMs: number
}

/**
 * Events of a container since a time, up to its end, that this process of an engine has seen. Before `knownFromMs` it
 * may have forgotten some; with -Infinity it has forgotten nothing of its own time.
 */
export interface ContainerHistory {
  seen: ReadonlySet<ContainerEvent['type']>
  knownFromMs: number
}

/** Use of a container, now and since its start. */
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
 * Piece of a container's log. `time` has nanoseconds, as the engine writes it; pieces may share one. Engines store
 * text: bytes that are not UTF-8 may come as U+FFFD.
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
  /** Image id, `sha256:…`. */
  id: string
  names: readonly string[]
  /** Digests, `repository@sha256:…`, of what a registry has provided. */
  digests: readonly string[]
  /** Instructions that a build on top of it executes; only returned by `image`. */
  onBuild?: readonly string[]
  /**
   * Paths that each container of a build on it has as volumes, with a copy of their content; only returned by `image`.
   */
  volumes?: readonly string[]
  /** Shell of a build on it, if it is not the usual one; only returned by `image`. */
  shell?: readonly string[]
  labels: Readonly<Record<string, string>>
  sizeBytes: number
  createdAt: string
}

export interface BuildOrder {
  /** Returns a tar of the build's context; called again if the engine has to start again. */
  context(): Promise<Readable>
  dockerfile: string
  args: Readonly<Record<string, string>>
  /** Name of the image, which also gets the labels. */
  name: string
  labels: OwnLabels
  /** Ignores the engine's results of earlier builds. */
  refresh?: boolean
  /**
   * Limits for each of the build's own containers. `diskBytes` covers all its files, including those of its image and
   * volumes, and the built image.
   */
  limits: { memoryBytes: number; cpus: number; cpuShares?: number; processes: number; diskBytes: number }
  progress: Progress
  signal: AbortSignal
}

/**
 * Interface of a container engine. All methods throw `ErrandError`: `unavailable` (no engine; how to start it),
 * `not_found` (no such image or container), `pull_refused` (needs credentials, or the ones given are wrong),
 * `build_failed` (`details.lines`: the last ones), `invalid_argument`. Calls may overlap.
 */
export interface DockerEngine {
  readonly about: { engine: string; version: string }
  /**
   * Ensures that its network for bots exists, closed towards this machine and the other bots. Idempotent. Throws if it
   * cannot be closed.
   */
  prepareNetwork(): Promise<void>
  pull(order: PullOrder): Promise<ImageInfo>
  /** Builds an image on a separate network, closed like the one of `prepareNetwork`, which is removed at the end. */
  build(order: BuildOrder): Promise<ImageInfo>
  image(nameOrId: string): Promise<ImageInfo | undefined>
  images(labels: Partial<OwnLabels>): Promise<ImageInfo[]>
  tag(id: string, name: string): Promise<void>
  /** Removes a name, or an id with all its names. If it is in use, it stays, and this returns false. */
  removeImage(nameOrId: string): Promise<boolean>
  /**
   * Creates a container without starting it. The limits are read back; a difference is an error, and leaves nothing.
   * Its working folder and the volumes of its image become its own `volumes`, which are deleted with it and begin with
   * the image's content; everything readable there is writable. The rest is read-only.
   */
  create(order: ContainerOrder): Promise<{ id: string; volumes: readonly string[] }>
  start(id: string): Promise<void>
  state(id: string): Promise<ContainerState>
  /**
   * Returns its known events since then, which is one of its starts. An engine may take a second to know that one has
   * just ended.
   */
  history(id: string, since: string): Promise<ContainerHistory>
  /**
   * Yields the events of containers with these labels: `open` once the connection is there, then events as they happen.
   * Ends or throws if the engine goes.
   */
  events(labels: Partial<OwnLabels>, signal: AbortSignal): AsyncIterable<ContainerEvent | { type: 'open' }>
  /** Throws `unavailable` if there is no answer within the time, or if the engine is stopping. */
  ping(withinMs: number): Promise<void>
  /** Returns its use; undefined if it does not run. */
  use(id: string): Promise<ContainerUse | undefined>
  /**
   * Reports whether a process of it was killed for its memory since then. An engine may learn that after the end, and
   * its `state` never.
   */
  wasOutOfMemory(id: string, since: string): Promise<boolean>
  /** Resolves with the state once it no longer runs. */
  wait(id: string, signal: AbortSignal): Promise<ContainerState>
  /**
   * Yields its log, oldest first, from `since` (inclusive: pieces of exactly that time come again), then as it grows
   * until the container ends or the signal aborts.
   */
  logs(id: string, options: { since?: string; follow: boolean; signal: AbortSignal }): AsyncIterable<LogPiece>
  /** Sends SIGTERM, waits for the grace, sends SIGKILL. Resolves when it no longer runs; does nothing if it is gone. */
  stop(id: string, graceSeconds: number): Promise<void>
  /** Removes it, with everything that it still runs and its volumes. Does nothing if it is gone. */
  remove(id: string): Promise<void>
  /** Lists our containers with these labels. */
  containers(labels: Partial<OwnLabels>): Promise<FoundContainer[]>
  /** Lists our volumes with these labels. */
  volumes(labels: Partial<OwnLabels>): Promise<FoundVolume[]>
  /**
   * Returns the bytes in them on the disk, with at least 4 KiB for each file name. Counting stops at `enoughBytes`. The
   * result is Infinity if it cannot be measured, for example with paths that are too long or too many open files, and 0
   * for a volume that is gone. With `container`, files on their disk that its processes hold and that are in no folder
   * any more also count, as far as they are visible.
   */
  volumeBytes(
    names: readonly string[],
    options: { enoughBytes: number; signal: AbortSignal; container?: string },
  ): Promise<number>
  /** Returns a tar of its content, even while a container uses it. Throws `not_found`. */
  readVolume(name: string, labels: OwnLabels): Promise<Readable>
  /** Removes a volume. If it is in use, it stays, and this returns false; one that is gone is not an error. */
  removeVolume(name: string): Promise<boolean>
  /**
   * Removes the networks of builds that an earlier process of this runner has left, networks of bots that are not
   * needed any more, and rules of networks that are gone.
   */
  sweepNetworks(runner: string): Promise<string[]>
  /** Removes the network of this runner's bots, if no bot is left. Nothing is created or built afterwards. */
  releaseNetwork(): Promise<void>
  close(): void
}
