import { basename, resolve } from 'node:path'
import type { AttemptLimits } from '../../contract/attempt.ts'
import seccompProfile from '../docker/seccomp-profile.json' with { type: 'json' }
import type { Mount } from '../sandbox/places.ts'
import { REFUSED_CALLS } from '../sandbox/seccomp-filter.ts'
import type { ContainerImage } from './container-image.ts'
import { type BindMount, bind, type ContainerSpec, IO_INSIDE } from './container-spec.ts'

/** Most that /tmp, /dev/shm, the home and each volume of an image hold, and all of it is memory. */
const TEMP_BYTES = 1024 ** 3
const OPEN_FILES = 16_384
export const HOME_INSIDE = '/home/errand'

export interface ContainerOrder {
  image: ContainerImage
  /** Places of the machine. */
  mounts: readonly Mount[]
  /** Files of Errand's that it has. */
  more: readonly BindMount[]
  /** Folder of the files that stand in its /etc. */
  etc: readonly string[]
  io: string
  limits: AttemptLimits
  labels: Readonly<Record<string, string>>
  /** Variables that its first process has. */
  env: readonly string[]
}

/** The container that the engine is asked to create: nothing of the machine but these places, no network, no rights. */
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
    // To its processes alone, and not to the script that they belong to.
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
      SecurityOpt: ['no-new-privileges', ...(engine.hasSeccomp ? [SECCOMP] : [])],
      Privileged: false,
      ReadonlyRootfs: true,
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
      // What it puts out goes into files of its attempt.
      LogConfig: { Type: 'none', Config: {} },
    },
  }
}

/** Of several at one path the last, as where each is mounted upon those before; engines take no two. */
const unique = (mounts: readonly BindMount[]): BindMount[] => [
  ...new Map(
    mounts.map((each) => [resolve(each.Target), { ...each, Target: resolve(each.Target) }]),
  ).values(),
]

/** A folder that is hidden is covered in another way. */
function bindOf({ kind, path, source }: Mount): BindMount[] {
  if (kind === 'hidden_folder') return []
  return [kind === 'hidden_file' ? bind('/dev/null', path) : bind(source, path, kind === 'readable')]
}

/** No more CPUs than there are: engines refuse that. */
function heldLimits({ memory_bytes, processes, cpus }: AttemptLimits, most: number): Record<string, number> {
  return {
    ...(memory_bytes === undefined ? {} : { Memory: memory_bytes, MemorySwap: memory_bytes }),
    ...(processes === undefined ? {} : { PidsLimit: processes }),
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(Math.min(cpus, most) * 1e9) }),
  }
}

/** Engines' default, without what a sandbox refuses as well; a socket of a family that is not for networks is refused too. */
const { '//': _source, ...profile } = seccompProfile
const socketRule = (args: readonly (readonly [index: number, value: number])[]) => ({
  names: ['socket'],
  action: 'SCMP_ACT_ALLOW',
  args: args.map(([index, value]) => ({ index, value, op: 'SCMP_CMP_EQ' })),
})
const AF_NETLINK = 16
const SECCOMP = `seccomp=${JSON.stringify({
  ...profile,
  syscalls: [
    ...profile.syscalls
      .map((rule) => ({
        ...rule,
        names: rule.names.filter((name) => name !== 'socket' && !REFUSED_CALLS.includes(name)),
      }))
      .filter(({ names }) => names.length > 0),
    // AF_UNIX, AF_INET, AF_INET6, and the protocol by which programs list the interfaces.
    ...[1, 2, 10].map((family) => socketRule([[0, family]])),
    socketRule([
      [0, AF_NETLINK],
      [2, 0],
    ]),
  ],
})}`
