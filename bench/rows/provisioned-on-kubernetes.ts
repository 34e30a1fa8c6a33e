import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { errandImage } from '../../test/support/docker/errand-image.ts'
import {
  ADMIN_KUBECONFIG,
  kubernetesFor,
  kubernetesHere,
  NODE_ADDRESS,
  takeImage,
} from '../../test/support/kubernetes/kubernetes.ts'
import { type BenchHub, startHub } from '../hub.ts'
import { median, type Row } from '../measure.ts'

const ROUNDS = Number(process.env.R ?? 5)
const AT_ONCE = 20
/** Longest extra time, in ms on a quiet machine: of a runner over its pod, and of a run over a connected spare. */
const BUDGETS = { made: 500, spare: 50 }

/**
 * Times a run from its creation to its first process, in a pod that is provisioned for it, beside a bare Job of the
 * same image; with a spare runner; and the last of 20 runs at once. Each process reports itself by connecting to the
 * benchmark.
 */
export async function provisionedOnKubernetes(): Promise<Row[]> {
  const reason = await kubernetesHere()
  if (reason !== false) {
    console.log(`left out Kubernetes: ${reason}`)
    return []
  }
  const after: (() => unknown)[] = []
  const cluster = await kubernetesFor({
    after: (work: () => unknown) => after.unshift(work),
  } as unknown as TestContext)
  try {
    const { namespace } = cluster
    const image = await errandImage()
    await takeImage(image)
    const folder = mkdtempSync(join(tmpdir(), 'errand-bench-kubernetes-'))
    after.unshift(() => rmSync(folder, { recursive: true }))
    const group = { provisioner: 'kubernetes', image, pull: 'never', kubeconfig: ADMIN_KUBECONFIG, namespace }
    const made = { ...group, max: AT_ONCE, idle_seconds: 0 }
    const config = join(folder, 'errand.yaml')
    writeFileSync(config, JSON.stringify({ groups: { made } }))
    const hub = await startHub({ env: { ERRAND_ADDR: `${NODE_ADDRESS}:0`, ERRAND_CONFIG: config } })
    after.unshift(() => hub.stop())
    let count = 0
    const bare = (port: number) => {
      const name = `bare-${++count}`
      const command = ['bash', '-c', `: >/dev/tcp/${NODE_ADDRESS}/${port}`]
      const container = { name, image, imagePullPolicy: 'Never', command }
      const spec = { restartPolicy: 'Never', automountServiceAccountToken: false, containers: [container] }
      return cluster.ask('POST', `/apis/batch/v1/namespaces/${namespace}/jobs`, {
        metadata: { name },
        spec: { backoffLimit: 0, template: { spec } },
      })
    }
    const ofGroup = (name: string) => (port: number) => startRun(hub, name, port)
    const rounds = async (start: (port: number) => Promise<unknown>) => {
      const all: number[] = []
      for (let round = 0; round < ROUNDS; round++) all.push(await untilAllMs(1, start))
      return median(all)
    }
    const [job, run] = [await rounds(bare), await rounds(ofGroup('made'))]
    const jobs = await untilAllMs(AT_ONCE, bare)
    const runs = await untilAllMs(AT_ONCE, ofGroup('made'))
    writeFileSync(config, JSON.stringify({ groups: { spare: { ...group, spare: 1, idle_seconds: 600 } } }))
    const spares: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      await spareIsThere(hub)
      spares.push(await untilAllMs(1, ofGroup('spare')))
    }
    const row = (name: string, value: number, baseline: number, count = 1): Row => ({
      ...{ name, unit: 'ms', value, baseline: { what: 'a bare Job', value: baseline } },
      budget: {
        what: `<= ${BUDGETS.made * count} ms more`,
        holds: value - baseline <= BUDGETS.made * count,
      },
    })
    return [
      row('run to its first process, in a pod made for it', run, job),
      row(`the last of ${AT_ONCE} such runs at once`, runs, jobs, AT_ONCE),
      {
        ...{
          name: 'run to its first process, in a pod made ahead of need',
          unit: 'ms',
          value: median(spares),
        },
        budget: { what: `<= ${BUDGETS.spare} ms`, holds: median(spares) <= BUDGETS.spare },
      },
    ]
  } finally {
    for (const work of after) await work()
  }
}

/** Returns the milliseconds until `count` processes have connected to the port that each start is given. */
async function untilAllMs(count: number, start: (port: number) => Promise<unknown>): Promise<number> {
  let left = count
  const server = createServer((socket) => {
    socket.destroy()
    if (--left === 0) server.emit('all')
  }).listen(0, NODE_ADDRESS)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const all = once(server, 'all')
  const from = performance.now()
  try {
    await Promise.all(Array.from({ length: count }, () => start(port)))
    await all
    return performance.now() - from
  } finally {
    server.close()
  }
}

async function startRun({ client }: BenchHub, group: string, port: number): Promise<void> {
  const cmd = `bash -c ': >/dev/tcp/${NODE_ADDRESS}/${port}'`
  await client.runs.create({
    workflow: {
      version: 'v0.1',
      name: 'made',
      inventory: { hosts: { build: { group } } },
      steps: [{ name: 'first', targets: ['build'], action: 'cmd.run', args: { cmd } }],
    },
  })
}

/** Waits until the one runner of the group is connected and idle. */
async function spareIsThere({ client }: BenchHub): Promise<void> {
  for (;;) {
    const there = (await client.runners.list()).filter(({ group }) => group === 'spare')
    if (there.length === 1 && there[0]!.status === 'connected') return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
