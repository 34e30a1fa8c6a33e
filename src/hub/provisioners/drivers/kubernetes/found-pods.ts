import { type FoundRunner, sentence } from '../../provisioner.ts'
import type { KubernetesObject } from './api-client.ts'
import { GATE, RUNNER } from './manifests.ts'

export interface Job extends KubernetesObject {
  spec: { parallelism?: number }
  status?: { conditions?: Condition[] }
}

interface Condition {
  type: string
  status: string
  reason?: string
  message?: string
  lastTransitionTime?: string
}

interface ContainerState {
  waiting?: { reason?: string; message?: string }
  running?: object
  terminated?: { reason?: string; message?: string; exitCode: number; signal?: number; finishedAt?: string }
}

export interface Pod extends KubernetesObject {
  spec: { nodeName?: string }
  status: {
    phase: string
    reason?: string
    message?: string
    conditions?: Condition[]
    containerStatuses?: { name: string; state?: ContainerState }[]
  }
}

/** The first pod that was seen of a Job. Its runner is the only one that the Job may have. */
export interface OwnPod {
  uid: string
  /** Why the pod went, as Kubernetes said when it was last seen. */
  why?: string | undefined
}

export interface Event {
  involvedObject: { name: string }
  type?: string
  reason?: string
  message?: string
  lastTimestamp?: string | null
  eventTime?: string | null
}

/** Milliseconds that a pod which cannot start has to recover: a registry may be away for a moment. */
export const STUCK_MS = 60_000
/** Milliseconds that an object may take before its events are fetched. */
const QUIET_MS = 5_000
/** Reasons that a retry does not change. */
const NEVER = ['InvalidImageName', 'ErrImageNeverPull']
const STUCK: Readonly<Record<string, string>> = {
  ErrImagePull: 'Its image cannot be pulled',
  ImagePullBackOff: 'Its image cannot be pulled',
  RegistryUnavailable: 'Its image cannot be pulled',
  ImageInspectError: 'Its image cannot be read',
  InvalidImageName: 'The name of its image is not valid',
  ErrImageNeverPull: 'Its image is not on the node, and may not be pulled',
  CreateContainerConfigError: 'Its container cannot be created',
  CreateContainerError: 'Its container cannot be created',
  RunContainerError: 'Its container cannot be started',
}

const condition = (object: Job | Pod, type: string) =>
  object.status?.conditions?.find((each) => each.type === type && each.status === 'True')

/** Returns the condition that ended the Job, if it is over. */
export const endOf = (job: Job) => condition(job, 'Failed') ?? condition(job, 'Complete')

/**
 * Returns when the Job failed, in milliseconds since 1970, or undefined if it has not. Its pod shows that before the
 * Job does.
 */
export function failedAtMs(job: Job, pods: readonly Pod[]): number | undefined {
  const failed = condition(job, 'Failed')
  const pod = pods.find(({ status, metadata }) => status.phase === 'Failed' && !metadata.deletionTimestamp)
  if (failed === undefined && pod === undefined) return undefined
  const at = failed?.lastTransitionTime ?? (pod && stateOf(pod).terminated?.finishedAt)
  return Date.parse(at ?? job.metadata.creationTimestamp)
}

/**
 * Returns the first pod of the Job, which is the one of the runner, if it is there. Kubernetes before 1.28 replaces a
 * deleted pod at once.
 */
export function ownPod(pods: readonly Pod[], known?: OwnPod): Pod | undefined {
  if (known !== undefined) return pods.find(({ metadata }) => metadata.uid === known.uid)
  const at = ({ metadata }: Pod) => metadata.creationTimestamp
  return pods.toSorted((a, b) => at(a).localeCompare(at(b)))[0]
}

/** Reports whether the Job has a pod in place of its first one. */
const isReplaced = (pods: readonly Pod[], own: Pod | undefined): boolean => pods.some((pod) => pod !== own)

