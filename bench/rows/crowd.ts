import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type BenchHub, residentMb } from '../hub.ts'
import { quantile, type Row, timed } from '../measure.ts'

/** Number of runners, and number of readers. */
const COUNT = 1000
const PROCESSES = 2
const HEALTH_ROUNDS = 200
const program = fileURLToPath(new URL('../crowd.ts', import.meta.url))

/** Measures one hub with 1,000 idle runners and 1,000 readers: its memory, its health, and all runners back at once. */
export async function crowd(hub: BenchHub): Promise<Row[]> {
  const beforeMb = await residentMb(hub.hubPid)
  const alone = await healthMs(hub)
  const { token: runnerToken } = await hub.client.tokens.create({ name: 'crowd', scope: 'runner' })
  const steps = [{ name: 'asks', action: 'approval.wait' }]
  const { run_id } = await hub.client.runs.create({ workflow: { version: 'v0.1', name: 'open', steps } })
  const children = Array.from({ length: PROCESSES }, (_, index) => {
    const config = { url: hub.url, token: hub.token, runnerToken, runId: run_id, count: COUNT / PROCESSES }
    const what = JSON.stringify({ ...config, name: `crowd-${index}` })
    return spawn(process.execPath, [program, what], { stdio: ['pipe', 'pipe', 'inherit'] })
  })
  try {
    await Promise.all(children.map(allThere))
    // This lasts several heartbeats.
    await sleep(10_000)
    const delays = await healthMs(hub)
    const idleMb = await residentMb(hub.hubPid)
    for (const child of children) child.stdin!.write('again\n')
    let worst = 0
    let isBack = false
    const watch = (async () => {
      while (!isBack) worst = Math.max(worst, quantile(await healthMs(hub, 1), 1))
    })()
    const backMs = await timed(() => Promise.all(children.map(allThere)))
    isBack = true
    await watch
    const afterMb = await residentMb(hub.hubPid)
    const p95 = quantile(delays, 0.95)
    return [
      {
        name: `hub with ${COUNT} idle runners and ${COUNT} event readers`,
        unit: 'MB',
        value: idleMb,
        baseline: { what: 'the same hub with one runner', value: beforeMb },
        budget: { what: '<= 300 MB', holds: idleMb <= 300 },
        details: { 'MB after all runners came back at once': afterMb },
      },
      {
        name: 'its health, p95',
        unit: 'ms',
        value: p95,
        baseline: { what: 'with one runner', value: quantile(alone, 0.95) },
        budget: { what: '<= 50 ms', holds: p95 <= 50 },
        details: { p50: quantile(delays, 0.5), worst: quantile(delays, 1) },
      },
      {
        name: `${COUNT} runners, whose links broke at once, are all back`,
        unit: 'ms',
        value: backMs,
        budget: { what: '<= 10,000 ms', holds: backMs <= 10_000 },
        details: { 'slowest health meanwhile, ms': worst },
      },
    ]
  } finally {
    for (const child of children) child.stdin!.end()
    await Promise.all(children.map((child) => child.exitCode ?? once(child, 'close')))
    await hub.client.runs.cancel(run_id)
  }
}

async function allThere(child: ChildProcess): Promise<void> {
  const [line] = await Promise.race([once(child.stdout!, 'data'), once(child, 'close')])
  if (String(line).trim() !== 'there') throw new Error(`The crowd ended: ${line}`)
}

async function healthMs({ url }: BenchHub, rounds = HEALTH_ROUNDS): Promise<number[]> {
  const delays: number[] = []
  for (let round = 0; round < rounds; round++) {
    delays.push(await timed(async () => (await fetch(`${url}/health`)).text()))
    await sleep(10)
  }
  return delays
}
