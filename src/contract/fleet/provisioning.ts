import * as z from 'zod'
import { parseMachineBytes } from '../amounts.ts'
import { Labels } from '../plain-name.ts'

/** The means by which a group's runners are made. */
export const ProvisionerKind = z.enum(['process', 'command', 'docker', 'kubernetes'])
export type ProvisionerKind = z.infer<typeof ProvisionerKind>

const seconds = (most: number) => z.number().min(1).max(most)

/** How the runners of a group are made, as the group says in `errand.yaml`. */
export const PoolShape = {
  provisioner: ProvisionerKind.optional(),
  /** The most that there are at once, with those that start and those that are being taken away. Default 10. */
  max: z.number().int().min(1).max(1_000).optional(),
  /** Made ahead of need, for whatever comes next. Default 0. */
  spare: z.number().int().min(0).max(100).optional(),
  /** The tenant whose they are: of others none is made ahead of need. Default: the first. */
  spare_tenant: z.string().min(1).max(63).optional(),
  /** How long one without work stays. Default 60. */
  idle_seconds: z.number().min(0).max(86_400).optional(),
  /** How long one may take until it is connected. Default 300. */
  start_seconds: seconds(86_400).optional(),
  /** Nothing is made while it is set. */
  paused: z.boolean().optional(),
  /** Labels that its runners have. */
  labels: Labels.optional(),
  /** Steps at once on each. Default: as the runner finds it. */
  slots: z.number().int().min(1).max(10_000).optional(),
  /** The hub's address, as its runners reach it. Default: its public one, or its own. */
  hub_url: z
    .string()
    .regex(/^https?:\/\/[^\s/@]+(\/\S*)?$/, 'must be an address such as https://errand.example.com')
    .optional(),
}

/** As Docker's command line has it. */
const VolumeText = z
  .string()
  .regex(
    /^(\/[^:]*|[A-Za-z0-9][A-Za-z0-9_.-]+):\/[^:]+(:(ro|rw))?$/,
    'must be a volume such as /srv/cache:/cache:ro',
  )

/** As Kubernetes names most things. */
const DnsName = z
  .string()
  .max(253)
  .regex(
    /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/,
    'is not a valid Kubernetes name: use lowercase letters, digits and dashes',
  )

/** Settings of a group that not every provisioner takes. */
export const DriverShape = {
  /** The program, with its arguments. */
  command: z.array(z.string().min(1).max(4_000)).min(1).max(50).optional(),
  /** Has Errand's runner in it. */
  image: z
    .string()
    .min(1)
    .max(500)
    .regex(/^[\w./:@-]+$/, 'is not a valid image name')
    .optional(),
  /** The most that all processes of a runner have together. */
  memory: z
    .string()
    .refine((text) => parseMachineBytes(text) !== undefined, 'must be a size such as 512MB or 4GB')
    .optional(),
  /** Cores, as its processes share them. */
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
  /** When the image is asked of its registry. Default `missing`. */
  pull: z.enum(['missing', 'always', 'never']).optional(),
  /** A kubeconfig file. Default: that of KUBECONFIG, or the service account of the hub's own pod. */
  kubeconfig: z.string().min(1).max(4_000).optional(),
  /** Of the kubeconfig. Default: its current one. */
  context: z.string().min(1).max(500).optional(),
  /** The one of Kubernetes that runners are made in. Default: that of the context, or of the hub's pod. */
  namespace: DnsName.optional(),
  /** Secrets of the namespace whose keys are files below `/run/secrets/NAME`. */
  secrets: z.array(DnsName).max(50).optional(),
  /** Secrets of the namespace with keys of models as variables: a second container of the pod has them, and the runner has not. */
  model_keys: z.array(DnsName).min(1).max(50).optional(),
  /** Secrets of the namespace by which the image is pulled. */
  pull_secrets: z.array(DnsName).max(50).optional(),
  /** The one that the pods run as; they get no token of it. */
  service_account: DnsName.optional(),
  /** Labels that a node must have. */
  node_selector: z.record(z.string().min(1).max(317), z.string().max(63)).optional(),
  /** A volume claim of the namespace that is at `/cache`, to be read alone. */
  cache_claim: DnsName.optional(),
  /** How long the Job of a runner that failed is kept, for a person to look at. Default 600. */
  failed_seconds: z.number().int().min(0).max(3_600).optional(),
}
const DriverSettings = z.object(DriverShape)
export type DriverSettings = z.infer<typeof DriverSettings>

