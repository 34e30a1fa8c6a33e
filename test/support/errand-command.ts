import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { patience } from './patience.ts'

const program = join(import.meta.dirname, '../../bin/errand')

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

/** A started `errand`, with what it has printed so far. */
export interface Started {
  child: ChildProcessWithoutNullStreams
  printed: { stdout: string; stderr: string }
  /** Resolves when either stream has printed the text. */
  until(text: string | RegExp): Promise<void>
  finished: Promise<Finished>
}

/**
 * Gives the command line with its own home folder. The folder is removed with the test, and every started process is
 * ended.
 */
export function errandCommand(t: Pick<TestContext, 'after'>) {
  const home = mkdtempSync(join(tmpdir(), 'errand-e2e-'))
  const running = new Set<ChildProcessWithoutNullStreams>()
  t.after(async () => {
    for (const child of running) {
      child.kill('SIGTERM')
      const tooLong = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await once(child, 'close')
      clearTimeout(tooLong)
    }
    rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  })

  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    HOME: home,
    // Killed processes would leave their cgroups behind. Tests about cgroups ask for them.
    ERRAND_LIMITS: 'watchdog',
    // Most tests are about something else, and their stand-ins for agents run without a box. Tests about boxes ask for
    // them.
    ERRAND_ISOLATION: 'none',
    XDG_CACHE_HOME: join(import.meta.dirname, '../../node_modules/.cache/errand-tests'),
  }

  function start(
    args: readonly string[],
    options: { env?: NodeJS.ProcessEnv; stdin?: string; cwd?: string; within?: readonly string[] } = {},
  ): Started {
    // `within`: words before the command, for a program that executes the command in its own place.
    const [first, ...words] = [...(options.within ?? []), program, ...args]
    const child = spawn(first!, words, { env: { ...env, ...options.env }, cwd: options.cwd })
    running.add(child)
    const printed = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text) => (printed.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (printed.stderr += text))
    child.stdin.on('error', () => {})
    if (options.stdin !== undefined) child.stdin.end(options.stdin)
    const finished = once(child, 'close').then(([code]) => {
      running.delete(child)
      return { code: code as number | null, ...printed }
    })
    const isOpen = (): boolean => running.has(child)
    return { child, printed, until: (text) => until(printed, text, child, isOpen), finished }
  }

  /** Runs the command to its end. */
  const run = (args: readonly string[], options?: Parameters<typeof start>[1]): Promise<Finished> => {
    const started = start(args, options)
    if (options?.stdin === undefined) started.child.stdin.end()
    return started.finished
  }
  return { home, env, start, run }
}

async function until(
  printed: Started['printed'],
  text: string | RegExp,
  child: ChildProcessWithoutNullStreams,
  isOpen: () => boolean,
): Promise<void> {
  const startMs = Date.now()
  const there = (): boolean => {
    const all = `${printed.stdout}\n${printed.stderr}`
    return typeof text === 'string' ? all.includes(text) : text.test(all)
  }
  const report = waitReporter(`"${text}"`)
  while (!there()) {
    report()
    // The last output may arrive after the exit.
    if (!isOpen() || Date.now() - startMs > 180_000 * patience()) {
      throw new Error(
        `"${text}" was not printed (exit code ${child.exitCode}):\n${printed.stdout}\n${printed.stderr}`,
      )
    }
    await sleep(10)
  }
}

/**
 * Returns a function to call while waiting. It prints a line every minute, because a test file that is silent for too
 * long is ended.
 */
function waitReporter(what: string): () => void {
  let reportedMs = Date.now()
  return () => {
    if (Date.now() - reportedMs < 60_000) return
    reportedMs = Date.now()
    console.log(`Still waiting for ${what}.`)
  }
}

/** Waits until the condition holds: for three minutes, longer on a busy machine. */
export async function eventually<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const startMs = Date.now()
  const report = waitReporter(what)
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() - startMs > 180_000 * patience()) throw new Error(`${what} did not come to be`)
    report()
    await sleep(20)
  }
}
