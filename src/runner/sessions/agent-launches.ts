import { join } from 'node:path'
import type { AgentProtocol } from '../../agents/agent.ts'
import { isInProcess, type KnownAgent } from './agent-services.ts'
import type { AgentStart } from './agent-start.ts'
import type { Connect } from './conversation.ts'
import { HeardProcess, type HeardProcessOptions } from './heard-process.ts'
import { InProcessTalk } from './in-process-talk.ts'
import type { Launched, SessionEvent } from './session-event.ts'

export interface AgentLaunchesOptions extends Omit<HeardProcessOptions, 'onRunning'> {
  /** Folder of the attempt; each process has one in it. */
  path: string
  agent: KnownAgent
  start: AgentStart
  /** It is there: begun, or found alive. No pid: within this process. */
  onRunning(pid: number | undefined, startedAtMs: number): void
  /** From an agent within this process. */
  onEvent(event: SessionEvent): void
}

/** The launches of an agent, one after another: each a process, or a talk within this one. */
export class AgentLaunches {
  readonly #options: AgentLaunchesOptions
  #count = 0
  #last: Launched | undefined
  #process: HeardProcess | undefined
  #talk: InProcessTalk | undefined

  constructor(options: AgentLaunchesOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#count
  }
  /** Also where it is over. */
  get last(): Launched | undefined {
    return this.#last
  }
  /** What there is now. */
  get process(): HeardProcess | undefined {
    return this.#process
  }
  get talk(): InProcessTalk | undefined {
    return this.#talk
  }

  /** Makes ready for it; `connect` and `begin` follow. */
  launched(event: Launched): void {
    const { agent, path } = this.#options
    this.#last = event
    this.#count++
    this.#process?.close()
    if (isInProcess(agent)) this.#process = undefined
    else this.#process = new HeardProcess({ ...this.#options, path: join(path, `process.${this.#count}`) })
  }

  readonly connect: Connect = (launched, port): AgentProtocol => {
    const { agent, start, onEvent } = this.#options
    const process = this.#process
    const request = start.request(launched)
    if (!isInProcess(agent)) return agent.protocol(request, { ...port, send: (line) => process!.send(line) })
    this.#talk = new InProcessTalk(agent, request, onEvent)
    return this.#talk
  }

  /** Throws `invalid_argument`. */
  begin(claim = 1): void {
    const { start, onRunning } = this.#options
    if (this.#talk) {
      onRunning(undefined, Date.now())
      this.#talk.start()
    } else this.#process?.begin(start.launch(this.#last!), claim)
  }

  /** There is nothing of it any more, or nothing to be heard. */
  over(): void {
    this.#process?.close()
    this.#process = undefined
    this.#talk = undefined
  }

  /** A process goes on, a talk ends. May be called twice. */
  async close(): Promise<void> {
    this.#process?.close()
    await this.#talk?.close()
  }
}
