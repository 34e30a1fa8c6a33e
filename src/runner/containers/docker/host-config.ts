import { posix } from 'node:path'
import type Docker from 'dockerode'
import type { ContainerOrder } from '../ports.ts'

const TMP = '/tmp'
const OPEN_FILES = 16_384
/** The log is rotated between so many files. */
const LOG_FILES = 2

/**
 * How a bot is held: each field is read back once the container is made. `volumes` are paths that its image declares;
 * they become memory like /tmp, since the engine would give them the machine's disk.
 */
export function hostConfig(
  order: ContainerOrder,
  network: string,
  volumes: readonly string[],
): Docker.HostConfig {
  const { memoryBytes, cpus, cpuShares, processes, tmpBytes } = order.limits
  const paths = new Set(volumes.map((path) => posix.resolve('/', path)))
  paths.delete(TMP)
  return {
    NetworkMode: network,
    Memory: memoryBytes,
    MemorySwap: memoryBytes,
    NanoCpus: Math.round(cpus * 1e9),
    CpuShares: cpuShares ?? 0,
    PidsLimit: processes,
    ShmSize: tmpBytes,
    CapDrop: ['ALL'],
    CapAdd: ['NET_BIND_SERVICE'],
    SecurityOpt: ['no-new-privileges'],
    Privileged: false,
    ReadonlyRootfs: true,
    // Programs may stand in it: who runs code of their own gains nothing by that, and some libraries unpack there.
    Tmpfs: { [TMP]: `rw,exec,nosuid,nodev,size=${tmpBytes},mode=1777` },
    Mounts: [...paths].map((path) => ({
      Type: 'tmpfs',
      Source: '',
      Target: path,
      TmpfsOptions: { SizeBytes: tmpBytes, Mode: 0o1777 },
    })),
    Binds: [],
    Devices: [],
    IpcMode: 'private',
    PidMode: '',
    UTSMode: '',
    CgroupnsMode: 'private',
    Ulimits: [
      { Name: 'nofile', Soft: OPEN_FILES, Hard: OPEN_FILES },
      // A core would be written where the machine says, not where the container may.
      { Name: 'core', Soft: 0, Hard: 0 },
    ],
    PublishAllPorts: false,
    PortBindings: {},
    RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    AutoRemove: false,
    Init: true,
    LogConfig: {
      Type: 'json-file',
      Config: { 'max-size': String(Math.ceil(order.logBytes / LOG_FILES)), 'max-file': String(LOG_FILES) },
    },
    ...(order.runtime === undefined ? {} : { Runtime: order.runtime }),
  } as Docker.HostConfig
}
