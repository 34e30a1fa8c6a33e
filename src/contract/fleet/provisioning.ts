import * as z from 'zod'
import { parseMachineBytes } from '../amounts.ts'
import { Labels } from '../plain-name.ts'

/** The ways in which a group's runners are provisioned. */
export const ProvisionerKind = z.enum(['process', 'command', 'docker', 'kubernetes'])
export type ProvisionerKind = z.infer<typeof ProvisionerKind>

const seconds = (most: number) => z.number().min(1).max(most)

/** The settings for provisioning a group's runners, from `errand.yaml`. */
export const PoolShape = {
  provisioner: ProvisionerKind.optional(),
  /** Most runners at once, including those that start or are being removed. Default 10. */
  max: z.number().int().min(1).max(1_000).optional(),
  /** Number of runners that are provisioned ahead of need, for whatever comes next. Default 0. */
  spare: z.number().int().min(0).max(100).optional(),
  /** The tenant of these runners; others get none ahead of need. Default: the first. */
  spare_tenant: z.string().min(1).max(63).optional(),
  /** Seconds that a runner without work stays. Default 60. */
  idle_seconds: z.number().min(0).max(86_400).optional(),
  /** Seconds that a runner may take to connect. Default 300. */
  start_seconds: seconds(86_400).optional(),
  /** Stops provisioning while it is set. */
  paused: z.boolean().optional(),
  /** Labels of its runners. */
  labels: Labels.optional(),
  /** Steps at once on each runner. Default: as the runner detects. */
  slots: z.number().int().min(1).max(10_000).optional(),
  /** The hub's address, as its runners reach it. Default: its public one, or its own. */
  hub_url: z
    .string()
    .regex(/^https?:\/\/[^\s/@]+(\/\S*)?$/, 'must be an address such as https://errand.example.com')
    .optional(),
}

/** A volume in the syntax of Docker's command line. */
const VolumeText = z
  .string()
  .regex(
    /^(\/[^:]*|[A-Za-z0-9][A-Za-z0-9_.-]+):\/[^:]+(:(ro|rw))?$/,
    'must be a volume such as /srv/cache:/cache:ro',
  )

/** A name that Kubernetes accepts for most things. */
const DnsName = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/,
    'is not a valid Kubernetes name: use lowercase letters, digits and dashes',
  )

/** Settings of a group that not every provisioner supports. */
export const DriverShape = {
  /** The program, with its arguments. */
  command: z.array(z.string().min(1).max(4_000)).min(1).max(50).optional(),
  /** An image that contains Errand's runner. */
  image: z
    .string()
    .min(1)
    .max(500)
    .regex(/^[\w./:@-]+$/, 'is not a valid image name')
    .optional(),
  /** Most memory of all processes of a runner together. */
  memory: z
    .string()
    .refine((text) => parseMachineBytes(text) !== undefined, 'must be a size such as 512MB or 4GB')
    .optional(),
  /** Cores that its processes share. */
  cpus: z.number().positive().max(100_000).optional(),
  /** Folders of the engine's machine and named volumes: `SOURCE:TARGET[:ro]`. */
  volumes: z.array(VolumeText).max(50).optional(),
  /** A network of the engine, or `host`. Default: the engine's own. */
  docker_network: z.string().min(1).max(200).optional(),
  /** The engine's address, such as `unix:///run/docker.sock` or `tcp://build-1:2376`. */
  docker_host: z
    .string()
    .regex(
      /^(unix:\/\/\/|tcp:\/\/)\S+$/,
      'must be an address such as unix:///run/docker.sock or tcp://build-1:2376',
    )
    .optional(),
  /** When to look for the image at its registry. Default `missing`. */
  pull: z.enum(['missing', 'always', 'never']).optional(),
  /** A kubeconfig file. Default: that of KUBECONFIG, or the service account of the hub's own pod. */
  kubeconfig: z.string().min(1).max(4_000).optional(),
  /** Context of the kubeconfig. Default: its current one. */
  context: z.string().min(1).max(500).optional(),
  /** The Kubernetes namespace of the runners. Default: that of the context, or of the hub's pod. */
  namespace: DnsName.optional(),
  /** Secrets of the namespace whose keys are files below `/run/secrets/NAME`. */
  secrets: z.array(DnsName).max(50).optional(),
  /**
   * Secrets of the namespace with model keys as variables: only a second container of the pod has them, not the runner.
   */
  model_keys: z.array(DnsName).min(1).max(50).optional(),
  /** Secrets of the namespace for pulling the image. */
  pull_secrets: z.array(DnsName).max(50).optional(),
  /** The service account of the pods; they get no token of it. */
  service_account: DnsName.optional(),
  /** Labels that a node must have. */
  node_selector: z.record(z.string().min(1).max(317), z.string().max(63)).optional(),
  /** A volume claim of the namespace that is mounted read-only at `/cache`. */
  cache_claim: DnsName.optional(),
  /** Seconds for which the Job of a failed runner stays, for a person to inspect. Default 600. */
  failed_seconds: z.number().int().min(0).max(3_600).optional(),
}
const DriverSettings = z.object(DriverShape)
export type DriverSettings = z.infer<typeof DriverSettings>

/** The settings that each provisioner supports in addition to the common ones. */
export const settingsOfKinds: Readonly<
  Record<
    ProvisionerKind,
    { needs: readonly (keyof DriverSettings)[]; takes: readonly (keyof DriverSettings)[] }
  >
