import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAllDocuments } from 'yaml'
import { errandImage } from '../support/docker/errand-image.ts'
import { eventually } from '../support/errand-command.ts'
import {
  ADMIN_KUBECONFIG,
  ensure,
  kubernetesFor,
  kubernetesHere,
  NODE_ADDRESS,
  type Part,
  signalPart,
  type TestKubernetes,
  takeImage,
} from '../support/kubernetes/kubernetes.ts'
import { type Programs, startPrograms } from '../support/programs.ts'
import { attemptOf, onBuilders, startRun, writeBuilders } from '../support/provisioners/builders.ts'
import { largeTest } from '../support/size.ts'

const skip = await kubernetesHere()
const image = skip ? '' : await errandImage()

interface Opened extends Programs {
  cluster: TestKubernetes
  /** Things of the kind that the hub has made. */
  // biome-ignore lint/suspicious/noExplicitAny: objects of Kubernetes, whose parts tests look at
  objectsOf(kind: 'jobs' | 'pods' | 'secrets'): Promise<any[]>
}

type Group = Record<string, unknown>

/** Starts a hub without a runner, whose group `builders` creates its own in a namespace of the test. */
async function opened(
  t: TestContext,
  group: Group = {},
  {
    lostAfter = '60s',
    alone = false,
    cluster: options,
  }: { lostAfter?: string; alone?: boolean; cluster?: TestKubernetes } = {},
): Promise<Opened> {
  const cluster = options ?? (await kubernetesFor(t, { alone }))
  // Only now: until the cluster is held, other tests may end its programs.
  await takeImage(image)
  const { namespace } = cluster
  const programs = await startPrograms(t, {
    ...{ runner: 'none', host: NODE_ADDRESS },
    hubArgs: ['--lost-after', lostAfter, '--heartbeat', '0.5s'],
    prepare: ({ data }) => {
      writeGroup(data, { namespace, ...group })
    },
  })
  const objectsOf: Opened['objectsOf'] = async (kind) => {
    const path = `${kind === 'jobs' ? '/apis/batch' : '/api'}/v1/namespaces/${namespace}/${kind}`
    return (await cluster.ask('GET', `${path}?labelSelector=app.kubernetes.io/managed-by=errand`)).items
  }
  return Object.assign(programs, { cluster, objectsOf })
}

const writeGroup = (data: string, group: Group) =>
  writeBuilders(data, {
    ...{ provisioner: 'kubernetes', image, pull: 'never', kubeconfig: ADMIN_KUBECONFIG, memory: '512MB' },
    ...{ max: 4, idle_seconds: 0, start_seconds: 120, failed_seconds: 0, ...group },
  })

/** Waits until the step of the run has begun, which its output shows. */
const begun = (programs: Opened, id: string) =>
  eventually('the step at work', async () =>
    (await programs.call('runs', 'logs', id)).stdout.includes('begun'),
  )
const count = async ({ objectsOf }: Opened) =>
  (await Promise.all([objectsOf('jobs'), objectsOf('pods'), objectsOf('secrets')])).flat().length
/** Asserts that neither the cluster nor the hub has anything left. */
const nothingLeft = async (programs: Opened) => {
  await eventually('the removal of everything that was created', async () => (await count(programs)) === 0)
  await eventually('the end of their tokens', async () => {
    const { tokens } = await programs.client.tokens.list()
    return !tokens.some(({ name, revoked_at }) => name.includes('errand-') && revoked_at === undefined)
  })
}
const waitsFor = (programs: Opened, id: string, why: RegExp) =>
  eventually(`a wait for ${why}`, async () => {
    const text = JSON.stringify(await programs.client.runs.get(id))
    return why.test(text) && text
  })

test('a waiting run gets one pod for all of its steps, which is removed with the run', {
  skip,
}, async (t) => {
  const programs = await opened(t)
  const checks = [
    'echo user $(id -u)',
    'ls /var/run/secrets/kubernetes.io >/dev/null 2>&1 && echo a token',
    'touch /opt/x 2>/dev/null && echo a writable root',
    'grep -e CapEff -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status | tr -d "\\t"',
    'env | grep -e errand_enroll -e KUBERNETES_SERVICE',
    'echo one > kept',
  ]
  const [a, b] = await Promise.all([
    startRun(programs, onBuilders(checks.join('; '), 'cat kept')),
    startRun(programs, onBuilders('echo two > kept', 'cat kept')),
  ])
  const [first, second] = [await programs.ended(a), await programs.ended(b)]
  assert.deepEqual([first.status, second.status], ['success', 'success'], JSON.stringify(first))
  assert.notEqual(attemptOf(first)?.runner, attemptOf(second)?.runner)
  assert.equal(attemptOf(first)?.runner, attemptOf(first, 1)?.runner)
  assert.deepEqual([attemptOf(first)?.made_box, attemptOf(first)?.network], ['pod', 'all'])
  const output = (await programs.call('runs', 'logs', a)).stdout
  for (const line of [
    'user 10001',
    'CapEff:0000000000000000',
    'CapBnd:0000000000000000',
    'NoNewPrivs:1',
    'one',
  ])
    assert.ok(output.includes(line), `${line} in ${output}`)
  assert.match(output, /Seccomp:[12]/)
  assert.doesNotMatch(output, /a token|a writable root|errand_enroll|KUBERNETES_SERVICE/)
  await nothingLeft(programs)
})

