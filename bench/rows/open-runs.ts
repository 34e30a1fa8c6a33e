import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Health } from '../../src/contract/run-api.ts'
import { seedOpenRuns } from '../../test/support/open-runs.ts'
import { freePort } from '../../test/support/programs.ts'
import { errand, residentMb } from '../hub.ts'
import type { Row } from '../measure.ts'

const COUNT = 100_000

/** Measures a hub that starts with many open runs: time to its first answer, answer times, time to finish, memory. */
export async function openRuns(): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'errand-bench-'))
  try {
    const [empty, full] = [join(folder, 'empty'), join(folder, 'full')]
    await seedOpenRuns(empty, 1)
    await seedOpenRuns(full, COUNT)
    const alone = await start(empty)
    const many = await start(full)
    return [
      {
        name: `the first answer of a hub that starts with ${COUNT} open runs`,
        unit: 'ms',
        value: many.firstMs,
        baseline: { what: 'with one', value: alone.firstMs },
        budget: { what: '<= 2,000 ms', holds: many.firstMs <= 2_000 },
        details: { 'slowest health meanwhile, ms': many.slowestMs, 'all taken up, ms': many.allMs },
      },
      {
        name: `a hub with ${COUNT} open runs, taken up`,
        unit: 'MB',
        value: many.mb,
        baseline: { what: 'with one', value: alone.mb },
        budget: { what: '<= 400 MB', holds: many.mb <= 400 },
      },
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function start(data: string) {
  const place = `${data}-started`
  await cp(data, place, { recursive: true })
  const port = await freePort()
  const beganMs = performance.now()
  const hub = spawn(errand, ['up', '--no-runner', '--port', String(port), '--data', place], {
    stdio: 'ignore',
  })
  try {
    let firstMs: number | undefined
    let slowestMs = 0
    for (;;) {
      const requestedMs = performance.now()
      const health = await fetch(`http://127.0.0.1:${port}/health`).then(
        (answer) => answer.json() as Promise<Health>,
        () => undefined,
      )
      if (hub.exitCode !== null) throw new Error('the hub has ended')
      if (health) {
        if (firstMs === undefined) firstMs = performance.now() - beganMs
        else slowestMs = Math.max(slowestMs, performance.now() - requestedMs)
        if (!health.taking_up) break
      }
      await sleep(10)
    }
    const allMs = performance.now() - beganMs
    // Until then, the memory that only the start needed is released.
    await sleep(5_000)
    return { firstMs, slowestMs, allMs, mb: await residentMb(hub.pid!) }
  } finally {
    hub.kill('SIGKILL')
    await once(hub, 'exit')
  }
}
