import { execFile } from 'node:child_process'
import type { BenchHub } from '../hub.ts'
import { bareSpawn, byTurns, quantile, type Row, shellCommand, timed } from '../measure.ts'

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

/** A sequential step through hub and runner, every event and the output committed. */
export async function hubStep(hub: BenchHub): Promise<Row[]> {
  await stepMs(hub)
  const spawnMs = async () => {
    const ms = await timed(async () => {
      for (let index = 0; index < STEPS; index++) await bareSpawn()
    })
    return ms / STEPS
  }
  const { value, baseline } = await byTurns(5, () => stepMs(hub), spawnMs)
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

/** From the request to the moment at which the process looks at the clock. */
export async function firstProcess(hub: BenchHub): Promise<Row[]> {
  const workflow = {
    version: 'v0.1',
    name: 'clock',
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
      name: 'request to first process start, p50',
      unit: 'ms',
      value: p50,
      baseline: { what: 'spawned from Node', value: quantile(spawns, 0.5) },
      budget: { what: '<= 10 ms', holds: p50 <= 10 },
    },
    {
      name: 'request to first process start, p99',
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
