import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Front } from '../outside/front.ts'
import { jsonService, type ServiceRequest } from '../outside/json-service.ts'
import { makeCertificate } from '../sources/git-fixture.ts'

// biome-ignore lint/suspicious/noExplicitAny: objects of Kubernetes, whose parts tests look at
type KubernetesObject = any

export interface ClusterStandInOptions {
  /** Starts the container of a pod with this environment. If it is absent, pods are never created. */
  start?(pod: string, env: Record<string, string>): void
}

/**
 * Imitates as much of Kubernetes 1.20 as a provisioner needs, over plain HTTP. A Job whose pod is deleted creates
 * another one at once. The container of a pod starts once its Secret exists.
 */
export async function clusterStandIn(t: TestContext, { start }: ClusterStandInOptions = {}) {
  const jobs = new Map<string, KubernetesObject>()
  const pods = new Map<string, KubernetesObject>()
  const secrets = new Map<string, KubernetesObject>()
  const made: string[] = []
  /** Names of pods whose container was started, in order. */
  const started: string[] = []
  const metadataOf = (more: object) => ({
    ...{ uid: randomUUID(), creationTimestamp: new Date().toISOString() },
    ...more,
  })
  const status = (code: number, reason: string) =>
    [code, { kind: 'Status', reason, message: reason }] as [number, unknown]

  /** Does what the controller of Jobs and the kubelet do. */
  const follow = () => {
    if (start === undefined) return
    for (const job of jobs.values()) {
      const { name } = job.metadata
      const own = [...pods.values()].filter(({ metadata }) => metadata.labels['job-name'] === name)
      const failed = own.some(({ status }) => status.phase === 'Failed')
      if (failed && job.status === undefined)
        job.status = { conditions: [{ type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded' }] }
      const active = own.some(
        ({ status, metadata }) => status.phase !== 'Failed' && !metadata.deletionTimestamp,
      )
      if (job.spec.parallelism === 0 || job.status !== undefined || active) continue
      const pod = `${name}-${randomUUID().slice(0, 5)}`
      const labels = { ...job.metadata.labels, 'job-name': name }
      pods.set(pod, {
        metadata: metadataOf({ name: pod, labels }),
        spec: { nodeName: 'node-1' },
        status: { phase: 'Pending' },
      })
    }
    for (const [name, pod] of pods) {
      const secret = secrets.get(pod.metadata.labels['job-name'])
      if (pod.status.phase !== 'Pending') continue
      const waiting = {
        reason: 'CreateContainerConfigError',
        message: `secret "${pod.metadata.labels['job-name']}" not found`,
      }
      const state = secret === undefined ? { waiting } : { running: {} }
      pod.status.containerStatuses = [{ name: 'runner', state }]
      if (secret === undefined) continue
      pod.status.phase = 'Running'
      started.push(name)
      start(name, secret.stringData)
    }
  }

  const answer = ({ method, path, query, body }: ServiceRequest): [status: number, body?: unknown] => {
    const [kind, name] = path.split('/').slice(path.startsWith('/apis/') ? 6 : 5) as [string, string?]
    const objects = kind === 'jobs' ? jobs : kind === 'pods' ? pods : kind === 'secrets' ? secrets : new Map()
    if (method === 'POST') {
      const id = body.metadata.name as string
      if (objects.has(id)) return status(409, 'AlreadyExists')
      const object = { ...body, metadata: metadataOf(body.metadata) }
      objects.set(id, object)
      if (kind === 'jobs') made.push(id)
      return [201, object]
    }
    if (name === undefined) {
      const [label, value] = query.get('labelSelector')?.split('=') ?? []
      const all = [...objects.values()]
      return [200, { items: all.filter(({ metadata }) => !label || metadata.labels?.[label] === value) }]
    }
    const object = objects.get(name)
    if (object === undefined) return status(404, 'NotFound')
    if (method === 'PATCH') Object.assign(object.spec, body.spec)
    if (method === 'DELETE') {
      objects.delete(name)
      if (kind === 'jobs') {
        secrets.delete(name)
        for (const [pod, { metadata }] of pods) if (metadata.labels['job-name'] === name) pods.delete(pod)
      }
    }
    return [200, object]
  }
  const port = await jsonService(t, (request) => {
    const answered = answer(request)
    follow()
    return answered
  })
  return {
    ...{ port, made, started, pods, secrets },
    there: jobs,
    /** Deletes a pod, as `kubectl drain` does with all pods of a node. */
    deletePod(name: string): void {
      pods.delete(name)
      follow()
    },
    /** Sets the status of an ended pod, as the kubelet reports it. */
    endPod(name: string, status: object): void {
      Object.assign(pods.get(name).status, { phase: 'Failed', ...status })
      follow()
    },
  }
}

/**
 * Puts a front, which a test may spoil, before the API server of such a stand-in, and returns a kubeconfig that names
 * it.
 */
export async function frontOf(t: TestContext, port: number) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-kubeconfig-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const tls = makeCertificate(folder, 'IP:127.0.0.1')
  const front = await Front.open(t, { behind: port, tls })
  const kubeconfig = join(folder, 'config')
  const authority = Buffer.from(tls.cert).toString('base64')
  const server = `https://${front.host}`
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': authority } }],
      users: [{ name: 'c', user: { token: 'a-token' } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'c', namespace: 'runners' } }],
    }),
  )
  return { front, kubeconfig }
}