largeTest(
  'a hub that is killed at any moment continues with its runners, creates none twice, and leaves nothing behind',
  {
    skip,
  },
  async (t) => {
    const programs = await opened(t)
    const id = await startRun(programs, onBuilders('echo begun; sleep 20; echo kept'))
    const moments: (() => unknown)[] = [
      async () => (await programs.objectsOf('jobs')).length > 0,
      async () => (await programs.objectsOf('pods')).length > 0,
      async () => (await programs.objectsOf('pods'))[0]?.status.phase === 'Running',
      () => begun(programs, id),
    ]
    for (const moment of moments) {
      await eventually('the moment', async () => Boolean(await moment()))
      await programs.kill('hub')
      await programs.startHub()
      assert.ok((await programs.objectsOf('jobs')).length <= 1)
    }
    const run = await programs.ended(id)
    assert.equal(run.status, 'success', JSON.stringify(run))
    assert.match((await programs.call('runs', 'logs', id)).stdout, /kept/)
    await nothingLeft(programs)
  },
)

/**
 * Evicts the pod of a step at work. Returns how the step ended, and the other pods of its Job whose container has
 * started.
 */
async function evicted(programs: Opened, id: string, evict: (pod: string) => Promise<unknown>) {
  const [own] = await programs.objectsOf('pods')
  await eventually('the end of its token', async () => (await programs.objectsOf('secrets')).length === 0)
  await evict(own.metadata.name)
  const others = new Map<string, boolean>()
  const run = await eventually('the end of the run', async () => {
    for (const { metadata, status } of await programs.objectsOf('pods'))
      if (metadata.uid !== own.metadata.uid) {
        const { waiting } = status.containerStatuses?.[0]?.state ?? { waiting: {} }
        others.set(metadata.name, others.get(metadata.name) || waiting === undefined)
      }
    const view = await programs.client.runs.get(id)
    return view.finished_at !== undefined && view
  })
  const { reason, message } = run.steps[0]!.instances[0]!
  await nothingLeft(programs)
  return { reason, message: message!, others: [...others.values()] }
}

largeTest(
  'a deleted or evicted pod ends its step, which says so, and no other pod starts',
  { skip },
  async (t) => {
    const programs = await opened(t)
    const { cluster } = programs
    const pods = `/api/v1/namespaces/${cluster.namespace}/pods`
    const eviction = (name: string) => ({
      apiVersion: 'policy/v1beta1',
      kind: 'Eviction',
      metadata: { name },
    })
    const ways: [command: string, evict: (pod: string) => Promise<unknown>, told: RegExp][] = [
      [
        '',
        (pod) => cluster.ask('DELETE', `${pods}/${pod}`, { gracePeriodSeconds: 0 }),
        /Its pod was deleted\.$/,
      ],
      ['', (pod) => cluster.ask('POST', `${pods}/${pod}/eviction`, eviction(pod)), /Its pod was deleted\.$/],
      // More than its volume for /tmp can hold.
      [
        'fallocate -l 2300M /tmp/large;',
        () => Promise.resolve(),
        /Its pod was evicted \(Evicted\): Usage of EmptyDir volume "tmp" exceeds the limit/,
      ],
    ]
    for (const [command, evict, reported] of ways) {
      const id = await startRun(programs, onBuilders(`echo begun; ${command} sleep 600`))
      await begun(programs, id)
      const { reason, message, others } = await evicted(programs, id, evict)
      assert.equal(reason, 'lost', message)
      assert.match(message, reported)
      assert.ok(
        others.every((hasBegun) => !hasBegun),
        message,
      )
      console.log(`Told: ${message} Other pods: ${others.length}`)
    }
  },
)

