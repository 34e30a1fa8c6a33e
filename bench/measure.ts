import { spawn } from 'node:child_process'

/** A line of the benchmark: a figure, and the baseline that was measured in the same run. */
export interface Row {
  name: string
  unit: string
  value: number
  /** The baseline of the ratio, and its figure in the same unit; absent if the budget is absolute. */
  baseline?: { what: string; value: number }
  budget: { what: string; holds: boolean }
  details?: Record<string, number>
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Returns the value that a share `q` (0 to 1) of the values does not exceed. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

/** Returns the milliseconds that a call takes. */
export async function timed(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await call()
  return performance.now() - start
}

export const shellCommand = 'echo hi'

/** Runs the baseline of every step: the same command, spawned from Node, with its output read. */
export function bareSpawn(command = shellCommand): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.resume()
    child.stderr.resume()
    child.on('error', reject)
    child.on('close', () => resolve())
  })
}

/** Returns the wall time in ms of a program that runs to its end. */
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
 * Measures both by turns, so that a busy moment of the machine affects both. Returns the median of each.
 */
export async function alternate(
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
