import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import type { RunView } from '../../src/contract/run.ts'
import { isFinalRun } from '../../src/contract/status.ts'
import { errandCommand, eventually, type Started } from './errand-command.ts'

/** A hub and a runner as separate processes, in one home folder, which is removed with the test. */
export interface Programs {
  home: string
  /** The hub's data folder. */
  data: string
  /** The folder of the runner that is started on its own. */
  runnerFolder: string
  url: string
  client: ErrandClient
  hub: Started
  runner: Started | undefined
  errand: ReturnType<typeof errandCommand>
  /** The environment with which `errand` finds this hub. */
  env: NodeJS.ProcessEnv
  startHub(): Promise<void>
  startRunner(): Promise<void>
  /** Sends `kill -9` and waits until they are gone. */
  kill(...which: ('hub' | 'runner')[]): Promise<void>
  call(...args: string[]): ReturnType<ReturnType<typeof errandCommand>['run']>
  /** Calls `errand` like `call`, in a folder. */
  callIn(cwd: string, ...args: string[]): ReturnType<ReturnType<typeof errandCommand>['run']>
  /** Waits for the end of a run, however often the hub is away meanwhile. */
  ended(runId: string): Promise<RunView>
}

export interface ProgramsOptions {
  /** `own`: the hub starts its runner itself; `apart` (default): `errand runner`; `none`. */
  runner?: 'own' | 'apart' | 'none'
  /** The slots of the runner that is started on its own; default 64. */
  slots?: number
  /** More arguments for the hub. */
  hubArgs?: string[]
  hubEnv?: NodeJS.ProcessEnv
  /** More variables for the runner that is started on its own. */
  runnerEnv?: NodeJS.ProcessEnv
  /** Words before the command of hub or runner, for a program that executes the command in its own place. */
  hubWithin?: readonly string[]
  runnerWithin?: readonly string[]
  /** Called before anything is started, with folders that do not exist yet. */
  prepare?(folders: { data: string; runnerFolder: string }): void
  /** The address that the hub listens on. */
  host?: string
}

export async function startPrograms(
  t: Pick<TestContext, 'after'>,
  options: ProgramsOptions = {},
): Promise<Programs> {
  const { runner: kind = 'apart', slots = 64, hubArgs = [], hubEnv, host = '127.0.0.1' } = options
  const { runnerEnv } = options
  // Registered before the hook that removes the folder: steps outlive what started them, and would continue to write
  // there.
  let over = false
  t.after(async () => {
    over = true
    await endProcessesOf(errand.home)
  })
  const refuseWhenOver = (): void => {
    if (over) throw new Error('the test is over: nothing is started any more')
  }
  const errand = errandCommand(t)
  const data = join(errand.home, 'data')
  const env = { ERRAND_DATA: data }
  const port = await freePort()
  const url = `http://${host}:${port}`
  const runnerFolder = kind === 'own' ? join(data, 'runner') : join(errand.home, 'runner')
  options.prepare?.({ data, runnerFolder })
  const programs: Programs = {
    home: errand.home,
    data,
    runnerFolder,
    url,
    client: new ErrandClient({ url }),
    hub: undefined!,
    runner: undefined,
    errand,
    env,
    async startHub() {
      refuseWhenOver()
      const args = [
        'up',
        '--host',
        host,
        '--port',
        String(port),
        ...hubArgs,
        ...(kind === 'own' ? [] : ['--no-runner']),
      ]
      const hub = errand.start(args, { env: { ...env, ...hubEnv }, within: options.hubWithin })
      programs.hub = hub
      await hub.until(kind === 'own' ? 'Connected to the hub' : 'Errand is up')
    },
    async startRunner() {
      refuseWhenOver()
      const token = readFileSync(join(data, 'runner-token'), 'utf8').trim()
      const args = ['runner', '--id', 'apart', '--workspace', runnerFolder, '--slots', String(slots)]
      const runner = errand.start(args, {
        env: { ERRAND_HUB_URL: url, ERRAND_TOKEN: token, ...runnerEnv },
        within: options.runnerWithin,
      })
      programs.runner = runner
      await eventually('the lock of the runner', () => existsSync(join(runnerFolder, 'lock')))
    },
    async kill(...which) {
      const killed = which.map((name) => programs[name]!)
      for (const { child } of killed) child.kill('SIGKILL')
      await Promise.all(killed.map(({ finished }) => finished))
    },
    call: (...args) => errand.run(args, { env }),
    callIn: (cwd, ...args) => errand.run(args, { env, cwd }),
    async ended(runId) {
      return await eventually(`the end of ${runId}`, async () => {
        const run = await programs.client.runs.get(runId).catch(() => undefined)
        return run !== undefined && isFinalRun(run.status) && run
      })
    },
  }
  await programs.startHub()
  programs.client = new ErrandClient({
    url,
    token: readFileSync(join(data, 'local-token'), 'utf8').trim(),
  })
  if (kind === 'apart') {
    await programs.startRunner()
    await programs.runner!.until('Connected to the hub')
  }
  return programs
}

/**
 * Returns a port that stays free during a restart. It is below the ports that the system assigns to connections, and
 * above those of the cluster that tests start.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(23_000, 32_000)
    const server = createServer().listen(port, '127.0.0.1')
    // Rejects if another process has the port.
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

/** Returns the ids of live processes whose environment or command line contains all of the texts. */
export function processesOf(...texts: string[]): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      const all = readProc(`${name}/environ`) + readProc(`${name}/cmdline`)
      return texts.every((text) => all.includes(text))
    })
    .map(Number)
}

/** Returns the guard processes, which wait for the end of the runners with this home folder. */
export const guardsOf = (home: string): number[] => processesOf(home, 'errand-guard')

/** Ends all processes that were started with this home folder, and their descendants. */
export async function endProcessesOf(home: string): Promise<void> {
  await eventually('the end of all processes', () => {
    const left = processesOf(home)
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended meanwhile.
      }
    }
    return left.length === 0
  })
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'latin1')
  } catch {
    return ''
  }
}

/** Returns the peak resident memory of a live process, in MB. */
export const peakMemoryMb = (pid: number): number =>
  Number(/VmHWM:\s+(\d+) kB/.exec(readProc(`${pid}/status`))?.[1] ?? 0) / 1024

/** Returns the id of the runner process that `errand up` has started. */
export function ownRunner(programs: Programs): number {
  const [pid] = processesOf(`--workspace\0${programs.runnerFolder}`)
  if (pid === undefined) throw new Error('the hub has no runner')
  return pid
}

export interface Step {
  name: string
  cmd?: string
  action?: string
  args?: Record<string, unknown>
  [key: string]: unknown
}

/** Returns the text of a workflow file, as JSON, which is YAML too. A step with `cmd` is a `cmd.run`. */
export function workflowText(steps: Step[], more: Record<string, unknown> = {}): string {
  const written = steps.map(({ cmd, ...step }) =>
    cmd === undefined ? step : { action: 'cmd.run', ...step, args: { cmd, ...step.args } },
  )
  return JSON.stringify({ version: 'v0.1', name: 'flow', steps: written, ...more }, undefined, 1)
}

export function writeWorkflow(path: string, steps: Step[], more?: Record<string, unknown>): string {
  writeFileSync(path, workflowText(steps, more))
  return path
}
