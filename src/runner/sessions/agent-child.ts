import { type FSWatcher, mkdirSync, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { hasMark, signal } from '../../platform/proc.ts'
import { TailFile } from '../../platform/tail-file.ts'
import { type Adoptable, adopt } from '../attempts/adopt.ts'
import { AttemptFolder } from '../attempts/attempt-folder.ts'
import type { Ending } from '../attempts/verdict.ts'
import { WrappedProcess } from '../attempts/wrapped-process.ts'
import type { Scope } from '../limits/scope.ts'
import type { Box } from '../sandbox/box.ts'
import type { Launch } from '../sandbox/launch.ts'
import { LineReader, LineWriter } from './line-files.ts'

export interface AgentChildOptions {
  /** Folder of this process; made where it is not there. */
  path: string
  mark: string
  /** The scope that the attempt's processes run in. */
  cage: Scope
  /** The box that they stand in, and the name that this one is enclosed under; absent: none. */
  box?: Box
  boxed?: string
  /** The attempt's standard error, which the program appends to. */
  stderr: TailFile
  /** Its end is news at once. */
  news: WaitUntil
  /** The process is there: begun, or found alive. */
  onRunning(pid: number, startedAtMs: number): void
  onLine(line: string): void
  /** The process has ended, and all that it said is handed out. */
  onEnd(ending: Ending): Promise<void>
  onUnkept(message: string): void
}

/**
 * A process of an agent, which may be one of an earlier runner's. Its pipes are files, so that what it says and what it
 * is told outlives this process; it is listened to, line by line, to its end.
 */
export class AgentChild {
  readonly #options: AgentChildOptions
  readonly #folder: AttemptFolder
  readonly #process: WrappedProcess
  readonly #output: TailFile
  readonly #lines: LineReader
  readonly #input: LineWriter
  #watcher: FSWatcher | undefined
  #listening = false
  #reading = false
  #readAgain = false
  #ending: Ending | undefined
  #endedAtMs: number | undefined

  constructor(options: AgentChildOptions) {
    const { path, mark, cage, box, boxed, news } = options
    this.#options = options
    mkdirSync(path, { recursive: true, mode: 0o700 })
    this.#folder = new AttemptFolder(path)
    this.#process = new WrappedProcess({
      folder: this.#folder,
      mark,
      cage,
      box,
      boxed,
      onEnd: (ending, endedAtMs = Date.now()) => {
        this.#ending ??= ending
        this.#endedAtMs ??= endedAtMs
        news.come()
        this.hear()
      },
    })
    this.#output = new TailFile(join(path, 'wire'))
    this.#lines = new LineReader(this.#output)
    this.#input = new LineWriter(join(path, 'input'))
    this.#watch()
  }

  /** Bytes of the lines handed out. */
  get offset(): number {
    return this.#lines.offset
  }
  get ended(): boolean {
    return this.#ending !== undefined
  }
  /** Also where no runner was there, or an earlier one. */
  get endedAtMs(): number | undefined {
    return this.#endedAtMs ?? this.#folder.exit()?.atMs
  }

  /** A failure to start it is its end. */
  begin(launch: Launch, claim: number): void {
    this.#listening = true
    const file = (name: string) => join(this.#folder.path, name)
    const pid = this.#process.begin(launch, claim, {
      stdoutFd: this.#output.fd,
      stderrFd: this.#options.stderr.fd,
      input: { file: file('input'), tail: file('tail') },
    })
    if (pid !== undefined) this.#options.onRunning(pid, Date.now())
  }

  /** Hands out again what an earlier runner had read by then; `all`: it was the end. */
  async replay(offset: number, all: boolean): Promise<void> {
    const again = (line: string) => {
      this.#options.onLine(line)
      return true
    }
    await this.#lines.read(offset, again, all)
  }

  /**
   * Looks for what an earlier runner began, and hands out what that had not kept. `claim`: it never ran, and is to be
   * begun under this one. `hear` follows.
   */
  async takeUp(attempt: Pick<Adoptable, 'cause' | 'finish'>): Promise<{ alive: boolean; claim?: number }> {
    const { mark, onRunning } = this.#options
    let alive = false
    let claim: number | undefined
    const bereft: Adoptable = {
      ...attempt,
      mark,
      watch: (wrapper, atMs) => {
        alive = true
        this.#process.watch(wrapper)
        onRunning(wrapper.pid, atMs)
      },
      settle: (pid) => this.#process.settle(pid),
    }
    this.#listening = true
    this.#reading = true
    await adopt(bereft, this.#folder, (next) => {
      claim = next
    })
    // What the earlier runner had read, and may have answered, comes before anything that is new.
    await this.#handOut(this.#output.size)
    this.#reading = false
    return { alive, claim }
  }

  /** Now and then. True: it has said something. */
  poll(): boolean {
    this.#process.poll()
    const spoke = this.#output.refresh()
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
      this.#input.send(line)
    } catch (error) {
      this.#options.onUnkept(`What the agent is told could not be kept: ${(error as Error).message}.`)
    }
  }

  /** Leaves aside all that the process says from now on. */
  ignore(): void {
    this.#listening = false
  }

  /** The end of its input: agents take that for a farewell. */
  endInput(): void {
    try {
      const pid = Number.parseInt(readFileSync(join(this.#folder.path, 'tail'), 'utf8'), 10)
      // Its number may be another's by now.
      if (pid > 1 && hasMark(pid, this.#options.mark)) signal(pid, 'SIGTERM')
    } catch {
      // It had not begun: there is nothing that waits for input.
    }
  }

  /** False where something of it survives. */
  stop(graceMs: number): Promise<boolean> {
    return this.#process.stop(graceMs)
  }

  /** Lets go of the process, which goes on. May be called twice. */
  close(): void {
    this.#listening = false
    this.#process.unref()
    this.#watcher?.close()
    this.#output.close()
    this.#input.close()
  }

  /** Tells at once that it has said something, where the system can say so; `poll` finds what that misses. */
  #watch(): void {
    try {
      this.#watcher = watch(this.#output.path, { persistent: false }, () => {
        if (this.#output.refresh()) this.hear()
      })
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      // The system watches no more files: looking now and then is slower, and enough.
    }
  }

  async #read(): Promise<void> {
    this.#readAgain = false
    // Asked for before the size: all that was said before the end is read before it.
    const ending = this.#ending
    this.#output.refresh()
    await this.#handOut(this.#output.size, ending !== undefined)
    if (ending !== undefined && this.#listening) await this.#options.onEnd(ending)
  }

  async #handOut(end: number, all = false): Promise<void> {
    const hand = (line: string) => {
      this.#options.onLine(line)
      return this.#listening
    }
    await this.#lines.read(end, hand, all)
  }
}

/** How often it is looked without any news. */
const LOOK_MS = 4

/** For one who waits for something: it is looked whether it is there at each news, and now and then. */
export class WaitUntil {
  #look: () => void = () => undefined

  come(): void {
    this.#look()
  }

  /** Until the condition holds, the time is over or the signal says so. Of several the last hears of news at once. */
  async until(condition: () => boolean, withinMs: number, stop: AbortSignal): Promise<void> {
    const until = performance.now() + withinMs
    while (!condition() && performance.now() < until && !stop.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#look = resolve
      const look = setTimeout(resolve, LOOK_MS)
      await promise
      clearTimeout(look)
    }
  }
}
