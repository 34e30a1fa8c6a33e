import type { AttemptLimits } from '../../contract/attempt.ts'

/** Path inside of the files that a container and its program outside communicate through. */
export const IO_INSIDE = '/run/errand-io'

/**
 * Facts that the program outside needs to run a container: a file in the attempt's box, which is deleted once it is
 * read.
 */
export interface ContainerSpec {
  /** Variables that locate the engine. */
  docker: Readonly<Record<string, string>>
  /** Name of the container. */
  name: string
  /** Program and image, for people. */
  program: string
  image: string
  /** Order for the engine, without the mounts of its streams. */
  body: { HostConfig: { Mounts: readonly BindMount[] } & Readonly<Record<string, unknown>> } & Readonly<
    Record<string, unknown>
  >
  limits: AttemptLimits
  /** Folder that is at `IO_INSIDE` inside. */
  io: string
  files: ContainerFiles
}

/** Files of one container in the attempt's box. */
export interface ContainerFiles {
  /** File with its name; exists as long as the container may be at the engine. */
  name: string
  /** File with its `ContainerStatus`, once it runs. */
  status: string
  /** File with its `ContainerEnd`, once it has ended. */
  end: string
}

export interface BindMount {
  Type: 'bind'
  Source: string
  Target: string
  ReadOnly: boolean
}

/** Builds a mount, read-only by default. A missing source is an error, and not created by the engine. */
export const bind = (Source: string, Target: string, ReadOnly = true): BindMount => ({
  Type: 'bind',
  Source,
  Target,
  ReadOnly,
})

export interface ContainerStatus {
  id: string
  /** Pid of its first process on this machine; absent if the engine counts others. */
  pid?: number
}

export interface ContainerEnd {
  /** Reason why nothing began in it. */
  failure?: string
  /** Set if a process of it was killed because its memory was used up. */
  oom?: boolean
  held_by?: 'cgroup_v1' | 'cgroup_v2'
  peak_memory_bytes?: number
  cpu_ms?: number
}

/** Exit code of the program outside if nothing began; its `ContainerEnd` says why. */
export const NOT_BEGUN = 125

/** Signal that tells the program outside to end its container: SIGKILL would end only the program. */
export const KILL_CONTAINER = 'SIGUSR2'
/** Names of that program's file: its source, and its bundle. */
export const CONTAINER_PROGRAMS = ['container-program.ts', 'container.cjs'] as const
