import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type {
  Agent,
  AgentProtocol,
  Attached,
  Program,
  ProtocolFailure,
  SessionRequest,
} from '../../src/agents/agent.ts'
import type { AgentUpdate, AgentUpdateOf } from '../../src/contract/agent.ts'
import { endTree } from '../../src/platform/child-tree.ts'
import { signal, treeMembers } from '../../src/platform/proc.ts'
import { patience } from './patience.ts'

/** A generous deadline: the first start of a CLI may take long on a loaded machine. */
const DEADLINE_MS = 120_000

/** A call on the protocol. All calls, in order, suffice to replay the conversation. */
type Call = (protocol: AgentProtocol) => void

/** Runs one process of an agent with plain pipes, as a runner does, but without a runner's durability. */
export class AgentBench {
  readonly updates: AgentUpdate[] = []
  readonly sent: string[] = []
  readonly lines: string[] = []
  readonly request: SessionRequest
  failure: ProtocolFailure | undefined
  readyCount = 0
  exit: { code?: number; signal?: string; stderr: string } | undefined
  readonly #agent: Agent
  readonly #child: ChildProcess
  readonly #protocol: AgentProtocol
  readonly #calls: Call[] = []
  readonly #mark: string
  readonly #waiting = new Set<() => void>()
  #stderr = ''
  #prompts = 0

