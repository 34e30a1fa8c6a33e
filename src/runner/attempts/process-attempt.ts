import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import type { AttemptEnd, AttemptReport, StreamName } from '../../contract/attempt.ts'
import { endTree, sweepGroup } from '../../platform/process-ending.ts'
import { groupMembers, hasMark, isAlive, type ProcessTree } from '../../platform/process-tree.ts'
import type { HeldAttempt } from '../ports.ts'
import { attemptEnd } from './attempt-end.ts'
import type { AttemptFacts, AttemptFolder } from './attempt-folder.ts'
import { callAt } from './deadline.ts'
import { JournaledReports } from './journaled-reports.ts'
import type { Cause, Ending } from './outcome.ts'
import { outputFolder, placeOutputFiles } from './output-files.ts'
import type { Polled, Poller } from './poller.ts'
import { markOf } from './process-environment.ts'
import { ProcessOutput } from './process-output.ts'
import { checkLaunch, type Launch, startFailure } from './start-failure.ts'
import { NOT_CLAIMED, spawnWrapped } from './wrapper.ts'

/** For background processes of a command that has ended: long enough to say goodbye, too short to be waited for. */
const SWEEP_GRACE_MS = 300

export interface ProcessAttemptOptions {
  folder: AttemptFolder
  facts: AttemptFacts
  poller: Poller
  /** Between SIGTERM and SIGKILL where the timeout has passed. */
  timeoutGraceMs: number
  onReleased(): void
}

export interface WrapperProcess {
  pid: number
  start: string
}

/** An attempt whose process writes into the attempt's folder, and so outlives this process. */
export class ProcessAttempt implements HeldAttempt, Polled {
  readonly facts: AttemptFacts
  readonly #folder: AttemptFolder
  readonly #poller: Poller
  readonly #timeoutGraceMs: number
  readonly #onReleased: () => void
  readonly #reports: JournaledReports
  readonly #output: ProcessOutput
  readonly #force = new AbortController()
  #cause: Cause | undefined
  /** Set while a process found again, which is no child of this one, is watched. */
  #watched: WrapperProcess | undefined
  #child: ChildProcess | undefined
  #group: number | undefined
  #takeBackDeadline: () => void = () => undefined
  #stopping: Promise<boolean> | undefined
  #finishing = false
  #closed = false

  /** Takes in what the folder holds; starts and watches nothing. */
  constructor({ folder, facts, poller, timeoutGraceMs, onReleased }: ProcessAttemptOptions) {
    this.facts = facts
    this.#onReleased = onReleased
    this.#folder = folder
    this.#poller = poller
    this.#timeoutGraceMs = timeoutGraceMs
    this.#reports = new JournaledReports(folder.file('reports'))
    this.#cause = this.#reports.cause
    this.#output = new ProcessOutput(folder, facts.spec, facts.export_vars)
    const end = this.#reports.list.at(-1)
    if (end?.type !== 'ended') return
    for (const stream of ['stdout', 'stderr'] as const)
      this.#output.files[stream].freeze(end.streams?.[stream]?.length ?? 0)
    this.#letGo()
  }

  get spec() {
    return this.facts.spec
  }
  get epoch() {
    return this.facts.epoch
  }
  get reports(): readonly AttemptReport[] {
    return this.#reports.list
  }
  get ended() {
    return this.#reports.ended
  }
  /** Why it was to be ended, where the order was given before a restart. */
  get cause() {
    return this.#cause
  }

  length(stream: StreamName): number {
    return this.#output.files[stream].size
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return await this.#output.files[stream].read(offset, max)
  }

  onChange(listener: () => void): () => void {
    return this.#reports.onChange(listener)
  }

