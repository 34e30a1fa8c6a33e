import { parseMachineBytes } from '../../../../contract/amounts.ts'
import type { DriverSettings } from '../../../../contract/fleet/provisioning.ts'
import type { ProvisionNeed } from '../../provisioner.ts'

/** How the pods of a group are made. */
export interface PodSettings {
  image: string
  pull?: DriverSettings['pull']
  /** Bytes that all in the pod may use together. */
  memory?: number | undefined
  cpus?: number | undefined
  /** Names of Secrets whose keys are files below /run/secrets/NAME. */
  secrets?: readonly string[] | undefined
  /** Names of Secrets with keys of models, for a container beside the runner's. */
  model_keys?: readonly string[] | undefined
  /** Names of Secrets by which the image is pulled. */
  pull_secrets?: readonly string[] | undefined
  service_account?: string | undefined
  node_selector?: Readonly<Record<string, string>> | undefined
  /** Name of a volume claim that is at /cache, to be read alone. */
  cache_claim?: string | undefined
  /** How long a Job that failed is kept. */
  failed_seconds: number
}

/** Of a group's settings. */
export function podSettings(settings: DriverSettings): PodSettings {
  const { image = '', memory, failed_seconds = 600 } = settings
  const bytes = memory === undefined ? undefined : parseMachineBytes(memory)
  return { ...settings, image, memory: bytes, failed_seconds }
}

const PULL = { missing: 'IfNotPresent', always: 'Always', never: 'Never' } as const
const LABEL = 'errand.dev'
export const HUB_LABEL = `${LABEL}/hub`
const ANNOTATIONS = { run: `${LABEL}/run`, group: `${LABEL}/group` }
/** The user and group of Errand's image: git and ssh ask for one that has a name. */
const USER = 10_001
/** Another user, in the same group: whatever the runner's container begins can reach none of its processes and files. */
const GATE_USER = 10_002
/** The container of the runner, and the one that has the keys of its models. */
export const RUNNER = 'runner'
export const GATE = 'model-gate'
/** The folder of the gate, in both. */
const GATE_FOLDER = '/run/errand-gate'
/** A runner that is told to go has so long; then it is killed. */
export const GRACE_SECONDS = 60
const GB = 1024 ** 3
/** The folders that can be written to, and how much; that of the work is the runner's own, below what Kubernetes makes. */
const FOLDERS = [
  { name: 'home', mountPath: '/var/lib/errand', sizeLimit: `${2 * GB}` },
  { name: 'work', mountPath: '/srv', sizeLimit: `${20 * GB}` },
  { name: 'tmp', mountPath: '/tmp', sizeLimit: `${2 * GB}` },
] as const
/** In the pod's environment: where its runner has its folder. */
const WORKSPACE = '/srv/runner'

/** The labels by which all that is of the hub, or of one runner, is found. */
const labelsOf = ({ name, marks }: ProvisionNeed) => ({
  'app.kubernetes.io/managed-by': 'errand',
  [HUB_LABEL]: marks.hub,
  [`${LABEL}/runner`]: name,
  [`${LABEL}/epoch`]: marks.epoch,
})

/** The environment of the runner, with its token. It belongs to the Job, and goes with it. */
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
 * The Job of one runner: one pod that is never begun again, once `parallelism` is 1. Of nothing newer than Kubernetes 1.20, but for
 * what an older one ignores: before 1.28 a Job has another pod as soon as one is deleted, whatever its limits say.
 */
export function jobOf(need: ProvisionNeed, settings: PodSettings, nowMs: number): object {
  const { name, marks, deadlineMs } = need
  const labels = labelsOf(need)
  // A group's name may be longer than a label, or have other letters.
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
      // Without it each start goes through all files of the cache.
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

/** As all containers of the pod are held. */
function containerOf({ image, pull = 'missing' }: PodSettings) {
  return {
    image,
    imagePullPolicy: PULL[pull],
    // Of the last lines of one that ended with an error.
    terminationMessagePolicy: 'FallbackToLogsOnError',
    securityContext: {
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  }
}

/** The container that alone has the keys. It answers the runner's requests for models at 127.0.0.1; it ends when the runner has. */
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

/** Each is asked for as it is limited: a pod that borrows memory is the first to be ended. */
function resourcesOf({ memory, cpus }: PodSettings): object {
  const amounts = {
    ...(memory !== undefined && { memory: String(memory) }),
    ...(cpus !== undefined && { cpu: `${Math.max(1, Math.round(cpus * 1000))}m` }),
  }
  return { requests: amounts, limits: amounts }
}