  constructor(agent: Agent, program: Program, request: SessionRequest) {
    this.#agent = agent
    this.request = request
    const launch = agent.launch(request, program)
    for (const file of launch.files ?? []) {
      mkdirSync(dirname(file.path), { recursive: true })
      writeFileSync(file.path, file.content, { mode: 0o600 })
    }
    this.#mark = `ERRAND_BENCH=${randomUUID()}`
    const [name = '', value] = this.#mark.split('=')
    // Below its home, because some agents unpack megabytes there at every start and leave them.
    const temp = join(request.home, 'temp')
    mkdirSync(temp, { recursive: true })
    const env = {
      PATH: process.env.PATH,
      HOME: join(request.home, 'user'),
      LANG: 'C.UTF-8',
      ...request.env,
      TMPDIR: temp,
      ...launch.env,
      [name]: value,
    }
    const { cwd } = request
    this.#child = spawn(launch.program ?? program.path, launch.args, { cwd, detached: true, env })
    const { pid } = this.#child
    const killNow = () => void (pid !== undefined && signal(-pid, 'SIGKILL'))
    // Runs before its folder is removed.
    process.prependOnceListener('exit', killNow)
    this.#child.stdin?.on('error', () => {}) // the program may be gone, which `exited` reports
    this.#child.stderr?.on('data', (chunk) => {
      this.#stderr = (this.#stderr + chunk).slice(-20_000)
    })
    this.#protocol = agent.protocol(request, {
      send: (line) => {
        this.sent.push(line)
        this.#child.stdin?.write(`${line}\n`)
      },
      update: (update) => void this.updates.push(update),
      ready: () => void this.readyCount++,
      failed: (failure) => {
        this.failure = failure
      },
    })
    const lines = createInterface({ input: this.#child.stdout! })
    lines.on('line', (text) => {
      this.lines.push(text)
      this.#call((protocol) => protocol.line(text))
    })
    // Resolves when both have happened: the last line is read and the process is gone.
    const ended = (code: number | null, killedBy: string | null) => {
      process.off('exit', killNow)
      this.exit = { code: code ?? undefined, signal: killedBy ?? undefined, stderr: this.#stderr }
      const exit = this.exit
      this.#call((protocol) => protocol.exited(exit))
    }
    this.#child.on('error', (error) => {
      this.#stderr += error.message
      ended(127, null)
    })
    this.#child.on('close', (code, killedBy) => {
      if (this.exit === undefined) ended(code, killedBy)
    })
    this.#call((protocol) => protocol.begin())
  }

  #call(call: Call): void {
    this.#calls.push(call)
    call(this.#protocol)
    for (const look of this.#waiting) look()
  }

  /** Sends a prompt once the agent is ready for it; resolves with the updates of its turn. */
  async turn(text: string, attached?: readonly Attached[]): Promise<AgentUpdate[]> {
    const from = await this.prompt(text, attached)
    await this.turnEnded()
    return this.updates.slice(from)
  }

  /** Sends a prompt. Resolves with the index of its first update, without waiting for the end of the turn. */
  async prompt(text: string, attached?: readonly Attached[]): Promise<number> {
    const index = this.#prompts
    await this.until(() => this.readyCount > index || this.failure !== undefined || this.exit !== undefined)
    if (this.readyCount <= index) throw new Error(`not ready: ${this.describe()}`)
    this.#prompts++
    const from = this.updates.length
    this.#call((protocol) => protocol.prompt(text, attached))
    return from
  }

  /** Waits for the end of the last prompt's turn. */
  async turnEnded(): Promise<AgentUpdateOf<'turn_ended'>> {
    const ends = () => this.updates.filter((each) => each.kind === 'turn_ended')
    await this.until(() => ends().length >= this.#prompts)
    return ends()[this.#prompts - 1]!
  }

  /** Resolves with the first matching update at or after the index `from`. */
  async waitFor<K extends AgentUpdate['kind']>(
    kind: K,
    fits: (update: AgentUpdateOf<K>) => boolean = () => true,
    from = 0,
  ): Promise<AgentUpdateOf<K>> {
    const find = () =>
      this.updates
        .slice(from)
        .find((each): each is AgentUpdateOf<K> => each.kind === kind && fits(each as AgentUpdateOf<K>))
    await this.until(() => find() !== undefined || this.exit !== undefined)
    const found = find()
    if (found === undefined) throw new Error(`no ${kind} update: ${this.describe()}`)
    return found
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    this.#call((protocol) => protocol.answer(requestId, decision))
  }

  /** Sets the model. If the agent refuses, resolves with its message. */
  setModel(model: string): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>()
    this.#call((protocol) => protocol.setModel!(model, resolve))
    return promise
  }

  cancelTurn(): void {
    this.#call((protocol) => protocol.cancelTurn())
  }

  /**
   * Ends the input, as a runner does when it closes a session. Resolves with false if the program does not exit by
   * itself.
   */
  async close(withinMs = 10_000): Promise<boolean> {
    this.#child.stdin?.end()
    await this.until(() => this.exit !== undefined, withinMs).catch(() => undefined)
    return this.exit !== undefined
  }

  /** Sends SIGTERM and then SIGKILL to everything that the program started. Resolves when all of it is gone. */
  async kill(graceMs = 2000): Promise<void> {
    await endTree({ group: this.#child.pid, mark: this.#mark }, graceMs)
    await this.until(() => this.exit !== undefined)
  }

  /** Returns the live processes of the program's tree. */
  processes(): number[] {
    return treeMembers({ group: this.#child.pid, mark: this.#mark }).map((each) => each.pid)
  }

  /** Makes the same calls on a fresh protocol, as a restarted runner does. */
  replay(): { sent: string[]; updates: AgentUpdate[]; failure?: ProtocolFailure } {
    const again: ReturnType<AgentBench['replay']> = { sent: [], updates: [] }
    const protocol = this.#agent.protocol(this.request, {
      send: (line) => void again.sent.push(line),
      update: (update) => void again.updates.push(update),
      ready: () => {},
      failed: (failure) => {
        again.failure = failure
      },
    })
    for (const call of this.#calls) call(protocol)
    return again
  }

  async until(condition: () => boolean, withinMs = DEADLINE_MS): Promise<void> {
    const startMs = performance.now()
    while (!condition()) {
      if (performance.now() - startMs > withinMs * patience())
        throw new Error(`waited ${withinMs} ms in vain: ${this.describe()}`)
      await this.#news()
    }
  }

  /** Waits until the program sends something, or 10 ms, so that other conditions are checked too. */
  async #news(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    const timer = setTimeout(resolve, 10)
    await promise
    clearTimeout(timer)
    this.#waiting.delete(resolve)
  }

  /** Describes the state for the message of a failed test. */
  describe(): string {
    const tail = (list: readonly unknown[]) =>
      list.slice(-12).map((each) => JSON.stringify(each).slice(0, 600))
    return [
      `failure ${JSON.stringify(this.failure)}, exit ${JSON.stringify(this.exit)}`,
      ...['updates:', ...tail(this.updates), 'sent:', ...tail(this.sent), 'lines:', ...tail(this.lines)],
      `stderr: ${this.#stderr.slice(-2000)}`,
    ].join('\n')
  }
}

export interface BenchFolder {
  cwd: string
  home: string
  /**
   * Runs `close` before the folder is removed. The last one registered runs first. A failing one does not stop the
   * others.
   */
  atEnd(close: () => unknown): void
  /** Removes the folder; may be called twice. When everything is done, rejects with the first failure, if any. */
  remove(): Promise<void>
}

/**
 * Creates a folder for one session, with `cwd` and `home` in it. It is removed with the test, even if that fails or is
 * ended.
 */
export function benchFolder(test?: { after(hook: () => Promise<void>): void }): BenchFolder {
  const folder = mkdtempSync(join(tmpdir(), 'errand-agent-'))
  const closers: (() => unknown)[] = []
  const removeNow = () => rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  // A process that a signal ends does not emit `exit`.
  const exit = () => process.exit(1)
  const remove = async () => {
    const failures: unknown[] = []
    for (let close = closers.pop(); close; close = closers.pop())
      try {
        await close()
      } catch (error) {
        failures.push(error)
      }
    removeNow()
    process.off('exit', removeNow).off('SIGTERM', exit).off('SIGINT', exit)
    if (failures.length > 0) throw failures[0]
  }
  test?.after(remove)
  process.once('exit', removeNow).once('SIGTERM', exit).once('SIGINT', exit)
  const [cwd, home] = [join(folder, 'cwd'), join(folder, 'home')]
  mkdirSync(cwd)
  mkdirSync(home)
  return { cwd, home, atEnd: (close) => void closers.push(close), remove }
}

/** Joins the texts of all updates of one kind. */
export function textOf(updates: readonly AgentUpdate[], kind: 'message' | 'thought' = 'message'): string {
  return updates.map((each) => (each.kind === kind ? each.text : '')).join('')
}
