import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { errandImage } from '../../../../../test/support/docker/errand-image.ts'
import { eventually } from '../../../../../test/support/errand-command.ts'
import {
  ADMIN_KUBECONFIG,
  kubernetesFor,
  kubernetesHere,
  takeImage,
} from '../../../../../test/support/kubernetes/kubernetes.ts'
import { needOf, provisionerSuite } from '../../../../../test/support/provisioners/conformance.ts'
import { processesMarked } from '../../../../platform/proc.ts'
import { newHubId } from '../../names.ts'
import { KubernetesProvisioner } from './kubernetes.ts'
import type { PodSettings } from './manifests.ts'

const skip = await kubernetesHere()
const image = skip ? '' : await errandImage()

async function opened(t: TestContext, pods: Partial<PodSettings> = {}, more: { kubeconfig?: string } = {}) {
  const cluster = await kubernetesFor(t)
  // Until this holds the cluster, other tests may end its programs.
  await takeImage(image)
  const { namespace } = cluster
  const hub = newHubId()
  const again = () =>
    new KubernetesProvisioner({
      ...{ hub, namespace, env: {}, kubeconfig: ADMIN_KUBECONFIG, ...more },
      pods: { image, pull: 'never', failed_seconds: 0, ...pods },
    })
  const podsOf = async (name: string): Promise<{ status: { phase: string } }[]> => {
    const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=job-name=${name}`
    return (await cluster.ask('GET', path)).items
  }
  const jobs = async (): Promise<string[]> =>
    (await cluster.ask('GET', `/apis/batch/v1/namespaces/${namespace}/jobs`)).items.map(
      (job: { metadata: { name: string } }) => job.metadata.name,
    )
  return { cluster, namespace, hub, again, provisioner: again(), podsOf, jobs }
}

/** Returns the processes of the pod: pods of the tests' cluster are processes of this machine. */
const processesOf = (name: string) => processesMarked(`ERRAND_RUNNER_ID=${name}\0`)
const endProcesses = async (name: string) => {
  await eventually('its processes', () => processesOf(name).length > 0)
  for (const pid of processesOf(name)) process.kill(pid, 'SIGKILL')
}

if (skip) test('runners as Jobs', { skip }, () => {})
else
  provisionerSuite('Jobs', async (t) => {
    const { podsOf, ...subject } = await opened(t)
    return {
      ...subject,
      count: async (name) =>
        (await podsOf(name)).filter(({ status }) => status.phase !== 'Failed' || processesOf(name).length > 0)
          .length === 0
          ? 0
          : Math.max(1, (await podsOf(name)).length),
      kill: endProcesses,
    }
  })

test('keeps a failed Job for a while without showing it to the hub', { skip }, async (t) => {
  const { signal } = t
  const { provisioner, again, hub, jobs } = await opened(t, { failed_seconds: 600 })
  const need = needOf(hub)
  await provisioner.provision(need, signal)
  await endProcesses(need.name)
  await eventually('its end', async () => (await provisioner.find(signal))[0]?.state === 'ended')
  await provisioner.remove(need.name, signal)
  assert.deepEqual(await provisioner.find(signal), [])
  assert.deepEqual(await jobs(), [need.name])
  // A later hub does not know of it, and leaves it alone too.
  const later = again()
  assert.equal((await later.find(signal)).length, 1)
  await later.remove(need.name, signal)
  assert.deepEqual([await later.find(signal), await jobs()], [[], [need.name]])
})

test('completes a start that ended before its Secret was created', { skip }, async (t) => {
  const { signal } = t
  const { provisioner, again, hub, cluster, namespace, jobs } = await opened(t)
  const need = needOf(hub)
  await provisioner.provision(need, signal)
  const secret = `/api/v1/namespaces/${namespace}/secrets/${need.name}`
  await cluster.ask('DELETE', secret)
  await again().provision(need, signal)
  const made = await cluster.ask('GET', secret)
  assert.deepEqual([made.metadata.name, await jobs()], [need.name, [need.name]])
  await provisioner.remove(need.name, signal)
})
