import type { Ending } from '../attempts/outcome.ts'
import { type Bereft, takeUp } from '../attempts/recovery.ts'
import type { Launch } from '../attempts/start-failure.ts'
import { AgentProcess, type AgentProcessOptions } from './agent-process.ts'
import type { News } from './news.ts'

export interface HeardProcessOptions extends Omit<AgentProcessOptions, 'onSaid' | 'onEnd'> {
  /** Its end is news at once. */
  news: News
  /** It is there: begun, or found alive. */
  onRunning(pid: number, startedAtMs: number): void
  onLine(line: string): void
  /** It has ended, and all that it said is handed out. */
  onEnd(ending: Ending): Promise<void>
  onUnkept(message: string): void
}

/** A process of an agent that is listened to, line by line, to its end. It may be one of an earlier runner's. */
export class HeardProcess {
  readonly #options: HeardProcessOptions
  readonly #process: AgentProcess
  #listening = false
  #reading = false
  #readAgain = false
  #ending: Ending | undefined

  constructor(options: HeardProcessOptions) {
    this.#options = options
    this.#process = new AgentProcess({
      ...options,
      onSaid: () => {
        if (this.#process.output.refresh()) this.hear()
      },
      onEnd: (ending) => {
        this.#ending ??= ending
        options.news.come()
        this.hear()
      },
    })
  }

  /** Bytes of the lines handed out. */
  get offset(): number {
    return this.#process.wire.offset
  }
  get ended(): boolean {
    return this.#ending !== undefined
  }

  /** A failure to start it is its end. */
  begin(launch: Launch, claim: number): void {
    this.#listening = true
    const pid = this.#process.begin(launch, claim)
    if (pid !== undefined) this.#options.onRunning(pid, Date.now())
  }

  /** Hands out again what an earlier runner had read by then; `all`: it was the end. */
  async replay(offset: number, all: boolean): Promise<void> {
    const again = (line: string) => {
      this.#options.onLine(line)
      return true
    }
    await this.#process.wire.read(offset, again, all)
  }

  /**
   * Looks for what an earlier runner began, and hands out what that had not kept. `claim`: it never ran, and is to be
   * begun under this one. `hear` follows.
   */
  async takeUp(attempt: Pick<Bereft, 'cause' | 'finish'>): Promise<{ alive: boolean; claim?: number }> {
    const { mark, onRunning } = this.#options
    const { folder, process, output } = this.#process
    let alive = false
    let claim: number | undefined
    const bereft: Bereft = {
      ...attempt,
      mark,
      watch: (wrapper, atMs) => {
        alive = true
        process.watch(wrapper)
        onRunning(wrapper.pid, atMs)
      },
      settle: (pid) => process.settle(pid),
    }
    this.#listening = true
    this.#reading = true
    await takeUp(bereft, folder, (next) => {
      claim = next
    })
    // What the earlier runner had read, and may have answered, comes before anything that is new.
    await this.#handOut(output.size)
    this.#reading = false
    return { alive, claim }
  }

  /** Now and then. True: it has said something. */
  poll(): boolean {
    this.#process.process.poll()
    const spoke = this.#process.output.refresh()
    if (spoke) this.hear()
    return spoke
  }

  /** Reads what it has said, one call at a time. */
  hear(): void {
    this.#readAgain = true
    if (this.#reading || !this.#listening) return
    this.#reading = true
    void this.#read()
      .catch((error) =>
        this.#options.onUnkept(`What the agent says could not be read: ${(error as Error).message}.`),
      )
      .finally(() => {
        this.#reading = false
        if (this.#readAgain) this.hear()
      })
  }

  send(line: string): void {
    try {
      this.#process.input.send(line)
    } catch (error) {
      this.#options.onUnkept(`What the agent is told could not be kept: ${(error as Error).message}.`)
    }
  }

  /** What it says from now on is nothing to anyone. */
  ignore(): void {
    this.#listening = false
  }

  endInput(): void {
    this.#process.endInput()
  }

  /** False where something of it survives. */
  stop(graceMs: number): Promise<boolean> {
    return this.#process.process.stop(graceMs)
  }

  /** It goes on. May be called twice. */
  close(): void {
    this.#listening = false
    this.#process.close()
  }

  async #read(): Promise<void> {
    this.#readAgain = false
    // Asked for before the size: all that was said before the end is read before it.
    const ending = this.#ending
    const { output } = this.#process
    output.refresh()
    await this.#handOut(output.size, ending !== undefined)
    if (ending !== undefined && this.#listening) await this.#options.onEnd(ending)
  }

  async #handOut(end: number, all = false): Promise<void> {
    const hand = (line: string) => {
      this.#options.onLine(line)
      return this.#listening
    }
    await this.#process.wire.read(end, hand, all)
  }
}
