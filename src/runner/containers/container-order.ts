import { basename, resolve } from 'node:path'
import type { AttemptLimits } from '../../contract/attempt.ts'
import { BOX_SECCOMP, MASKED_PATHS } from '../docker/confinement.ts'
import type { Mount } from '../sandbox/mounts.ts'
import type { ContainerImage } from './container-image.ts'
import { type BindMount, bind, type ContainerSpec, IO_INSIDE } from './container-spec.ts'

/** Limit in bytes for each of /tmp, /dev/shm, the home and each volume of an image, all in memory. */
const TEMP_BYTES = 1024 ** 3
const OPEN_FILES = 16_384
export const HOME_INSIDE = '/home/errand'

export interface ContainerOrder {
  image: ContainerImage
  /** Places of the machine. */
  mounts: readonly Mount[]
  /** Files of Errand's that it has. */
  more: readonly BindMount[]
  /** Folder of the files in its /etc. */
  etc: readonly string[]
  io: string
  limits: AttemptLimits
  labels: Readonly<Record<string, string>>
  /** Variables of its first process. */
  env: readonly string[]
}

/** Builds the order for the engine: nothing of the machine except these places, no network, no capabilities. */
export function containerBody(order: ContainerOrder): ContainerSpec['body'] {
  const { image, more, etc, io, limits, labels, env } = order
  const { engine } = image
  const mounts = unique([
    ...order.mounts.flatMap(bindOf),
    ...etc.map((file) => bind(file, `/etc/${basename(file)}`)),
    ...more,
    bind(io, IO_INSIDE),
  ])
  const temporary = (mode: string) => `rw,exec,nosuid,nodev,size=${TEMP_BYTES},mode=${mode}`
  const targets = new Set(mounts.map(({ Target }) => Target))
  const inMemory = ['/tmp', HOME_INSIDE, ...image.volumes].filter((path) => !targets.has(path))
  const covered = order.mounts.flatMap(({ kind, path }) =>
    kind === 'hidden_folder' && !targets.has(path) ? [path] : [],
  )
  return {
    Image: image.id,
    Entrypoint: ['/bin/sh', `${IO_INSIDE}/start`],
    Cmd: [],
    WorkingDir: '/',
    User: image.user,
    Hostname: 'errand',
    // Only for its processes, not for the script that they belong to.
    Env: ['TINI_KILL_PROCESS_GROUP=1', ...env],
    Labels: labels,
    Tty: false,
    OpenStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      NetworkMode: 'none',
      ...heldLimits(limits, engine.cpus),
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges', ...(engine.hasSeccomp ? [BOX_SECCOMP] : [])],
      Privileged: false,
      ReadonlyRootfs: true,
      // Through a writable one, each process could change the memory of the one that waits for it.
      ReadonlyPaths: ['/proc'],
      MaskedPaths: MASKED_PATHS,
      Mounts: mounts,
      Tmpfs: {
        ...Object.fromEntries(inMemory.map((path) => [path, temporary('1777')])),
        ...Object.fromEntries(covered.map((path) => [path, 'ro,size=4k,mode=555'])),
      },
      ShmSize: TEMP_BYTES,
      IpcMode: 'private',
      PidMode: '',
      UTSMode: '',
      CgroupnsMode: 'private',
      ...(image.usernsMode === undefined ? {} : { UsernsMode: image.usernsMode }),
      Ulimits: [
        { Name: 'nofile', Soft: OPEN_FILES, Hard: OPEN_FILES },
        { Name: 'core', Soft: 0, Hard: 0 },
      ],
      RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
      AutoRemove: false,
      Init: true,
      // Its output goes into files of its attempt.
      LogConfig: { Type: 'none', Config: {} },
    },
  }
}

/** Returns the last of several mounts at one path, which would cover the others; engines reject duplicates. */
const unique = (mounts: readonly BindMount[]): BindMount[] => [
  ...new Map(
    mounts.map((each) => [resolve(each.Target), { ...each, Target: resolve(each.Target) }]),
  ).values(),
]

/** Returns the mount; a hidden folder is covered in another way. */
function bindOf({ kind, path, source }: Mount): BindMount[] {
  if (kind === 'hidden_folder') return []
  return [kind === 'hidden_file' ? bind('/dev/null', path) : bind(source, path, kind === 'readable')]
}

/** Returns the limits, with no more CPUs than there are: engines refuse that. */
function heldLimits({ memory_bytes, processes, cpus }: AttemptLimits, most: number): Record<string, number> {
  return {
    ...(memory_bytes === undefined ? {} : { Memory: memory_bytes, MemorySwap: memory_bytes }),
    ...(processes === undefined ? {} : { PidsLimit: processes }),
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(Math.min(cpus, most) * 1e9) }),
  }
}
