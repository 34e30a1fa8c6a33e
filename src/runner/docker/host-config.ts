import { LEAST_HEALTH_SECONDS } from '../../contract/bots/bot.ts'
import type { HealthConfig, HostConfig } from '../../docker/docker-answers.ts'
import { BOT_SECCOMP, MASKED_PATHS } from './confinement.ts'
import type { ContainerOrder, HealthOrder } from './docker-engine.ts'
import { dockerLabels } from './own-labels.ts'

const TMP = '/tmp'
const OPEN_FILES = 16_384
/** Number of files that the log is rotated between. */
const LOG_FILES = 2

/**
 * Returns the settings that confine a bot; each field is read back once the container is created. `hasSeccomp`: this
 * kernel supports it. `places` are the paths that it can write to on the disk: each is a volume without a name, which
 * the engine fills with the image's content, and removes with the container.
 */
export function hostConfig(
  order: ContainerOrder,
  { network, hasSeccomp, places }: { network: string; hasSeccomp: boolean; places: readonly string[] },
): HostConfig {
  const { memoryBytes, cpus, cpuShares, processes, tmpBytes } = order.limits
  const { attempt: _, ...lasting } = order.labels
  const volume = (Source: string, Target: string, labels: typeof order.labels) => ({
    Type: 'volume' as const,
    Source,
    Target,
    VolumeOptions: {
      NoCopy: false,
      Labels: dockerLabels(labels),
      DriverConfig: { Name: 'local', Options: {} },
    },
  })
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
    SecurityOpt: ['no-new-privileges', ...(hasSeccomp ? [BOT_SECCOMP] : [])],
    Privileged: false,
    ReadonlyRootfs: true,
    MaskedPaths: MASKED_PATHS,
    // Programs may be in it: users run their own code anyway, and some libraries unpack there.
    Tmpfs: { [TMP]: `rw,exec,nosuid,nodev,size=${tmpBytes},mode=1777` },
    Mounts: [
      ...places.map((path) => volume('', path, order.labels)),
      ...(order.data === undefined ? [] : [volume(order.data.volume, order.data.path, lasting)]),
    ],
    Binds: [],
    Devices: [],
    IpcMode: 'private',
    PidMode: '',
    UTSMode: '',
    CgroupnsMode: 'private',
    Ulimits: [
      { Name: 'nofile', Soft: OPEN_FILES, Hard: OPEN_FILES },
      // A core dump would be written where the machine says, not where the container may.
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
  }
}

const NANO = 1e9
const NO_CHECK: HealthConfig = { Test: ['NONE'] }
const DEFAULT_SECONDS = 30
const MOST_SECONDS = 86_400
const DEFAULT_RETRIES = 3
const MOST_RETRIES = 1000

/**
 * Returns the health check of a container, as ordered or from its image, within limits. Each check is a process that
 * the engine starts on its machine, and an image may request a thousand a second.
 */
export function healthcheck(
  order: HealthOrder | undefined,
  ofImage: HealthConfig | null | undefined,
): HealthConfig {
  if (order === 'none') return NO_CHECK
  if (order !== undefined) {
    const { cmd, intervalSeconds, timeoutSeconds, retries, startPeriodSeconds } = order
    return {
      Test: typeof cmd === 'string' ? ['CMD-SHELL', cmd] : ['CMD', ...cmd],
      Interval: Math.max(LEAST_HEALTH_SECONDS, intervalSeconds) * NANO,
      Timeout: timeoutSeconds * NANO,
      Retries: retries,
      StartPeriod: startPeriodSeconds * NANO,
    }
  }
  const { Test = [], Interval, Timeout, Retries, StartPeriod = 0 } = ofImage ?? {}
  if (Test.length < 2 || Test[0] === 'NONE') return NO_CHECK
  return {
    Test,
    Interval: bounded(Interval || DEFAULT_SECONDS * NANO, LEAST_HEALTH_SECONDS, MOST_SECONDS),
    Timeout: bounded(Timeout || DEFAULT_SECONDS * NANO, 1, 3600),
    Retries: Math.min(MOST_RETRIES, Math.max(1, Retries || DEFAULT_RETRIES)),
    StartPeriod: bounded(StartPeriod, 0, MOST_SECONDS),
  }
}

const bounded = (nanoseconds: number, leastSeconds: number, mostSeconds: number): number =>
  Math.min(mostSeconds * NANO, Math.max(leastSeconds * NANO, nanoseconds))