largeTest(
  'a missing pod is explained in the words of Kubernetes, and one is created once the cause is fixed',
  {
    skip,
  },
  async (t) => {
    const programs = await opened(t)
    const { cluster } = programs
    const { namespace } = cluster
    let max = 10
    const reported = async (group: Group, why: RegExp): Promise<string> => {
      writeGroup(programs.data, { namespace, ...group, max: ++max })
      await eventually('the file to be read again', async () => {
        const groups = await programs.client.runners.groups()
        return groups.some(({ pool }) => pool?.max === max)
      })
      const id = await startRun(programs, onBuilders('echo hello'))
      await waitsFor(programs, id, why)
      console.log(`Told: ${why}`)
      return id
    }
    const kubeconfig = await cluster.account([
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['get', 'list', 'delete'] },
      { apiGroups: [''], resources: ['pods', 'events'], verbs: ['list'] },
      { apiGroups: [''], resources: ['secrets'], verbs: ['create', 'delete'] },
    ])
    const cases: [Group, RegExp][] = [
      [{ image: 'errand.test/not-there:1' }, /not on the node, and may not be pulled \(ErrImageNeverPull\)/],
      [
        { namespace: `${namespace}-none` },
        /namespaces \\"errand-test-\w+-none\\" not found.*kubectl create namespace/,
      ],
      [{ kubeconfig }, /cannot create resource \\"jobs\\" in API group.*rbac\.yaml/],
    ]
    for (const [group, why] of cases) {
      const id = await reported(group, why)
      await programs.client.runs.cancel(id)
      await eventually('the removal of it', async () => (await count(programs)) === 0)
    }
    const quotas = `/api/v1/namespaces/${namespace}/resourcequotas`
    await cluster.ask('POST', quotas, { metadata: { name: 'none' }, spec: { hard: { pods: '0' } } })
    await cluster.until(`${quotas}/none`, ({ status }) => status?.hard?.pods === '0')
    const id = await reported({}, /FailedCreate: .*exceeded quota: none/)
    await cluster.ask('DELETE', `${quotas}/none`)
    assert.equal((await programs.ended(id)).status, 'success')
    await nothingLeft(programs)
  },
)

largeTest('two hubs on one cluster do not touch each other’s pods', { skip }, async (t) => {
  const one = await opened(t, { spare: 1, idle_seconds: 600 })
  await eventually('its spare', async () => (await one.client.runners.list())[0]?.status === 'connected')
  const [mine] = await one.objectsOf('jobs')
  const other = await opened(t, {}, { cluster: one.cluster })
  const id = await startRun(other, onBuilders('echo hello'))
  assert.equal((await other.ended(id)).status, 'success')
  await eventually('the removal of the other', async () => (await other.objectsOf('jobs')).length === 1)
  const [left] = await one.objectsOf('jobs')
  assert.equal(left.metadata.uid, mine.metadata.uid)
  assert.equal((await one.client.runners.list())[0]?.status, 'connected')
})

largeTest(
  'twenty runs at once all succeed with a pod of their own each, and leave nothing behind',
  { skip },
  async (t) => {
    const max = 8
    const programs = await opened(t, { max, memory: '256MB' })
    const ids = await Promise.all(
      Array.from({ length: 20 }, (_, nth) => startRun(programs, onBuilders(`echo ${nth}`))),
    )
    let most = 0
    let over = false
    const watched = (async () => {
      for (; !over; await sleep(500)) most = Math.max(most, (await programs.objectsOf('jobs')).length)
    })()
    const runs: Awaited<ReturnType<typeof programs.ended>>[] = []
    try {
      for (const id of ids) runs.push(await programs.ended(id))
    } finally {
      over = true
      await watched
    }
    assert.deepEqual(
      runs.map(({ status }) => status),
      ids.map(() => 'success'),
    )
    assert.equal(new Set(runs.map((run) => attemptOf(run)?.runner)).size, 20)
    assert.ok(most > 1, 'some at once')
    await nothingLeft(programs)
  },
)

largeTest('a hub needs only the permissions in deploy/kubernetes', { skip }, async (t) => {
  const cluster = await kubernetesFor(t)
  const { rules } = parseAllDocuments(readFileSync('deploy/kubernetes/rbac.yaml', 'utf8'))
    .map((document) => document.toJS())
    .find(({ kind }) => kind === 'Role')
  const kubeconfig = await cluster.account(rules)
  const programs = await opened(t, { namespace: cluster.namespace, kubeconfig }, { cluster })
  assert.equal((await programs.ended(await startRun(programs, onBuilders('echo hello')))).status, 'success')
  await nothingLeft(programs)
})

largeTest(
  'runs survive the loss of each program of the cluster, and runs that wait start when it is back',
  {
    skip,
  },
  async (t) => {
    const programs = await opened(t, {}, { alone: true })
    const parts: Part[] = ['apiserver', 'kubelet', 'containerd']
    for (const part of parts) {
      const id = await startRun(programs, onBuilders('echo begun; sleep 5; echo kept'))
      await begun(programs, id)
      await signalPart(part, 'SIGKILL')
      const waits = await startRun(programs, onBuilders('echo hello'))
      assert.equal((await programs.ended(id)).status, 'success', part)
      await ensure()
      assert.equal((await programs.ended(waits)).status, 'success', part)
      console.log(`It is back after the end of ${part}.`)
    }
    await nothingLeft(programs)
  },
)
