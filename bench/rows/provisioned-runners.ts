import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gatewayOf } from '../../src/docker/docker-answers.ts'
import { dockerHere } from '../../test/support/docker/docker.ts'
import { DockerApi } from '../../test/support/docker/docker-api.ts'
import { errandImage } from '../../test/support/docker/errand-image.ts'
import { type BenchHub, outputMs, startHub } from '../hub.ts'
import { alternate, type Row } from '../measure.ts'

const ROUNDS = Number(process.env.R ?? 7)
const AT_ONCE = 20

/** Longest time, in ms on a quiet machine, that hub and runner add to a container, and a spare to a standing runner. */
const PROVISIONED_MS = 300
const SPARE_MS = 50

/** Times a run from its request to its first output in a provisioned container, beside `docker run` of its image. */
export async function provisionedRunners(): Promise<Row[]> {
  const noDocker = await dockerHere()
  if (noDocker !== false) {
    console.log(`left out containers that are made for runs: ${noDocker}`)
    return []
  }
  const image = await errandImage()
  const gateway = gatewayOf(await new DockerApi().getNetwork('bridge').inspect())!
  const folder = await mkdtemp(join(tmpdir(), 'errand-bench-'))
  const config = join(folder, 'errand.yaml')
  const group = { provisioner: 'docker', image, pull: 'never' }
  const groups = {
    made: { ...group, max: AT_ONCE, idle_seconds: 0 },
    spare: { ...group, max: 3, spare: 1, idle_seconds: 600 },
  }
  await writeFile(config, JSON.stringify({ groups }))
  const hub = await startHub({ env: { ERRAND_ADDR: `${gateway}:0`, ERRAND_CONFIG: config } })
  try {
    const bare = () => dockerRunMs(image)
    await firstOutputMs(hub, 'made')
    const provisioned = await alternate(ROUNDS, () => firstOutputMs(hub, 'made'), bare)
    await spareThere(hub)
    await firstOutputMs(hub)
    const spare = await alternate(
      ROUNDS,
      async () => {
        await spareThere(hub)
        return await firstOutputMs(hub, 'spare')
      },
      () => firstOutputMs(hub),
    )
    const all = async (one: () => Promise<number>) =>
      Math.max(...(await Promise.all(Array.from({ length: AT_ONCE }, one))))
    const bareAtOnce = await all(bare)
    const provisionedAtOnce = await all(() => firstOutputMs(hub, 'made'))
    return [
      row('a run on a container made for it, to its first output', provisioned, 'docker run', PROVISIONED_MS),
      row(
        'a run on a container made ahead of it, to its first output',
        spare,
        'a runner that stands',
        SPARE_MS,
      ),
      row(
        `${AT_ONCE} runs at once on containers made for them, to the last first output`,
        { value: provisionedAtOnce, baseline: bareAtOnce },
        `${AT_ONCE} times docker run at once`,
        PROVISIONED_MS * AT_ONCE,
      ),
    ]
  } finally {
    await writeFile(config, '{}')
    await gone(hub)
    await hub.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

function row(
  name: string,
  { value, baseline }: { value: number; baseline: number },
  what: string,
  most: number,
): Row {
  return {
    ...{ name, unit: 'ms', value, baseline: { what, value: baseline } },
    budget: { what: `<= ${most} ms more`, holds: value - baseline <= most },
    details: { 'ms more': value - baseline },
  }
}

/** Returns the time as a client sees it. Without a group, the run is on the hub's own runner. */
async function firstOutputMs(hub: BenchHub, group?: string): Promise<number> {
  const workflow = {
    version: 'v0.1',
    name: 'made',
    ...(group !== undefined && { inventory: { hosts: { made: { group } } } }),
    steps: [{ name: 'a', ...(group && { targets: ['made'] }), action: 'cmd.run', args: { cmd: 'echo up' } }],
  }
  return await outputMs(hub, workflow)
}

function dockerRunMs(image: string): Promise<number> {
  const started = performance.now()
  const child = spawn('docker', ['run', '--rm', '--init', '--entrypoint', 'echo', image, 'up'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return new Promise((resolve, reject) => {
    let ms: number | undefined
    child.stdout.once('data', () => (ms = performance.now() - started))
    child.on('error', reject)
    child.on('close', (code) => (ms === undefined ? reject(new Error(`docker run: ${code}`)) : resolve(ms)))
  })
}

async function spareThere({ client }: BenchHub): Promise<void> {
  for (;;) {
    const { pool } = (await client.runners.groups()).find(({ name }) => name === 'spare')!
    if (pool?.counts.idle === 1 && pool.counts.removing + pool.counts.working === 0) return
    await sleep(50)
  }
}

/** Waits until every provisioned runner is gone. */
async function gone({ client }: BenchHub): Promise<void> {
  while ((await client.runners.list()).some(({ id }) => id.startsWith('errand-'))) await sleep(100)
}
