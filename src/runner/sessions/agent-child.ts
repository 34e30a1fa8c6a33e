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
  /** Folder of this process; created if it does not exist. */
  path: string
  mark: string
  /** Scope that the attempt's processes run in. */
  cage: Scope
  /** Box that they run in, and the name that this process is enclosed under; absent if there is none. */
  box?: Box
  boxed?: string
  /** Standard error of the attempt, which the program appends to. */
  stderr: TailFile
  /** Notified at once when the process ends. */
  news: WaitUntil
  /** Called when the process runs: it was started, or found alive. */
  onRunning(pid: number, startedAtMs: number): void
  onLine(line: string): void
  /** Called when the process has ended and all of its lines were passed on. */
  onEnd(ending: Ending): Promise<void>
  onUnwritten(message: string): void
}

/**
 * Runs a process of an agent, or continues one of an earlier runner. Its pipes are files, so its input and output
 * outlive this process. Its output is read line by line, to its end.
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
        this.listen()
      },
    })
    this.#output = new TailFile(join(path, 'wire'))
    this.#lines = new LineReader(this.#output)
    this.#input = new LineWriter(join(path, 'input'))
    this.#watch()
  }

  /** Bytes of the lines passed on. */
  get offset(): number {
    return this.#lines.offset
  }
  get ended(): boolean {
    return this.#ending !== undefined
  }
  /** Time in ms when it ended, even if no runner or an earlier one was there. */
  get endedAtMs(): number | undefined {
    return this.#endedAtMs ?? this.#folder.exit()?.atMs
  }

  /** Starts the process; if that fails, that is its end. */
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

  /** Passes on again what an earlier runner had read by then; `all`: that was the end. */
  async replay(offset: number, all: boolean): Promise<void> {
    const again = (line: string) => {
      this.#options.onLine(line)
      return true
    }
    await this.#lines.read(offset, again, all)
  }

  /**
   * Adopts the process that an earlier runner began, and passes on what that runner had not stored. `claim` in the
   * result: it never ran, and is to begin under this claim. Call `hear` afterwards.
   */
  async resume(attempt: Pick<Adoptable, 'cause' | 'finish'>): Promise<{ alive: boolean; claim?: number }> {
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
    // What the earlier runner had read, and may have answered, comes before anything new.
    await this.#handOut(this.#output.size)
    this.#reading = false
    return { alive, claim }
  }

  /** Polls the process; returns whether it has written something. */
  poll(): boolean {
    this.#process.poll()
    const spoke = this.#output.refresh()
    if (spoke) this.listen()
    return spoke
  }

  /** Reads what it has written, one call at a time. */
  listen(): void {
    this.#readAgain = true
    if (this.#reading || !this.#listening) return
    this.#reading = true
    void this.#read()
      .catch((error) =>
        this.#options.onUnwritten(`The output of the agent could not be read: ${(error as Error).message}.`),
      )
      .finally(() => {
        this.#reading = false
        if (this.#readAgain) this.listen()
      })
  }

  send(line: string): void {
    try {
      this.#input.send(line)
    } catch (error) {
      this.#options.onUnwritten(`The input for the agent could not be stored: ${(error as Error).message}.`)
    }
  }

  /** Ignores everything that the process writes from now on. */
  ignore(): void {
    this.#listening = false
  }

  /** Ends its input: agents take that as the signal to end. */
  endInput(): void {
    try {
      const pid = Number.parseInt(readFileSync(join(this.#folder.path, 'tail'), 'utf8'), 10)
      // Its number may be another process's by now.
      if (pid > 1 && hasMark(pid, this.#options.mark)) signal(pid, 'SIGTERM')
    } catch {
      // It had not begun: nothing waits for input.
    }
  }

  /** Ends the process; returns false if any of it survives. */
  stop(graceMs: number): Promise<boolean> {
    return this.#process.stop(graceMs)
  }

  /** Leaves the process running without this one. Idempotent. */
  close(): void {
    this.#listening = false
    this.#process.unref()
    this.#watcher?.close()
    this.#output.close()
    this.#input.close()
  }

  /** Reports new output at once if the system can watch the file; `poll` finds the rest. */
  #watch(): void {
    try {
      this.#watcher = watch(this.#output.path, { persistent: false }, () => {
        if (this.#output.refresh()) this.listen()
      })
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      // The system watches no more files: regular checks are slower, but sufficient.
    }
  }

  async #read(): Promise<void> {
    this.#readAgain = false
    // Read before the size, so that all output before the end is read first.
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

/** Milliseconds between checks without any news. */
const LOOK_MS = 4

/** Waits for a condition: checks it at each piece of news, and at intervals. */
export class WaitUntil {
  #look: () => void = () => undefined

  come(): void {
    this.#look()
  }

  /**
   * Waits until the condition holds, the time is over or the signal aborts. If several callers wait, only the last one
   * gets news at once.
   */
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
