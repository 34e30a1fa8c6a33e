import { parseMachineBytes } from '../../../../contract/amounts.ts'
import type { DriverSettings } from '../../../../contract/fleet/provisioning.ts'
import type { ProvisionNeed } from '../../provisioner.ts'

/** Says how the pods of a group are made. */
export interface PodSettings {
  image: string
  pull?: DriverSettings['pull']
  /** Bytes of memory that everything in the pod may use together. */
  memory?: number | undefined
  cpus?: number | undefined
  /** Names of Secrets whose keys become files below /run/secrets/NAME. */
  secrets?: readonly string[] | undefined
  /** Names of Secrets with keys of models, for a container next to the runner's. */
  model_keys?: readonly string[] | undefined
  /** Names of Secrets used to pull the image. */
  pull_secrets?: readonly string[] | undefined
  service_account?: string | undefined
  node_selector?: Readonly<Record<string, string>> | undefined
  /** Name of a volume claim that is mounted at /cache, read-only. */
  cache_claim?: string | undefined
  /** Seconds that a failed Job stays. */
  failed_seconds: number
}

/** Returns the pod settings of a group. */
export function podSettings(settings: DriverSettings): PodSettings {
  const { image = '', memory, failed_seconds = 600 } = settings
  const bytes = memory === undefined ? undefined : parseMachineBytes(memory)
  return { ...settings, image, memory: bytes, failed_seconds }
}

const PULL = { missing: 'IfNotPresent', always: 'Always', never: 'Never' } as const
const LABEL = 'errand.dev'
export const HUB_LABEL = `${LABEL}/hub`
const ANNOTATIONS = { run: `${LABEL}/run`, group: `${LABEL}/group` }
/** User and group of Errand's image: git and ssh need a user with a name. */
const USER = 10_001
/**
 * Another user in the same group, so that nothing the runner's container starts can reach the gate's processes and
 * files.
 */
const GATE_USER = 10_002
/** Names of two containers: the runner's, and the one that has the keys of its models. */
export const RUNNER = 'runner'
export const GATE = 'model-gate'
/** Folder of the gate in both containers. */
const GATE_FOLDER = '/run/errand-gate'
/** Seconds that a runner has to exit when it is told to; then it is killed. */
export const GRACE_SECONDS = 60
const GB = 1024 ** 3
/** Writable folders with their sizes. The work folder is the runner's own, below the one that Kubernetes makes. */
const FOLDERS = [
  { name: 'home', mountPath: '/var/lib/errand', sizeLimit: `${2 * GB}` },
  { name: 'work', mountPath: '/srv', sizeLimit: `${20 * GB}` },
  { name: 'tmp', mountPath: '/tmp', sizeLimit: `${2 * GB}` },
] as const
/** Path of the runner's folder inside the pod. */
const WORKSPACE = '/srv/runner'

/** Returns the labels that mark what belongs to the hub, or to one runner. */
const labelsOf = ({ name, marks }: ProvisionNeed) => ({
  'app.kubernetes.io/managed-by': 'errand',
  [HUB_LABEL]: marks.hub,
  [`${LABEL}/runner`]: name,
  [`${LABEL}/epoch`]: marks.epoch,
})

/**
 * Returns the Secret with the environment of the runner, including its token. It belongs to the Job and is deleted
 * with it.
 */
export function secretOf(need: ProvisionNeed, jobUid: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: need.name,
      labels: labelsOf(need),
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name: need.name, uid: jobUid }],
    },
    type: 'Opaque',
    stringData: { ...need.env, WORKSPACE_DIR: WORKSPACE, ERRAND_MADE_BOX: 'pod' },
  }
}

/**
 * Returns the Job of one runner. Once `parallelism` is 1, it makes one pod that is never restarted. It needs nothing
 * newer than Kubernetes 1.20, except for fields that older versions ignore. Before 1.28, a Job replaces a deleted pod
 * at once, whatever its limits say.
 */
