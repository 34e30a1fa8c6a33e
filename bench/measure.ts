import { spawn } from 'node:child_process'

/** One line of the benchmark: a figure beside the baseline that was taken in the same run. */
export interface Row {
  name: string
  unit: string
  value: number
  /** What the ratio is to, and its figure in the same unit; absent where the budget is absolute. */
  baseline?: { what: string; value: number }
  budget: { what: string; holds: boolean }
  details?: Record<string, number>
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** The value that a share `q` (0 to 1) of the values does not exceed. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

/** Milliseconds that a call takes. */
export async function timed(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await call()
  return performance.now() - start
}

export const shellCommand = 'echo hi'

/** What every step is measured against: the same command, spawned from Node with its output read. */
export function bareSpawn(command = shellCommand): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.resume()
    child.stderr.resume()
    child.on('error', reject)
    child.on('close', () => resolve())
  })
}

/** Wall time in ms of a program that is run to its end. */
export function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'ignore', env })
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0
        ? resolve(performance.now() - start)
        : reject(new Error(`${program} ${args.join(' ')} ended with ${code}`)),
    )
  })
}

/**
 * Takes both by turns, so that a noisy moment of the machine meets both; answers the median of each.
 */
export async function byTurns(
  rounds: number,
  value: () => Promise<number>,
  baseline: () => Promise<number>,
): Promise<{ value: number; baseline: number }> {
  const values: number[] = []
  const baselines: number[] = []
  for (let round = 0; round < rounds; round++) {
    baselines.push(await baseline())
    values.push(await value())
  }
  return { value: median(values), baseline: median(baselines) }
}
