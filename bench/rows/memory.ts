import { spawn } from 'node:child_process'
import { type BenchHub, residentMb } from '../hub.ts'
import type { Row } from '../measure.ts'

/** Measures the resident memory of an idle hub and an idle runner, a few seconds after their start. */
export async function idleMemory(hub: BenchHub): Promise<Row[]> {
  await new Promise((resolve) => setTimeout(resolve, 5000))
  const bare = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], { stdio: 'ignore' })
  await new Promise((resolve) => setTimeout(resolve, 500))
  const baseline = { what: 'a Node that does nothing', value: await residentMb(bare.pid!) }
  bare.kill()
  const row = async (name: string, pid: number, mostMb: number): Promise<Row> => {
    const value = await residentMb(pid)
    return { name, unit: 'MB', value, baseline, budget: { what: `<= ${mostMb} MB`, holds: value <= mostMb } }
  }
  return [await row('idle hub', hub.hubPid, 90), await row('idle runner', hub.runnerPid, 70)]
}
