import { join } from 'node:path'
import type { Agent, AgentProtocol } from '../../agents/agent.ts'
import type { AgentStart } from './agent-start.ts'
import type { Connect } from './conversation.ts'
import { HeardProcess, type HeardProcessOptions } from './heard-process.ts'
import type { Launched } from './session-event.ts'

export interface AgentLaunchesOptions extends HeardProcessOptions {
  /** Folder of the attempt; each process has one in it. */
  path: string
  agent: Agent
  start: AgentStart
}

/** The processes of an agent, one after another. */
export class AgentLaunches {
  readonly #options: AgentLaunchesOptions
  #count = 0
  #last: Launched | undefined
  #process: HeardProcess | undefined

  constructor(options: AgentLaunchesOptions) {
    this.#options = options
  }

  /** Also where it is over. */
  get last(): Launched | undefined {
    return this.#last
  }
  /** What there is now. */
  get process(): HeardProcess | undefined {
    return this.#process
  }

  /** Makes ready for it; `connect` and `begin` follow. */
  launched(event: Launched): void {
    this.#last = event
    this.#count++
    this.#process?.close()
    this.#process = new HeardProcess({
      ...this.#options,
      path: join(this.#options.path, `process.${this.#count}`),
    })
  }

  readonly connect: Connect = (launched, port): AgentProtocol => {
    const { agent, start } = this.#options
    const process = this.#process
    return agent.protocol(start.request(launched), { ...port, send: (line) => process!.send(line) })
  }

  /** Throws `invalid_argument`. */
  begin(claim = 1): void {
    this.#process?.begin(this.#options.start.launch(this.#last!), claim)
  }

  /** There is nothing of it any more, or nothing to be heard. */
  over(): void {
    this.#process?.close()
    this.#process = undefined
  }

  /** A process goes on. May be called twice. */
  close(): void {
    this.#process?.close()
  }
}
