import { setTimeout as sleep } from 'node:timers/promises'
import { type FoundRunner, ProvisionError, type Provisioner, type ProvisionNeed } from '../../provisioner.ts'
import { KubernetesApi, type KubernetesApiOptions, KubernetesError } from './api-client.ts'
import {
  type Event,
  failedAtMs,
  foundRunner,
  hasBegun,
  isOver,
  type Job,
  needsEvents,
  type OwnPod,
  ownPod,
  type Pod,
  whyGoes,
} from './found-pods.ts'
import { GRACE_SECONDS, HUB_LABEL, jobOf, type PodSettings, secretOf } from './manifests.ts'

export interface KubernetesProvisionerOptions extends KubernetesApiOptions {
  /** Id of the hub. It marks the hub's runners among those of other hubs. */
  hub: string
  pods: PodSettings
  /** Namespace to use; absent for that of the context, or of the hub's own pod. */
  namespace?: string | undefined
  /** Milliseconds that `remove` waits for a pod to end. Default: the pod's grace period plus 30 s. */
  removeMs?: number
}

/** Limits the number of objects whose events are fetched in one poll. */
const MOST_EVENTS = 20

/**
 * Makes each runner as a Kubernetes Job with one pod. The Secret with its token is created after the Job and belongs
 * to it. If the hub crashes in between, Kubernetes removes the Secret with the Job. Until the Secret is there, the
 * Job makes no pod, because a pod without its Secret is retried only after ten seconds.
 */
export class KubernetesProvisioner implements Provisioner {
  readonly #options: KubernetesProvisionerOptions
  readonly #api: KubernetesApi
  /** Failed Jobs that count as removed for the hub, and stay so that a person can look at them. */
  readonly #retained = new Set<string>()
  /** The first pod that was seen, by Job. */
  readonly #pods = new Map<string, OwnPod & { hasToken: boolean }>()

  constructor(options: KubernetesProvisionerOptions) {
    this.#options = options
    this.#api = new KubernetesApi(options)
  }

  async provision(need: ProvisionNeed, signal: AbortSignal): Promise<void> {
    const jobs = await this.#path('jobs')
    const made = await unless(409, () =>
      this.#api.call<Job>('POST', jobs, signal, { body: jobOf(need, this.#options.pods, Date.now()) }),
    )
    const job = made ?? (await this.#taken(need.name, signal))
    // The Secret is created below, maybe for a second time.
    this.#pods.delete(need.name)
    const body = secretOf(need, job.metadata.uid)
    // Both at once: a pod reads its Secret long after its Job may make it.
    await Promise.all([
      unless(409, async () => this.#api.call('POST', await this.#path('secrets'), signal, { body })),
      job.spec.parallelism === 0 &&
        this.#api.call('PATCH', await this.#path('jobs', need.name), signal, {
          body: { spec: { parallelism: 1 } },
        }),
    ])
  }

  async service() {
    const { server } = await this.#api.access()
    return { service: 'kubernetes' as const, address: new URL(server).host }
  }

