import type { AttemptLimits } from '../../contract/attempt.ts'

/** Where the files by which a container and its program outside understand one another stand inside. */
export const IO_INSIDE = '/run/errand-io'

/** The facts that the program outside needs to run a container: a file in the attempt's box, which goes once it is read. */
export interface ContainerSpec {
  /** The variables by which the engine is found. */
  docker: Readonly<Record<string, string>>
  /** Of the container. */
  name: string
  /** Its program and its image, for people. */
  program: string
  image: string
  /** The order to the engine, but for the mounts of its streams. */
  body: { HostConfig: { Mounts: readonly BindMount[] } & Readonly<Record<string, unknown>> } & Readonly<
    Record<string, unknown>
  >
  limits: AttemptLimits
  /** Folder that stands inside at `IO_INSIDE`. */
  io: string
  files: ContainerFiles
}

/** Files in the attempt's box of one container. */
export interface ContainerFiles {
  /** Its name; there as long as it may be at the engine. */
  name: string
  /** `ContainerStatus`, once it runs. */
  status: string
  /** `ContainerEnd`, once it has ended. */
  end: string
}

export interface BindMount {
  Type: 'bind'
  Source: string
  Target: string
  ReadOnly: boolean
}

/** Read-only unless said otherwise. What is not there is an error, and not made by the engine. */
export const bind = (Source: string, Target: string, ReadOnly = true): BindMount => ({
  Type: 'bind',
  Source,
  Target,
  ReadOnly,
})

export interface ContainerStatus {
  id: string
  /** Of its first process on this machine; absent where the engine counts others. */
  pid?: number
}

export interface ContainerEnd {
  /** Why nothing began in it. */
  failure?: string
  /** A process of it was killed since its memory was used up. */
  oom?: boolean
  held_by?: 'cgroup_v1' | 'cgroup_v2'
  peak_memory_bytes?: number
  cpu_ms?: number
}

/** Exit code of the program outside where nothing began; its `ContainerEnd` says why. */
export const NOT_BEGUN = 125

/** The signal by which the program outside is told to end its container: SIGKILL would end the program alone. */
export const KILL_CONTAINER = 'SIGUSR2'
/** The names of that program's file: its source, and its bundle. */
export const CONTAINER_PROGRAMS = ['container-program.ts', 'container.cjs'] as const