export function jobOf(need: ProvisionNeed, settings: PodSettings, nowMs: number): object {
  const { name, marks, deadlineMs } = need
  const labels = labelsOf(need)
  // A group's name may be longer than a label allows, or have other characters.
  const annotations = {
    ...(marks.run !== '' && { [ANNOTATIONS.run]: marks.run }),
    [ANNOTATIONS.group]: marks.group,
  }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, labels, annotations },
    spec: {
      parallelism: 0,
      completions: 1,
      backoffLimit: 0,
      podReplacementPolicy: 'Failed',
      activeDeadlineSeconds: Math.max(1, Math.ceil((deadlineMs - nowMs) / 1000)),
      ttlSecondsAfterFinished: settings.failed_seconds,
      template: { metadata: { labels, annotations }, spec: podSpec(name, settings) },
    },
  }
}

function podSpec(name: string, settings: PodSettings): object {
  const {
    secrets = [],
    pull_secrets = [],
    model_keys,
    service_account,
    node_selector,
    cache_claim,
  } = settings
  const volumes = [
    ...FOLDERS.map(({ name, sizeLimit }) => ({ name, emptyDir: { sizeLimit } })),
    ...secrets.map((secretName, index) => ({
      name: `secret-${index}`,
      secret: { secretName, defaultMode: 0o440 },
    })),
    ...(cache_claim === undefined
      ? []
      : [{ name: 'cache', persistentVolumeClaim: { claimName: cache_claim, readOnly: true } }]),
    ...(model_keys === undefined ? [] : [{ name: 'gate', emptyDir: { sizeLimit: '1Mi' } }]),
  ]
  const volumeMounts = [
    ...FOLDERS.map(({ name, mountPath }) => ({ name, mountPath })),
    ...secrets.map((secretName, index) => ({
      name: `secret-${index}`,
      mountPath: `/run/secrets/${secretName}`,
      readOnly: true,
    })),
    ...(cache_claim === undefined ? [] : [{ name: 'cache', mountPath: '/cache', readOnly: true }]),
    ...(model_keys === undefined ? [] : [{ name: 'gate', mountPath: GATE_FOLDER, readOnly: true }]),
  ]
  const gate = model_keys !== undefined && {
    env: [{ name: 'ERRAND_MODEL_GATE', value: GATE_FOLDER }],
  }
  return {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: GRACE_SECONDS,
    ...(service_account !== undefined && { serviceAccountName: service_account }),
    ...(node_selector !== undefined && { nodeSelector: node_selector }),
    ...(pull_secrets.length > 0 && { imagePullSecrets: pull_secrets.map((name) => ({ name })) }),
    securityContext: {
      runAsNonRoot: true,
      ...{ runAsUser: USER, runAsGroup: USER, fsGroup: USER },
      // Without it each start visits all files of the cache.
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        ...{ name: RUNNER, ...containerOf(settings), args: ['runner'] },
        ...gate,
        envFrom: [{ secretRef: { name } }],
        resources: resourcesOf(settings),
        volumeMounts,
      },
      ...(model_keys === undefined ? [] : [gateContainer(model_keys, settings)]),
    ],
    volumes,
  }
}

/** Returns the settings that all containers of the pod share. */
function containerOf({ image, pull = 'missing' }: PodSettings) {
  return {
    image,
    imagePullPolicy: PULL[pull],
    // Used for the last lines of a container that ended with an error.
    terminationMessagePolicy: 'FallbackToLogsOnError',
    securityContext: {
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  }
}

/**
 * Returns the only container that has the keys. It answers the runner's model requests at 127.0.0.1 and ends when the
 * runner has.
 */
function gateContainer(model_keys: readonly string[], settings: PodSettings): object {
  const container = containerOf(settings)
  const amounts = { memory: '256Mi' }
  return {
    ...{ name: GATE, ...container, args: ['runner', 'model-gate'] },
    env: [
      { name: 'ERRAND_MODEL_GATE', value: GATE_FOLDER },
      { name: 'HOME', value: '/nonexistent' },
    ],
    envFrom: model_keys.map((name) => ({ secretRef: { name } })),
    resources: { requests: amounts, limits: amounts },
    securityContext: { ...container.securityContext, runAsUser: GATE_USER },
    volumeMounts: [{ name: 'gate', mountPath: GATE_FOLDER }],
  }
}

/** Returns equal requests and limits: a pod that borrows memory is the first to be ended. */
function resourcesOf({ memory, cpus }: PodSettings): object {
  const amounts = {
    ...(memory !== undefined && { memory: String(memory) }),
    ...(cpus !== undefined && { cpu: `${Math.max(1, Math.round(cpus * 1000))}m` }),
  }
  return { requests: amounts, limits: amounts }
}