const DELETED = 'Its pod was deleted.'

/** Returns why the pod is being deleted, or undefined if it is not. */
export function whyGoes(pod: Pod): string | undefined {
  if (pod.metadata.deletionTimestamp === undefined) return undefined
  // Kubernetes before 1.26 does not say who deleted it.
  const { reason, message } = condition(pod, 'DisruptionTarget') ?? {}
  return reason === undefined ? DELETED : evicted(reason, message)
}

const evicted = (reason: string, message = ''): string =>
  `Its pod was evicted (${reason})${message === '' ? '.' : `: ${sentence(message)}`}`

/**
 * Returns the name of the object whose events may say more than the Job and its pod do, or undefined if there is
 * none.
 */
export function needsEvents(job: Job, pod: Pod | undefined, nowMs: number): string | undefined {
  const object = pod ?? job
  if (endOf(job) || nowMs - Date.parse(object.metadata.creationTimestamp) < QUIET_MS) return undefined
  if (pod === undefined) return job.metadata.name
  const { waiting, running } = stateOf(pod)
  const isSilent = pod.status.phase === 'Pending' && !running && waiting?.message === undefined
  return isSilent && pod.spec.nodeName !== undefined ? pod.metadata.name : undefined
}

/** Describes a runner from its Job, pods and events. */
export function foundRunner(
  job: Job,
  pods: readonly Pod[],
  { events = [], nowMs, known }: { events?: readonly Event[]; nowMs: number; known?: OwnPod | undefined },
): FoundRunner {
  const { name } = job.metadata
  const pod = ownPod(pods, known)
  const over = endOf(job)
  if (pod !== undefined && (isOver(pod) || stateOf(pod).terminated !== undefined))
    return { name, state: 'ended', ...howEnded(pod, over?.reason) }
  const isAway = isNodeAway(pod) && `Its node ${pod?.spec.nodeName} does not answer`
  // In this case Kubernetes has deleted the pod itself.
  if (over?.reason === 'DeadlineExceeded') return { name, state: 'ended', message: jobEnd(over) }
  // The first pod may have begun its work, and another pod of the Job cannot continue it.
  const isDeleted =
    known !== undefined && pod === undefined && (over === undefined || known.why !== undefined)
  if (isReplaced(pods, pod) || isDeleted) {
    const why = isAway ? `${isAway}.` : ((pod && whyGoes(pod)) ?? known?.why ?? DELETED)
    return { name, state: 'ended', message: why }
  }
  if (over !== undefined) return { name, state: 'ended', message: jobEnd(over) }
  const why = pod && whyGoes(pod)
  if (why !== undefined)
    return isAway ? { name, state: 'running', message: `${isAway}.` } : { name, state: 'ended', message: why }
  if (pod === undefined) return { name, state: 'starting', ...waits(lastOf(events)) }
  // Without the container that has the keys the runner is of no use.
  const isGateStuck = (stateOf(pod, GATE).waiting?.reason ?? '') in STUCK
  const { waiting, running } = stateOf(pod, isGateStuck ? GATE : RUNNER)
  if (running) {
    return { name, state: 'running', ...(isAway && { message: `${isAway}.` }) }
  }
  const words = STUCK[waiting?.reason ?? '']
  if (words !== undefined) {
    if (waiting!.message?.includes(`secret "${name}" not found`) && nowMs - scheduledAtMs(pod) >= STUCK_MS)
      return {
        name,
        state: 'ended',
        message: 'Its pod was deleted. The pod that replaces it cannot use its token again.',
      }
    const message = `${words} (${waiting!.reason}): ${sentence(waiting!.message ?? 'Kubernetes gives no reason')}`
    const isStuck = nowMs - scheduledAtMs(pod) >= STUCK_MS
    const permanent = NEVER.includes(waiting!.reason!)
    if (permanent) return { name, state: 'ended', message, permanent }
    return { name, state: isStuck ? 'ended' : 'starting', message }
  }
  const unplaced = pod.status.conditions?.find(
    ({ type, status }) => type === 'PodScheduled' && status === 'False',
  )
  if (unplaced)
    return {
      name,
      state: 'starting',
      message: `No node accepts its pod (${unplaced.reason}): ${sentence(unplaced.message ?? '')}`,
    }
  return { name, state: 'starting', ...waits(lastOf(events)) }
}

