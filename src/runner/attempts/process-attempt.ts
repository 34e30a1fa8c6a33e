import { messageOf } from '../../contract/errors.ts'
import { FolderAttempt, type FolderAttemptOptions } from './folder-attempt.ts'
import type { Cause, Ending } from './outcome.ts'
import type { Launch } from './start-failure.ts'
import { type FoundWrapper, WrappedProcess } from './wrapped-process.ts'

/** An attempt whose process writes into the attempt's folder, and so outlives this process. */
export class ProcessAttempt extends FolderAttempt {
  readonly #process: WrappedProcess
  #stopping = false

  /** Takes in what the folder holds; starts and watches nothing. */
  constructor(options: FolderAttemptOptions) {
    super(options)
    this.#process = new WrappedProcess({
      folder: this.folder,
      mark: this.mark,
      cage: this.cage,
      onEnd: (ending, endedAtMs) => void this.finish(ending, endedAtMs),
    })
  }

  /** Starts the process under this claim. A failure to do so is the attempt's end, not an error. */
  begin(launch: Launch, claim: number, script?: string): void {
    const { stdout, stderr } = this.output.files
    const pid = this.#process.begin(launch, claim, { script, stdoutFd: stdout.fd, stderrFd: stderr.fd })
    if (pid !== undefined) this.running(pid, Date.now())
  }

  /** Watches a process that an earlier runner started. */
  watch(wrapper: FoundWrapper, startedAtMs: number): void {
    this.#process.watch(wrapper)
    this.running(wrapper.pid, startedAtMs)
    if (this.cause !== undefined) this.stop(this.cause, this.timeoutGraceMs)
  }

  /** Takes in the end of a process that ended while no runner watched. */
  async settle(wrapperPid: number): Promise<void> {
    await this.#process.settle(wrapperPid)
  }

  /** What an earlier process of this runner left of it cannot be read: nothing of it goes on. */
  async giveUp(error: unknown): Promise<void> {
    await this.endAll()
    await this.finish({ type: 'lost', why: `What is left of it could not be read: ${messageOf(error)}.` })
  }

  /** Now and then, by the poller. */
  poll(): boolean {
    const grown = this.output.refresh()
    if (grown) this.journal.changed()
    this.#process.poll()
    this.lookAtLimits()
    return grown
  }

  /** Stops watching; the process goes on. */
  override close(): void {
    this.#process.unref()
    super.close()
  }

  protected override stop(cause: Cause, graceMs: number): void {
    if (this.finishing || this.closed) return
    if (this.#stopping) {
      // A second order can only make it quicker.
      void this.#process.stop(graceMs)
      return
    }
    this.#stopping = true
    this.keepCause(cause)
    void this.#process.stop(graceMs).then(() => this.finish(this.#process.endingFound()))
  }

  protected override sweep(ending: Ending): Promise<boolean> | undefined {
    if (ending.type === 'start_failed') return undefined
    // Past a limit nothing is left alone, not even what has left the group.
    return this.cause?.type === 'failed' ? this.#process.stop(0) : this.#process.sweep()
  }
}