> = {
  process: { needs: [], takes: [] },
  command: { needs: ['command'], takes: [] },
  docker: {
    needs: ['image'],
    takes: ['memory', 'cpus', 'volumes', 'docker_network', 'docker_host', 'pull'],
  },
  kubernetes: {
    needs: ['image'],
    takes: [
      ...([
        'memory',
        'cpus',
        'pull',
        'kubeconfig',
        'context',
        'namespace',
        'secrets',
        'model_keys',
        'pull_secrets',
      ] as const),
      ...(['service_account', 'node_selector', 'cache_claim', 'failed_seconds'] as const),
    ],
  },
}

/** Returns the settings of a pool that concern its provisioner. */
export function driverSettings(pool: DriverSettings): DriverSettings {
  const names = Object.keys(DriverShape) as (keyof DriverSettings)[]
  return Object.fromEntries(
    names.filter((name) => pool[name] !== undefined).map((name) => [name, pool[name]]),
  )
}

/** The settings that an admin may override. */
export const poolKeys = ['max', 'spare', 'idle_seconds', 'paused'] as const
export type PoolKey = (typeof poolKeys)[number]
const { max, spare, idle_seconds, paused } = PoolShape

/** Changes of a group's settings; `null` removes an override, so that the file's value applies again. */
export const ChangePool = z.strictObject({
  max: max.nullable(),
  spare: spare.nullable(),
  idle_seconds: idle_seconds.nullable(),
  paused: paused.nullable(),
})
export type ChangePool = z.infer<typeof ChangePool>

/** A setting that an admin has changed. */
export const PoolChange = z.object({
  key: z.enum(poolKeys),
  value: z.union([z.number(), z.boolean()]),
  /** The file's value at that time, which is unchanged: a later change in the file removes the admin's. */
  file: z.union([z.number(), z.boolean()]),
  by: z.string(),
  at: z.string(),
})
export type PoolChange = z.infer<typeof PoolChange>

/** The complete settings of a group. Times in seconds. */
export interface Pool extends DriverSettings {
  group: string
  provisioner: ProvisionerKind
  max: number
  spare: number
  idle_seconds: number
  start_seconds: number
  paused: boolean
  labels: Readonly<Record<string, string>>
  spare_tenant?: string | undefined
  slots?: number | undefined
  hub_url?: string | undefined
}

/**
 * The state of a provisioned runner: `wanted`, `asked`, `starting`, then `idle` or `working` once it is connected. An
 * `idle` runner that gets a run becomes `working`. Each of these states can lead to `removing`, and that to `removed`.
 */
export const ProvisionedState = z.enum([
  'wanted', // saved here, not requested yet
  'asked', // requested; there is no answer yet
  'starting', // accepted, not connected yet
  'idle', // connected, without a run
  'working', // connected, with its run
  'removing', // being removed
  'removed',
])
export type ProvisionedState = z.infer<typeof ProvisionedState>

/** The reason why a provisioned runner was removed. */
export const ProvisionedEnd = z.enum([
  'done', // its run is over
  'idle', // it had no work
  'emptied', // an admin emptied the group, or its settings allow fewer
  'unwanted', // its run ended, or its group's settings changed, before it was there
  'refused', // its provisioner refused
  'failed', // it ended before it was connected
  'late', // it was not connected in time
  'lost', // it was connected and has vanished
  'oom', // it was connected and ran out of memory
])
export type ProvisionedEnd = z.infer<typeof ProvisionedEnd>
/** The ends that count as failed starts. */
export const failedStarts: readonly ProvisionedEnd[] = ['refused', 'failed', 'late']

export const ProvisionedRunner = z.object({
  /** The runner's id, which is also its name at the provisioner. */
  name: z.string(),
  group: z.string(),
  tenant: z.string(),
  /** Absent for a runner that was provisioned ahead of need and has no run so far. */
  run_id: z.string().optional(),
  epoch: z.number().int().min(1),
  state: ProvisionedState,
  /**
   * The thing that it waits for during its start, or the reason why it cannot be removed yet, in the provisioner's
   * words.
   */
  waits_for: z.string().optional(),
  end: ProvisionedEnd.optional(),
  message: z.string().optional(),
  created_at: z.string(),
  changed_at: z.string(),
})
export type ProvisionedRunner = z.infer<typeof ProvisionedRunner>

/** A group whose runners are provisioned, as people see it. */
export const PoolView = z.object({
  group: z.string(),
  provisioner: ProvisionerKind,
  /** Only for containers and pods. */
  image: z.string().optional(),
  namespace: z.string().optional(),
  max: z.number(),
  spare: z.number(),
  idle_seconds: z.number(),
  start_seconds: z.number(),
  paused: z.boolean(),
  /** The settings that admins have changed; only for users of the hub's first tenant. */
  changes: z.array(PoolChange),
  counts: z.object({ starting: z.number(), idle: z.number(), working: z.number(), removing: z.number() }),
  /** Number of runs that wait for one of its runners. */
  waiting: z.number(),
  /** The reason why provisioning is suspended, since when and until when. */
  breaker: z
    .object({
      reason: ProvisionedEnd,
      message: z.string(),
      failures: z.number(),
      since: z.string(),
      until: z.string(),
    })
    .optional(),
  /** The present runners, and those that failed in the last hour, the newest first. */
  runners: z.array(ProvisionedRunner),
})
export type PoolView = z.infer<typeof PoolView>