/** The settings that each provisioner takes beside those that all take. */
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

/** The settings of a pool that its provisioner is about. */
export function driverSettings(pool: DriverSettings): DriverSettings {
  const names = Object.keys(DriverShape) as (keyof DriverSettings)[]
  return Object.fromEntries(
    names.filter((name) => pool[name] !== undefined).map((name) => [name, pool[name]]),
  )
}

/** The settings that an admin may change beside the file. */
export const poolKeys = ['max', 'spare', 'idle_seconds', 'paused'] as const
export type PoolKey = (typeof poolKeys)[number]
const { max, spare, idle_seconds, paused } = PoolShape

/** Changes of a group's settings; `null` takes one back, so that the file's word counts again. */
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
  /** As the file had it then, and has it still: a later change of it there takes the admin's back. */
  file: z.union([z.number(), z.boolean()]),
  by: z.string(),
  at: z.string(),
})
export type PoolChange = z.infer<typeof PoolChange>

/** A group's settings, whole. Times in seconds. */
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

/** Where a runner stands that is made for one run. */
export const MadeState = z.enum([
  'wanted', // kept here, and not asked for yet
  'asked', // asked for; there is no answer yet
  'starting', // accepted, and not connected yet
  'idle', // connected, without a run
  'working', // connected, with its run
  'removing', // being taken away
  'removed',
])
export type MadeState = z.infer<typeof MadeState>

/** Why a made runner was taken away. */
export const MadeEnd = z.enum([
  'done', // its run is over
  'idle', // it had nothing to do
  'emptied', // an admin emptied the group, or its settings say less
  'unwanted', // its run is over, or its group has other settings, before it was there
  'refused', // whoever makes it said no
  'failed', // it ended before it was connected
  'late', // it was not connected in time
  'lost', // it was connected, and has vanished
  'oom', // it was connected, and its memory was used up
])
export type MadeEnd = z.infer<typeof MadeEnd>
/** The ends that count as failed starts. */
export const failedStarts: readonly MadeEnd[] = ['refused', 'failed', 'late']

export const MadeRunner = z.object({
  /** Its runner id, and its name wherever it is made. */
  name: z.string(),
  group: z.string(),
  tenant: z.string(),
  /** Absent: made ahead of need, and without a run so far. */
  run_id: z.string().optional(),
  epoch: z.number().int().min(1),
  state: MadeState,
  /** The thing that it waits for while it starts, or why it cannot be taken away yet, in the words of whoever makes it. */
  waits_for: z.string().optional(),
  end: MadeEnd.optional(),
  message: z.string().optional(),
  created_at: z.string(),
  changed_at: z.string(),
})
export type MadeRunner = z.infer<typeof MadeRunner>

/** A group whose runners are made, as people see it. */
export const PoolView = z.object({
  group: z.string(),
  provisioner: ProvisionerKind,
  /** Of containers and pods. */
  image: z.string().optional(),
  namespace: z.string().optional(),
  max: z.number(),
  spare: z.number(),
  idle_seconds: z.number(),
  start_seconds: z.number(),
  paused: z.boolean(),
  /** The settings that admins have changed; for those of the hub's first tenant. */
  changes: z.array(PoolChange),
  counts: z.object({ starting: z.number(), idle: z.number(), working: z.number(), removing: z.number() }),
  /** How many runs wait for one of its runners. */
  waiting: z.number(),
  /** Why nothing is made just now, since when and until when. */
  breaker: z
    .object({
      reason: MadeEnd,
      message: z.string(),
      failures: z.number(),
      since: z.string(),
      until: z.string(),
    })
    .optional(),
  /** Those that there are, and the failed of the last hour, the newest first. */
  runners: z.array(MadeRunner),
})
export type PoolView = z.infer<typeof PoolView>
