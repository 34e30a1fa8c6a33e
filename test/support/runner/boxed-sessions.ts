import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { builtinActionRegistry } from '../../../src/actions/registry.ts'
import { checkQuestions } from '../../../src/agents/ask-check/ask-check.ts'
import { agentsFolder } from '../../../src/agents/install/native-binary.ts'
import { agentRegistry } from '../../../src/agents/registry.ts'
import type { AttemptSpec } from '../../../src/contract/attempt.ts'
import type { Network } from '../../../src/contract/isolation.ts'
import { openAttempts } from '../../../src/runner/open-attempts.ts'
import type { Attempts } from '../../../src/runner/ports.ts'
import { ProxySupervisor } from '../../../src/runner/proxy/proxy-supervisor.ts'
import { Boxes } from '../../../src/runner/sandbox/boxes.ts'
import { findBubblewrap } from '../../../src/runner/sandbox/probe.ts'
import { attemptSpec } from './attempt-fixture.ts'

/** Sessions with real agents in boxes, with their own proxy, in folders that are removed at the end. */

/** The options of a runner, which any process can start. */
export interface BoxedRunner {
  path: string
  /** The machine's environment. */
  env: Record<string, string>
  network: Network
  /** Paths that each box can read. */
  readable: readonly string[]
  /** Whether the program should ask before it uses a tool. */
  asks?: boolean
  signIn?: 'copy' | 'none'
  models?: readonly string[]
}

export interface BoxedPlace {
  path: string
  workspace: string
  runner: BoxedRunner
  /** Opens the attempts in this process. They are closed by `close` or after the test. */
  open(): Promise<Attempts>
  close(): Promise<void>
  /**
   * Starts these attempts with a runner in another process. The returned function kills it, as a power failure would.
   */
  other(specs: readonly AttemptSpec[]): Promise<() => Promise<void>>
  proxyPid(): number
  spec(agent: string, args: object, more?: Partial<AttemptSpec>): AttemptSpec
}

/** Opens the attempts of a runner whose agents run in boxes. */
export async function openBoxed({
  path,
  env,
  network,
  readable,
  asks,
  signIn,
  models,
}: BoxedRunner): Promise<Attempts> {
  const bubblewrap = await findBubblewrap({ env: process.env })
  const supervisor = new ProxySupervisor({ folder: join(path, 'proxy') })
  const boxes = new Boxes({
    stateDir: join(path, 'sandbox'),
    bubblewrap,
    least: 'auto',
    network,
    mounts: { writable: [], readable },
    hidden: [],
    supervisor,
  })
  const attempts = openAttempts({
    dir: join(path, 'attempts'),
    workspaceDir: join(path, 'workspaces'),
    registry: builtinActionRegistry,
    timeoutGraceMs: 100,
    env,
    boxes,
    agents: {
      known: agentRegistry,
      folder: agentsFolder(process.env),
      sessionsDir: join(path, 'sessions'),
      allowedDirs: [],
      checkQuestions: asks ? checkQuestions : undefined,
      signIn,
      models,
    },
  })
  return Object.assign(attempts, { supervisor })
}

const OTHER = `
import { openBoxed } from ${JSON.stringify(import.meta.filename)}
const [runner, specs] = process.argv.slice(1).map((text) => JSON.parse(text))
const attempts = await openBoxed(runner)
await attempts.recover()
for (const spec of specs) await attempts.start(spec, 1)
process.stdout.write('started\\n')
setInterval(() => {}, 1000)
`

export function boxedPlace(
  context: TestContext,
  { env = {}, network = 'models', readable = [], ...more }: Partial<Omit<BoxedRunner, 'path'>> = {},
): BoxedPlace {
  const path = mkdtempSync(join(tmpdir(), 'errand-boxed-'))
  const user = join(path, 'user')
  mkdirSync(user)
  const base = { PATH: process.env.PATH ?? '', HOME: user, LANG: 'C.UTF-8' }
  const runner: BoxedRunner = { ...more, path, env: { ...base, ...env }, network, readable }
  const closers: (() => Promise<void>)[] = []
  const close = async () => {
    for (const each of closers.splice(0)) await each()
  }
  const proxyPid = () => JSON.parse(readFileSync(join(path, 'proxy', 'lock'), 'utf8')).pid as number
  const others: (() => Promise<void>)[] = []
  context.after(async () => {
    await close()
    for (const kill of others) await kill()
    // A failed test leaves processes that outlive its runner.
    if (existsSync(join(path, 'attempts'))) {
      const left = await openBoxed(runner)
      for (const held of await left.recover()) await held.release()
      await left.close()
    }
    try {
      process.kill(proxyPid(), 'SIGKILL')
    } catch {
      // There was none, or it has ended.
    }
    rmSync(path, { recursive: true, force: true, maxRetries: 10 })
  })
  return {
    path,
    workspace: join(path, 'workspaces', 'run_test'),
    runner,
    proxyPid,
    async open() {
      const attempts = (await openBoxed(runner)) as Attempts & { supervisor: ProxySupervisor }
      closers.push(async () => {
        for (const held of attempts.all()) await held.release()
        await attempts.close()
        attempts.supervisor.stop()
      })
      return attempts
    },
    close,
    async other(specs) {
      const args = ['--input-type=module', '-e', OTHER, JSON.stringify(runner), JSON.stringify(specs)]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      const exited = once(child, 'exit')
      const kill = async () => {
        child.kill('SIGKILL')
        await exited
      }
      others.push(kill)
      await once(child.stdout, 'data')
      return kill
    },
    spec: (agent, args, more) => attemptSpec('agent.run', { agent, ...args }, more),
  }
}
