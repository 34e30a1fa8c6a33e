import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { errandCommand, eventually, type Started } from '../support/errand-command.ts'
import { clusterStandIn, frontOf } from '../support/kubernetes/stand-in.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import { endProcessesOf } from '../support/programs.ts'
import { onBuilders, runnerOf } from '../support/provisioners/builders.ts'

/** Starts a hub whose group `builders` creates pods in a stand-in for a cluster, each with a real runner. */
async function opened(t: TestContext, group: object = {}) {
  const errand = errandCommand(t)
  t.after(() => endProcessesOf(errand.home))
  const runners = new Map<string, Started>()
  const cluster = await clusterStandIn(t, {
    start(pod, { WORKSPACE_DIR: _, ...env }) {
      runners.set(pod, errand.start(['runner', '--workspace', join(errand.home, pod)], { env }))
    },
  })
  const { front, kubeconfig } = await frontOf(t, cluster.port)
  const builders = {
    ...{ provisioner: 'kubernetes', image: 'errand', kubeconfig, max: 4, idle_seconds: 0 },
    ...{ failed_seconds: 600, ...group },
  }
  const place = await hubPlace(t, {
    config: { groups: { builders } },
    hub: { makers: { runner: [], env: {}, patience: { sweepMs: 500, engineMs: 300 } } },
  })
  const { client } = place
  const ended = (id: string) =>
    eventually(`the end of ${id}`, async () => {
      const run = await client.runs.get(id)
      return run.finished_at !== undefined && run
    })
  const begun = join(errand.home, 'begun')
  const go = join(errand.home, 'go')
  return {
    ...{ ...place, cluster, front, runners, ended },
    /** Starts a run whose step has begun and ends when allowed. Returns it with the pod that it is in. */
    async working() {
      const yaml = onBuilders(`echo begun >> ${begun}; until test -e ${go}; do sleep 0.05; done`)
      const { run_id } = await client.runs.create({ yaml })
      await eventually('the step', () => existsSync(begun))
      return { run_id, pod: cluster.started[0]! }
    },
    mayEnd: () => writeFileSync(go, ''),
    /** Ends everything that runs in the pod. */
    async kill(pod: string) {
      runners.get(pod)!.child.kill('SIGKILL')
      await runners.get(pod)!.finished
    },
    failure: async (id: string) => (await ended(id)).steps[0]!.instances[0]!,
    nothingLeft: () =>
      eventually(
        'the removal of everything that was created',
        () => cluster.there.size + cluster.secrets.size === 0,
      ),
  }
}

test('a step in an evicted pod is lost, and says so in the words of Kubernetes', async (t) => {
  const { working, kill, cluster, failure } = await opened(t)
  const { run_id, pod } = await working()
  const message = 'Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. '
  cluster.endPod(pod, { reason: 'Evicted', message })
  await kill(pod)
  const { reason, message: failureMessage } = await failure(run_id)
  assert.equal(reason, 'lost')
  assert.match(
    failureMessage!,
    /^Runner "errand-\S+" is gone: Its pod was evicted \(Evicted\): Pod ephemeral local storage usage exceeds the total limit of containers 1Gi\.$/,
  )
})

test('deleting a pod ends its step, and the replacement that its Job creates never starts', async (t) => {
  const { working, kill, cluster, failure, nothingLeft } = await opened(t)
  const { run_id, pod } = await working()
  await eventually('the use of its token', () => cluster.secrets.size === 0)
  cluster.deletePod(pod)
  assert.equal(cluster.pods.size, 1, 'another one')
  await kill(pod)
  const { reason, message } = await failure(run_id)
  assert.equal(reason, 'lost')
  assert.match(message!, /is gone: Its pod was deleted\.$/)
  await nothingLeft()
  assert.deepEqual([cluster.started, cluster.pods.size], [[pod], 0])
})

test('while the API is silent, pods work on, waiting runs say since when, and both succeed', async (t) => {
  const { working, mayEnd, front, cluster, client, ended, nothingLeft } = await opened(t)
  const { run_id, pod } = await working()
  const beganMs = Date.now()
  await front.set('silent')
  const { run_id: waits } = await client.runs.create({ yaml: onBuilders('echo hello') })
  const why = await eventually('why it waits', async () => {
    const { waiting } = (await client.runs.get(waits)).steps[0]!
    return waiting?.includes('has not answered since') && waiting
  })
  const since =
    /^.* is being started for it: The Kubernetes API at 127\.0\.0\.1:\d+ has not answered since (\S+Z): /.exec(
      why,
    )
  assert.ok(Date.parse(since![1]!) >= beganMs, why)
  // More failed calls than a start may have.
  await eventually('more tries', () => front.connections > 8)
  const [{ pool } = {}] = await client.runners.groups({ name: 'builders' })
  assert.deepEqual(pool!.runners.map(({ state, end }) => [state, end]).toSorted(), [
    ['asked', undefined],
    ['working', undefined],
  ])
  assert.equal(pool!.breaker, undefined)
  mayEnd()
  assert.equal((await ended(run_id)).status, 'success', 'while the API is silent')
  await front.set('well')
  const run = await ended(waits)
  assert.deepEqual([run.status, cluster.made.length, cluster.started.length], ['success', 2, 2])
  assert.ok(runnerOf(run) !== undefined && !pod.startsWith(runnerOf(run)!))
  await nothingLeft()
})
