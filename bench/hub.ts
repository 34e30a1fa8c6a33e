import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ErrandClient } from '../src/client/client.ts'

export const errand = fileURLToPath(new URL('../bin/errand', import.meta.url))

export interface BenchHub {
  client: ErrandClient
  url: string
  token: string
  /** Process ids of the hub and of its runner. */
  hubPid: number
  runnerPid: number
  /** Address of the hub's inspector, if it was requested. */
  inspectUrl: string | undefined
  stop(): Promise<void>
}

/** Raised limit, as all readers of the benchmark belong to one user. */
const MANY_READERS = { ERRAND_MAX_READERS: '2000' }

/** Starts `errand up` on a free port with its own data folder. `inspect`: its heap can be inspected. */
export async function startHub({
  inspect = false,
  env = {},
  data,
}: {
  inspect?: boolean
  /** Default: a folder that is removed when it stops. */
  data?: string
  env?: NodeJS.ProcessEnv
} = {}): Promise<BenchHub> {
  const folder = data ?? (await mkdtemp(join(tmpdir(), 'errand-bench-')))
  const child = spawn(errand, ['up', '--port', '0', '--data', folder, '--allow-dir', tmpdir()], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ...(inspect && { NODE_OPTIONS: '--inspect=127.0.0.1:0' }),
      ...MANY_READERS,
      ...env,
    },
  })
  let printed = ''
  child.stdout.on('data', (chunk) => (printed += chunk))
  child.stderr.on('data', (chunk) => (printed += chunk))
  const { url, token } = await until('errand up to listen', async () => {
    if (child.exitCode !== null) throw new Error(`errand up ended:\n${printed}`)
    return JSON.parse(await readFile(join(folder, 'local.json'), 'utf8').catch(() => 'null')) as {
      url: string
      token: string
    } | null
  })
  const client = new ErrandClient({ url, token })
  await until('its runner', async () =>
    (await client.runners.list()).find(({ status }) => status === 'connected'),
  )
  const runnerPid = await until('the runner process', () => childOf(child.pid!))
  return {
    client,
    url,
    token,
    hubPid: child.pid!,
    runnerPid,
    inspectUrl: /ws:\/\/127\S+/.exec(printed)?.[0],
    stop: async () => {
      child.kill('SIGINT')
      await exited(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Starts one more runner, with its own group and its own folder. Returns a function that stops it. */
export async function startRunner(hub: BenchHub, group: string, slots: number): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'errand-bench-'))
  const { token } = await hub.client.tokens.create({ name: group, scope: 'runner' })
  const args = ['--url', hub.url, '--token', token, '--id', group, '--group', group, '--slots', String(slots)]
  const child = spawn(errand, ['runner', ...args, '--workspace', folder], { stdio: 'ignore' })
  await until(`the runner ${group}`, async () =>
    (await hub.client.runners.list()).find((runner) => runner.id === group && runner.status === 'connected'),
  )
  return async () => {
    child.kill('SIGTERM')
    await exited(child)
    await rm(folder, { recursive: true, force: true })
  }
}

async function childOf(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return Number(text.trim().split(' ')[0]) || undefined
}

/** Returns the resident memory of a process, in MB (10^6 bytes). */
export async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return (Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024) / 1e6
}

function exited(child: ChildProcess): Promise<void> {
  return child.exitCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.on('close', () => resolve()))
}

async function until<T>(what: string, probe: () => Promise<T | null | undefined>): Promise<T> {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    const found = await probe()
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`Waited 30 s for ${what}.`)
}

/** Returns the milliseconds from a run's request to its first output, as a client sees it. Throws if the run fails. */
export async function outputMs(
  { client }: Pick<BenchHub, 'client'>,
  workflow: NonNullable<Parameters<BenchHub['client']['runs']['create']>[0]['workflow']>,
): Promise<number> {
  const started = performance.now()
  const { run_id } = await client.runs.create({ workflow })
  let ms = Number.NaN
  for await (const event of client.events(run_id)) {
    if (event.type === 'output' && Number.isNaN(ms)) ms = performance.now() - started
    if (event.type === 'run.finished' && event.status !== 'success')
      throw new Error(`Run ${run_id} is ${event.status}: ${JSON.stringify(event)}`)
  }
  return ms
}
