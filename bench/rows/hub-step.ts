import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BenchHub, startRunner } from '../hub.ts'
import { alternate, bareSpawn, quantile, type Row, shellCommand, timed } from '../measure.ts'

const STEPS = 100

async function stepMs({ client }: BenchHub): Promise<number> {
  const steps = Array.from({ length: STEPS }, (_, index) => ({
    name: `step ${index}`,
    action: 'cmd.run',
    args: { cmd: shellCommand },
  }))
  const ms = await timed(async () => {
    const { run_id } = await client.runs.create({ workflow: { version: 'v0.1', name: 'bench', steps } })
    let status = 'queued'
    for await (const event of client.events(run_id)) if (event.type === 'run.finished') status = event.status
    if (status !== 'success') throw new Error(`Run ${run_id} is ${status}`)
  })
  return ms / STEPS
}

/** Times a sequential step through hub and runner, with every event and the output committed. */
export async function hubStep(hub: BenchHub): Promise<Row[]> {
  await stepMs(hub)
  const spawnMs = async () => {
    const ms = await timed(async () => {
      for (let index = 0; index < STEPS; index++) await bareSpawn()
    })
    return ms / STEPS
  }
  const { value, baseline } = await alternate(5, () => stepMs(hub), spawnMs)
  return [
    {
      name: 'sequential step, through hub and runner',
      unit: 'ms',
      value,
      baseline: { what: 'the same command spawned from Node', value: baseline },
      budget: { what: '<= 3 x', holds: value / baseline <= 3 },
    },
  ]
}

/** Times the way from the request to the moment at which the process reads the clock. */
export const firstProcess = (hub: BenchHub): Promise<Row[]> => requestToProcess(hub, '')

const GOING = 100
const GROUP = 'wide'

/** Times the same while 100 other runs on that runner each print a line every second. */
export async function firstProcessBusy(hub: BenchHub): Promise<Row[]> {
  const stopRunner = await startRunner(hub, GROUP, GOING + 20)
  const cmd = 'while :; do echo still at it; sleep 1; done'
  const workflow = {
    version: 'v0.1',
    name: 'going',
    inventory: { hosts: { local: { group: GROUP } } },
    steps: [{ name: 'going', action: 'cmd.run', args: { cmd } }],
  }
  const runs: string[] = []
  try {
    for (let index = 0; index < GOING; index++) runs.push((await hub.client.runs.create({ workflow })).run_id)
    const isGoing = async () => {
      const [wide] = (await hub.client.runners.list()).filter(({ id }) => id === GROUP)
      return wide?.running === GOING
    }
    while (!(await isGoing())) await sleep(50)
    // After this time, all of them have started.
    await sleep(3_000)
    return await requestToProcess(hub, ` with ${GOING} runs going`, { hosts: { local: { group: GROUP } } })
  } finally {
    for (const run of runs) await hub.client.runs.cancel(run, { force: true })
    while ((await hub.client.runs.list({ status: 'queued,running', limit: 1 })).runs.length > 0)
      await sleep(50)
    await stopRunner()
  }
}

async function requestToProcess(hub: BenchHub, meanwhile: string, inventory?: object): Promise<Row[]> {
  const workflow = {
    version: 'v0.1',
    name: 'clock',
    inventory,
    steps: [{ name: 'clock', action: 'cmd.run', args: { cmd: 'date +%s%N' } }],
  }
  const delays: number[] = []
  for (let round = 0; round < 120; round++) {
    const started = performance.timeOrigin + performance.now()
    const { run_id } = await hub.client.runs.create({ workflow })
    let text = ''
    for await (const event of hub.client.events(run_id)) if (event.type === 'output') text += event.text
    if (round >= 20) delays.push(Number(text) / 1e6 - started)
  }
  const spawns: number[] = []
  for (let round = 0; round < 100; round++) spawns.push(await spawnClock())
  const [p50, p99] = [quantile(delays, 0.5), quantile(delays, 0.99)]
  return [
    {
      name: `request to first process start${meanwhile}, p50`,
      unit: 'ms',
      value: p50,
      baseline: { what: 'spawned from Node', value: quantile(spawns, 0.5) },
      budget: { what: '<= 10 ms', holds: p50 <= 10 },
    },
    {
      name: `request to first process start${meanwhile}, p99`,
      unit: 'ms',
      value: p99,
      baseline: { what: 'spawned from Node', value: quantile(spawns, 0.99) },
      budget: { what: '<= 40 ms', holds: p99 <= 40 },
    },
  ]
}

async function spawnClock(): Promise<number> {
  const started = performance.timeOrigin + performance.now()
  const text = await new Promise<string>((resolve, reject) =>
    execFile('/bin/sh', ['-c', 'date +%s%N'], (error, out) => (error ? reject(error) : resolve(out))),
  )
  return Number(text) / 1e6 - started
}