  /** Starts the process under this claim. A failure to do so is the attempt's end, not an error. */
  begin(launch: Launch, claim: number, script?: string): void {
    try {
      const program = checkLaunch(launch)
      const argv = [program, ...launch.argv.slice(1)]
      if (script !== undefined) {
        argv.push(this.#folder.file('script'))
        writeFileSync(this.#folder.file('script'), script, { mode: 0o600 })
      }
      const child = spawnWrapped({
        ...launch,
        argv,
        claimFile: this.#folder.file(`claim.${claim}`),
        exitFile: this.#folder.file('exit'),
        stdoutFd: this.#output.files.stdout.fd,
        stderrFd: this.#output.files.stderr.fd,
      })
      child.once(
        'error',
        (error) => void this.finish({ type: 'start_failed', message: startFailure(error, launch) }),
      )
      if (child.pid === undefined) return
      const { pid } = child
      this.#child = child
      child.once('exit', (code, signal) => this.#exited(code, signal))
      this.#run(pid, Date.now())
    } catch (error) {
      void this.finish({ type: 'start_failed', message: startFailure(error, launch) })
    }
  }

  /** Watches a process that an earlier runner started. */
  watch(wrapper: WrapperProcess, startedAtMs: number): void {
    this.#watched = wrapper
    this.#run(wrapper.pid, startedAtMs)
    if (this.#cause !== undefined) this.#stop(this.#cause, this.#timeoutGraceMs)
  }

  /** Takes in the end of a process that ended while no runner watched. */
  async settle(wrapperPid: number): Promise<void> {
    // By now the group's number may be another's.
    const ours = groupMembers(wrapperPid).some((pid) => hasMark(pid, markOf(this.facts.key)))
    this.#group = ours ? wrapperPid : undefined
    const exit = this.#folder.exit()
    if (exit !== undefined) return await this.finish({ type: 'exited', code: exit.code }, exit.atMs)
    await endTree(this.#tree(), 0)
    await this.finish(lost(wrapperPid))
  }

  /** Now and then, by the poller. */
  poll(): boolean {
    const grown = this.#output.refresh()
    if (grown) this.#reports.changed()
    const wrapper = this.#watched
    // Its exit code is written before it is gone.
    if (wrapper !== undefined && !isAlive(wrapper.pid, wrapper.start)) {
      this.#watched = undefined
      this.settle(wrapper.pid).catch(() => {
        // No descriptors just now: the next look tries again.
        this.#watched = wrapper
      })
    }
    return grown
  }

  cancel(graceMs: number, reason: string): void {
    this.#stop({ type: 'canceled', reason }, graceMs)
  }

  async release(): Promise<void> {
    if (!this.ended && !this.#closed) {
      this.cancel(0, 'canceled')
      await this.#reports.whenEnded
    }
    await this.#folder.remove()
    this.#onReleased()
  }

  /** Stops watching; the process goes on. */
  close(): void {
    this.#closed = true
    this.#child?.unref()
    this.#letGo()
  }

  #run(pid: number, startedAtMs: number): void {
    this.#group = pid
    const { timeout_ms } = this.spec
    if (this.#reports.startedAtMs === undefined) {
      const kept = this.#reports.add({ type: 'started', pid, time: new Date(startedAtMs).toISOString() })
      if (!kept) this.#stop({ type: 'failed', reason: 'output_failed', message: this.#unwritten() }, 0)
    }
    if (timeout_ms !== undefined)
      this.#takeBackDeadline = callAt((this.#reports.startedAtMs ?? startedAtMs) + timeout_ms, () =>
        this.#stop({ type: 'timeout', after_ms: timeout_ms }, this.#timeoutGraceMs),
      )
    this.#poller.add(this)
  }

  #stop(cause: Cause, graceMs: number): void {
    if (this.#finishing || this.#closed) return
    if (this.#stopping !== undefined) {
      // A second order can only make it quicker.
      if (graceMs === 0) this.#force.abort()
      return
    }
    if (this.#cause === undefined) {
      this.#cause = cause
      this.#reports.keepCause(cause)
    }
    this.#stopping = endTree(this.#tree(), graceMs, this.#force.signal)
    void this.#stopping.then(() => this.finish(this.#endingFound()))
  }

  #tree(): ProcessTree {
    return { group: this.#group, mark: markOf(this.facts.key) }
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    if (code === NOT_CLAIMED && this.#folder.exit() === undefined) {
      void this.finish({ type: 'start_failed', message: `${this.#folder.path} could not be written to.` })
      return
    }
    void this.finish(signal === null ? { type: 'exited', code: code ?? 0 } : { type: 'signaled', signal })
  }

  #endingFound(): Ending {
    const exit = this.#folder.exit()
    return exit === undefined ? { type: 'stopped' } : { type: 'exited', code: exit.code }
  }

  /** Ends the attempt, once: what is left of it is ended, its output measured, its end reported. */
  async finish(ending: Ending, endedAtMs = Date.now()): Promise<void> {
    if (this.#finishing || this.#closed) return
    this.#finishing = true
    this.#takeBackDeadline()
    this.#poller.remove(this)
    const allGone = await (this.#stopping ?? this.#sweep(ending))
    this.#output.freeze()
    this.#reports.changed()
    const end = await this.#measure(ending)
    if (this.#closed) return
    if (allGone === false)
      end.message = `${end.message ?? ''} A process of it could not be killed.`.trimStart()
    const { startedAtMs } = this.#reports
    if (startedAtMs !== undefined) end.duration_ms = Math.max(0, Math.round(endedAtMs - startedAtMs))
    const unkept = {
      outcome: 'failed',
      reason: 'output_failed',
      message: this.#unwritten(),
      exports: undefined,
    } as const
    this.#reports.add(end, { ...end, ...unkept })
    this.#letGo()
  }

  /** Nothing in the group outlives its step. */
  #sweep(ending: Ending): Promise<boolean> | undefined {
    if (ending.type === 'start_failed') return undefined
    if (this.#group !== undefined) return sweepGroup(this.#group, SWEEP_GRACE_MS)
    return undefined
  }

  async #measure(ending: Ending): Promise<AttemptEnd> {
    const { scanner, values } = this.#output
    let streams: AttemptEnd['streams']
    try {
      streams = await this.#output.finish()
    } catch (error) {
      this.#fail(`Its output could not be read: ${(error as Error).message}.`)
    }
    let output_files: AttemptEnd['output_files']
    const folder = outputFolder(this.spec)
    const ran = ending.type !== 'start_failed' && ending.type !== 'action_failed'
    if (folder !== undefined && ran && !this.#closed) {
      const paths = { stdout: this.#folder.file('stdout'), stderr: this.#folder.file('stderr') }
      try {
        output_files = await placeOutputFiles(this.spec, folder, paths)
      } catch (error) {
        this.#fail(`Its output could not be put into ${folder}: ${(error as Error).message}.`)
      }
    }
    return { ...attemptEnd({ ending, cause: this.#cause, scanner, values }), streams, output_files }
  }

  #fail(message: string): void {
    this.#cause ??= { type: 'failed', reason: 'output_failed', message }
  }

  #unwritten(): string {
    return `The attempt's journal in ${this.#folder.path} could not be written.`
  }

  #letGo(): void {
    this.#takeBackDeadline()
    this.#poller.remove(this)
    this.#reports.close()
    this.#output.close()
  }
}

const lost = (pid: number): Ending => ({
  type: 'lost',
  why: `Its process ${pid} has vanished without an exit code: it was killed, or the machine was restarted.`,
})