  async find(signal: AbortSignal): Promise<FoundRunner[]> {
    const query = { labelSelector: `${HUB_LABEL}=${this.#options.hub}` }
    const [jobs, pods] = await Promise.all([
      this.#api.list<Job>(await this.#path('jobs'), signal, query),
      this.#api.list<Pod>(await this.#path('pods'), signal, query),
    ])
    const byJob = Map.groupBy(pods, ({ metadata }) => metadata.labels?.['job-name'] ?? '')
    const nowMs = Date.now()
    const podsOf = ({ metadata }: Job) => byJob.get(metadata.name) ?? []
    for (const name of this.#retained)
      if (!jobs.some((job) => job.metadata.name === name && this.#isRetained(job, podsOf(job), nowMs)))
        this.#retained.delete(name)
    const names = new Set(jobs.map(({ metadata }) => metadata.name))
    for (const name of this.#pods.keys()) if (!names.has(name)) this.#pods.delete(name)
    // Kubernetes may take seconds to clear away what has ended.
    const isGone = ({ metadata }: Job, of: readonly Pod[]) =>
      metadata.deletionTimestamp !== undefined && of.every(isOver)
    const requestedJobs = jobs
      .map((job) => ({ job, pods: podsOf(job) }))
      .filter(({ job, pods }) => !this.#retained.has(job.metadata.name) && !isGone(job, pods))
      .map(({ job, pods }) => ({ job, pods, known: this.#know(job.metadata.name, pods) }))
      .map((each) => ({ ...each, about: needsEvents(each.job, ownPod(each.pods, each.known), nowMs) }))
    let left = MOST_EVENTS
    return await Promise.all(
      requestedJobs.map(async ({ job, pods, about, known }) => {
        const events = about !== undefined && left-- > 0 ? await this.#eventsOf(about, signal) : []
        await this.#takeToken(job.metadata.name, ownPod(pods, known), signal)
        return foundRunner(job, pods, { events, nowMs, known })
      }),
    )
  }

  /** Notes and returns the first pod that was seen of a Job, or undefined if none was. */
  #know(job: string, pods: readonly Pod[]): OwnPod | undefined {
    const known = this.#pods.get(job)
    const own = ownPod(pods, known)
    if (own === undefined) return known
    const { uid } = own.metadata
    const pod = { uid, why: whyGoes(own) ?? known?.why, hasToken: known?.hasToken ?? true }
    this.#pods.set(job, pod)
    return pod
  }

  /** Deletes the Secret once the container of the first pod has the token. No other pod of the Job can then begin. */
  async #takeToken(job: string, own: Pod | undefined, signal: AbortSignal): Promise<void> {
    const known = this.#pods.get(job)
    if (!known?.hasToken || own === undefined || !hasBegun(own)) return
    try {
      await unless(404, async () => this.#api.call('DELETE', await this.#path('secrets', job), signal))
      known.hasToken = false
    } catch (error) {
      // The next poll tries again. Until then only the hub itself makes sure that the token is used once.
      if (signal.aborted) throw error
    }
  }

  async remove(name: string, signal: AbortSignal): Promise<void> {
    const [job, secret] = [await this.#path('jobs', name), await this.#path('secrets', name)]
    const there = await unless(404, () => this.#api.call<Job>('GET', job, signal))
    await unless(404, () => this.#api.call('DELETE', secret, signal))
    this.#pods.delete(name)
    if (there === undefined || there.metadata.labels?.[HUB_LABEL] !== this.#options.hub) return
    const pods = await this.#path('pods')
    const query = { labelSelector: `job-name=${name}` }
    if (this.#isRetained(there, await this.#api.list<Pod>(pods, signal, query), Date.now())) {
      this.#retained.add(name)
      return
    }
    const body = { propagationPolicy: 'Foreground', preconditions: { uid: there.metadata.uid } }
    await unless(404, () => this.#api.call('DELETE', job, signal, { body }))
    const { removeMs = (GRACE_SECONDS + 30) * 1000 } = this.#options
    const untilMs = performance.now() + removeMs
    for (let waitMs = 50; ; waitMs = Math.min(1_000, waitMs * 1.5)) {
      const left = await this.#api.list<Pod>(pods, signal, query)
      const lives = left.find((pod) => !isOver(pod))
      if (lives === undefined) return
      if (performance.now() >= untilMs) throw stays(lives)
      await sleep(waitMs, undefined, { signal })
    }
  }

  close(): void {
    this.#api.close()
  }

  /** Returns the Job that already has the name, if it is this hub's. */
  async #taken(name: string, signal: AbortSignal): Promise<Job> {
    const job = await this.#api.call<Job>('GET', await this.#path('jobs', name), signal)
    if (job.metadata.labels?.[HUB_LABEL] !== this.#options.hub)
      throw new ProvisionError(`There is already a Job "${name}", which this hub did not create.`, {
        permanent: true,
        hint: `Rename or delete it.`,
      })
    if (job.metadata.deletionTimestamp !== undefined)
      throw new ProvisionError(`The Job "${name}" is being deleted.`)
    return job
  }

  /** Reports whether the failed Job stays for a person to look at. It does only if nothing of it can begin any more. */
  #isRetained(job: Job, pods: readonly Pod[], nowMs: number): boolean {
    if (pods.length > 1 || !pods.every(isOver)) return false
    const failedMs = failedAtMs(job, pods)
    return failedMs !== undefined && nowMs - failedMs < this.#options.pods.failed_seconds * 1000
  }

  async #eventsOf(name: string, signal: AbortSignal): Promise<Event[]> {
    const query = { fieldSelector: `involvedObject.name=${name}` }
    return await this.#api.list<Event>(await this.#path('events'), signal, query)
  }

  async #path(kind: 'jobs' | 'pods' | 'secrets' | 'events', name?: string): Promise<string> {
    const namespace = this.#options.namespace ?? (await this.#api.access()).namespace
    const within = `${kind === 'jobs' ? '/apis/batch/v1' : '/api/v1'}/namespaces/${encodeURIComponent(namespace)}/${kind}`
    return name === undefined ? within : `${within}/${encodeURIComponent(name)}`
  }
}

const stays = ({ metadata, spec }: Pod) =>
  new ProvisionError(
    `The pod "${metadata.name}" is still there: its node ${spec.nodeName ?? '(none)'} has not reported its end.`,
    { hint: 'If that node is gone for good, delete the node. Kubernetes then removes its pods.' },
  )

/** Returns undefined if the answer has this status. */
async function unless<T>(status: number, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof KubernetesError && error.status === status) return undefined
    throw error
  }
}