/** Reports whether nothing of the pod runs any more, or ever will. */
export const isOver = ({ status }: Pod): boolean =>
  status.phase === 'Failed' ||
  status.phase === 'Succeeded' ||
  (status.containerStatuses?.every(({ state }) => state?.terminated !== undefined) ?? false)

/** Reports whether the container of the runner was started, with the token in its environment. */
export function hasBegun(pod: Pod): boolean {
  const { running, terminated } = stateOf(pod)
  return running !== undefined || terminated !== undefined
}

const stateOf = (pod: Pod, container = RUNNER): ContainerState =>
  pod.status.containerStatuses?.find(({ name }) => name === container)?.state ?? {}

function howEnded(pod: Pod, jobReason: string | undefined): Omit<FoundRunner, 'name' | 'state'> {
  const { reason, message } = pod.status
  const { terminated } = stateOf(pod)
  if (reason === 'Evicted') return { message: evicted(reason, message) }
  if (terminated?.reason === 'OOMKilled')
    return {
      reason: 'oom',
      message: 'Its pod ran out of memory (OOMKilled). Its limit is the memory of its group.',
    }
  if (jobReason === 'DeadlineExceeded' || reason === 'DeadlineExceeded')
    return { message: 'It reached the longest lifetime of a runner (DeadlineExceeded).' }
  if (reason !== undefined) return { message: `Its pod was ended (${reason}): ${sentence(message ?? '')}` }
  // The runner ended because of this.
  const why = whyGoes(pod)
  if (why !== undefined) return { message: why }
  if (terminated === undefined) return { message: 'Its pod has ended.' }
  const gate = stateOf(pod, GATE).terminated
  return {
    message: (gate?.exitCode ? `${processEnd('model gate', gate)} ` : '') + processEnd('process', terminated),
  }
}

function processEnd(
  which: string,
  { signal, exitCode, message }: NonNullable<ContainerState['terminated']>,
): string {
  const detail = message?.trim().slice(-2_000)
  return `Its ${which} ended with ${signal ? `signal ${signal}` : `exit code ${exitCode}`}${detail ? `: ${detail}` : '.'}`
}

const jobEnd = ({ reason, message }: { reason?: string; message?: string }): string =>
  reason === 'DeadlineExceeded'
    ? 'It reached the longest lifetime of a runner (DeadlineExceeded).'
    : reason === undefined
      ? 'Its Job has ended.'
      : `Its Job has failed (${reason}): ${sentence(message ?? '')}${reason === 'BackoffLimitExceeded' ? ' Its pod is gone.' : ''}`

/** Reports whether the kubelet of the pod's node has been silent for some time. */
const isNodeAway = (pod: Pod | undefined): boolean =>
  pod?.status.reason === 'NodeLost' || pod?.status.phase === 'Unknown'

function scheduledAtMs(pod: Pod): number {
  const scheduled = condition(pod, 'PodScheduled')
  return Date.parse(scheduled?.lastTransitionTime ?? pod.metadata.creationTimestamp)
}

/** Returns the latest warning. */
function lastOf(events: readonly Event[]): Event | undefined {
  const at = ({ lastTimestamp, eventTime }: Event) => lastTimestamp ?? eventTime ?? ''
  return events.filter(({ type }) => type === 'Warning').toSorted((a, b) => at(b).localeCompare(at(a)))[0]
}

const waits = (event: Event | undefined): { message?: string } =>
  event === undefined ? {} : { message: `${event.reason}: ${sentence(event.message ?? '')}` }
