import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { baseImage } from '../docker/docker.ts'
import {
  askWith,
  ensure,
  KubernetesRefusal,
  kubernetesFor,
  kubernetesHere,
  NODE_ADDRESS,
  removeNamespace,
  signalPart,
  type TestKubernetes,
  takeImage,
} from './kubernetes.ts'

const skip = await kubernetesHere()

const jobs = ({ namespace }: TestKubernetes) => `/apis/batch/v1/namespaces/${namespace}/jobs`
const pods = ({ namespace }: TestKubernetes) => `/api/v1/namespaces/${namespace}/pods`

async function beginJob(cluster: TestKubernetes, name: string, script: string): Promise<void> {
  const image = await baseImage('busybox:latest')
  await takeImage(image)
  const container = { name: 'main', image, imagePullPolicy: 'Never', command: ['sh', '-c', script] }
  const spec = { restartPolicy: 'Never', automountServiceAccountToken: false, containers: [container] }
  const body = { metadata: { name }, spec: { backoffLimit: 0, template: { spec } } }
  await cluster.ask('POST', jobs(cluster), body)
}

async function logOf(cluster: TestKubernetes, job: string): Promise<string> {
  const { items } = await cluster.ask('GET', `${pods(cluster)}?labelSelector=job-name=${job}`)
  return await cluster.ask('GET', `${pods(cluster)}/${items[0].metadata.name}/log`)
}

test('a Job runs in a pod that can reach servers on this machine, and its log can be read', {
  skip,
}, async (t) => {
  const server = createServer((_, answer) => answer.end('from the machine\n')).listen(0, NODE_ADDRESS)
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const cluster = await kubernetesFor(t)
  await beginJob(cluster, 'one', `echo from the pod; wget -qO- http://${NODE_ADDRESS}:${port}`)
  await cluster.until(`${jobs(cluster)}/one`, ({ status }) => status.conditions?.length > 0)
  assert.equal(await logOf(cluster, 'one'), 'from the pod\nfrom the machine\n')
})

test('a service answers at its address', { skip }, async (t) => {
  const cluster = await kubernetesFor(t)
  const { spec } = await cluster.ask('GET', '/api/v1/namespaces/default/services/kubernetes')
  await beginJob(cluster, 'one', `nc -w 10 ${spec.clusterIP} 443 </dev/null && echo reached`)
  await cluster.until(`${jobs(cluster)}/one`, ({ status }) => status.conditions?.length > 0)
  assert.equal(await logOf(cluster, 'one'), 'reached\n')
})

test('an account may do what its rules allow, only in its namespace', { skip }, async (t) => {
  const cluster = await kubernetesFor(t)
  const account = await cluster.account([{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }])
  assert.deepEqual((await askWith(account, 'GET', pods(cluster))).items, [])
  const forbidden = (error: unknown) => error instanceof KubernetesRefusal && error.status === 403
  await assert.rejects(askWith(account, 'DELETE', pods(cluster)), forbidden)
  await assert.rejects(askWith(account, 'GET', jobs(cluster)), forbidden)
  await assert.rejects(askWith(account, 'GET', '/api/v1/namespaces/default/pods'), forbidden)
})

test('a namespace is removed with everything in it', { skip }, async (t) => {
  const cluster = await kubernetesFor(t)
  await beginJob(cluster, 'stubborn', 'trap "" TERM; echo here; while :; do sleep 1; done')
  await cluster.until(
    `${pods(cluster)}?labelSelector=job-name=stubborn`,
    ({ items }) => items[0]?.status.phase === 'Running',
  )
  await removeNamespace(cluster.namespace)
  const gone = (error: unknown) => error instanceof KubernetesRefusal && error.status === 404
  await assert.rejects(cluster.ask('GET', `/api/v1/namespaces/${cluster.namespace}`), gone)
})

test('a pod survives a restart of the programs around it', { skip }, async (t) => {
  const cluster = await kubernetesFor(t, { alone: true })
  await beginJob(cluster, 'long', 'echo begun; while [ ! -e /tmp/end ]; do sleep 1; done')
  const running = `${pods(cluster)}?labelSelector=job-name=long`
  const isUp = ({ items }: { items: { status: { phase: string } }[] }) => items[0]?.status.phase === 'Running'
  const before = (await cluster.until(running, isUp)).items[0].metadata.uid
  for (const part of ['kubelet', 'containerd', 'apiserver'] as const) await signalPart(part, 'SIGKILL')
  await assert.rejects(cluster.ask('GET', running), (error) => !(error instanceof KubernetesRefusal))
  await ensure()
  const after = (await cluster.ask('GET', running)).items[0]
  assert.equal(after.metadata.uid, before)
  assert.deepEqual(after.status.containerStatuses[0].restartCount, 0)
  assert.equal(await logOf(cluster, 'long'), 'begun\n')
})
