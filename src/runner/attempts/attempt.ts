import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { ErrandError, isErrandError, messageOf, messageWithHint } from '../../contract/errors.ts'
import { shownNetwork } from '../../contract/isolation.ts'
import type { WorkspaceQuery } from '../../contract/runs/workspace-queries.ts'
import { Reason } from '../../contract/status.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import type { Scope } from '../limits/scope.ts'
import { type Asking, HubAway } from '../link/hub-retry.ts'
import type { Masker } from '../masking/masker.ts'
import type { HeldAttempt, OutputPart } from '../ports.ts'
import { AttemptState } from './attempt-state.ts'
import type { Driven, Driver, Over } from './driver.ts'
import type { AttemptJournal } from './journal.ts'
import { type AttemptOutput, measuredEnd } from './measured-end.ts'
import { NetworkReports, type ReadEndpoint } from './network-reports.ts'
import type { RunnerStop } from './runner-stop.ts'
import { callAt, type Polled, type Poller } from './timers.ts'
import { type Cause, type Ending, signalOf } from './verdict.ts'

/** The part of a scope that an attempt needs for the cage that its processes run in. */
export type AttemptLimiter = Pick<Scope, 'look' | 'lastLook' | 'usage' | 'close' | 'end'>

export interface AttemptOptions {
  spec: AttemptSpec
  epoch: number
  /** Value of the mark in the environment of its processes; if absent, nothing of it outlives this process. */
  key?: string
  /**
   * Reports, including those of an earlier process of this runner. If the last one is its end, there is nothing to
   * drive.
   */
  journal: AttemptJournal
  output: AttemptOutput
  /** Isolation of its processes, as it is reported; absent if there is no box. */
  isolation?: Pick<Extract<AttemptReport, { type: 'started' }>, 'isolation' | 'made_box' | 'network'>
  /** Cage that its processes run in; absent if this machine applies no limits to it. */
  cage?: AttemptLimiter
  /** ProxyEndpoint of its box, which reports hosts; absent if it has none. */
  endpoint?: ReadEndpoint
  masker?: Masker
  /** Texts that say which secrets of the step are not hidden, or not in all forms. */
  warnings: readonly string[]
  /** Text that says why it has no box; absent if there is nothing to say about that. */
  unboxed?: string
  /** Polls the attempt; absent if nothing of it needs polling. */
  poller?: Poller
  /** Knows when this runner is told to stop; if absent, its end is not judged by that. */
  stop?: RunnerStop
  /** Time between SIGTERM and SIGKILL after the timeout has passed. */
  timeoutGraceMs: number
  /** Folder that a relative `output_path` starts from; if absent, the receiver of the output puts it there. */
  outputDir?: string
  /** Folder that its box let it write to, where the attempt may have changed anything; absent if there is no box. */
  within?: string
  /** Path of its journal, for messages. */
  path: string
  /** Makes the driver that runs the attempt. */
  driver(attempt: Driven): Driver
  /**
   * Stores the files that the step requests, once nothing of the attempt runs. Returns a text for its end if some could
   * not be stored. Absent if this machine stores none.
   */
  keepFiles?(journal: AttemptJournal, signal: AbortSignal): Promise<string | undefined>
  /** Puts the files that it needs into its workspace before its driver begins. Absent if this machine has none. */
  fetchNeededFiles?(asking: Asking): Promise<void>
  /** Drops the secrets once its end is stored, since they are not needed any more. */
  dropSecrets(): void
  /** Removes everything that is left of it. */
  remove(): Promise<void>
  onReleased(): void
}

/**
 * Manages one attempt from its start to its release, whatever runs it: its reports, its time, its limits and its end.
 */
export class Attempt implements HeldAttempt, Driven, Polled {
  readonly spec: AttemptSpec
  readonly epoch: number
  readonly key: string | undefined
  readonly journal: AttemptJournal
  readonly masker: Masker | undefined
  readonly #options: AttemptOptions
  readonly #output: AttemptOutput
  readonly #limiter: AttemptLimiter | undefined
  readonly #networkReports: NetworkReports | undefined
  readonly #state: AttemptState
  /** Driver of the attempt; undefined if it had ended before this process. */
  readonly #driver: Driver | undefined
  #takeBackDeadline: () => void = () => undefined
  /** Aborted when nobody waits any longer for its files to be stored. */
  readonly #keeping = new AbortController()
  /** Set while the files that it needs are fetched: its driver has not begun. */
  #fetching: AbortController | undefined

  /** Starts and watches nothing. */
  constructor(options: AttemptOptions) {
    const { spec, epoch, key, journal, output, cage, masker } = options
    this.spec = spec
    this.epoch = epoch
    this.key = key
    this.journal = journal
    this.masker = masker
    this.#options = options
    this.#output = output
    this.#limiter = cage
    this.#networkReports = options.endpoint && new NetworkReports(journal, options.endpoint, masker)
    this.#state = new AttemptState(journal.ended ? 'ended' : 'starting')
    if (journal.ended) this.#over(true)
    else this.#driver = options.driver(this)
  }

  get reports(): readonly AttemptReport[] {
    return this.journal.list
  }
  get ended(): boolean {
    return this.journal.ended
  }
  get cause(): Cause | undefined {
    return this.journal.cause
  }

  length(stream: StreamName): number {
    return this.#output.length(stream)
  }

  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined {
    return this.#output.next(known)
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return await this.#output.read(stream, offset, max)
  }

  onChange(listener: () => void): () => void {
    return this.journal.onChange(listener)
  }

  begin(): void {
    if (!this.spec.needs_files?.length) this.#driver?.begin()
    else
      void this.#fetchNeededFiles().then((there) => {
        if (there) this.#driver?.begin()
      })
  }

  async recover(): Promise<void> {
    // An attempt that has run already had them.
    const needs = this.spec.needs_files?.length && this.journal.startedAtMs === undefined
    if (needs && !this.ended && this.cause === undefined && !(await this.#fetchNeededFiles())) return
    await this.#driver?.recover?.()
  }

  input(input: AttemptInput): void {
    this.#driver?.input?.(input)
  }

  async viewFolder(ask: WorkspaceQuery, send: (text: string) => Promise<void>): Promise<RunnerAnswer> {
    const view = this.#isOver ? undefined : this.#driver?.viewFolder
    if (view === undefined)
      throw new ErrandError(
        'not_found',
        `Attempt ${this.spec.attempt_id} has no folder to show, or has ended.`,
        {
          hint: 'You can view the folder of an agent while its session runs. Its change is stored at the end.',
        },
      )
    return await view.call(this.#driver, ask, send)
  }

  cancel(graceMs: number, reason: string): void {
    this.stop({ type: 'canceled', reason }, graceMs)
  }

  endAsLost(graceMs: number, message: string): void {
    this.stop({ type: 'failed', reason: 'lost', message }, graceMs)
  }

  async release(): Promise<void> {
    if (!this.ended && this.#state.now !== 'left') {
      this.cancel(0, 'canceled')
      await this.journal.whenEnded
    }
    await this.#options.remove()
    this.#state.move('released')
    this.#options.onReleased()
  }

  /** Stops watching. Whatever can run without this process continues. */
  async close(): Promise<void> {
    const { leave } = this.#driver ?? {}
    if (this.#driver && !leave) {
      this.stop({ type: 'closed' }, 0)
      return await this.journal.whenEnded
    }
    if (!this.#state.move('left')) return
    this.#keeping.abort()
    this.#fetching?.abort()
    this.#unwatch()
    const leaving = this.#driver?.leave?.()
    if (leaving) await leaving
    this.#limiter?.close()
    this.#closeFiles()
  }

  /** Ends all of it now, reports nothing and leaves nothing behind. */
  async abandon(): Promise<void> {
    await this.close()
    await this.#driver?.kill()
    this.#options.onReleased()
    await this.#options.remove()
  }

  /** Checks the attempt; called regularly by the poller. */
  poll(): boolean {
    const grown = this.refresh()
    const news = this.#driver?.poll?.() === true
    this.#networkReports?.look()
    const breach = this.#limiter?.look()
    if (breach !== undefined) this.stop({ type: 'failed', ...breach }, 0)
    return grown || news
  }

  refresh(): boolean {
    const grown = this.#output.refresh()
    if (grown) this.journal.changed()
    return grown
  }

  running(pid: number | undefined, startedAtMs: number): void {
    const { warnings, unboxed, poller } = this.#options
    if (this.journal.startedAtMs === undefined) {
      const time = new Date(startedAtMs).toISOString()
      const { network, ...box } = this.#options.isolation ?? {}
      const reach = network && { network: shownNetwork(network) }
      const stored = this.journal.add({ type: 'started', pid, time, ...box, ...reach })
      if (!stored) this.failUnwritten()
      for (const message of warnings) this.journal.add({ type: 'phase', phase: 'secrets', message })
      if (unboxed !== undefined) this.journal.add({ type: 'phase', phase: 'isolation', message: unboxed })
    }
    this.#state.move('running')
    if (this.#isOver) return
    this.#limitTime(this.journal.startedAtMs ?? startedAtMs)
    poller?.add(this)
  }

  stop(cause: Cause, graceMs: number): void {
    const first = this.#state.move('stopping')
    if (first) this.journal.keepCause(cause)
    if (this.#fetching) this.#fetching.abort()
    else if (first || (this.#state.now === 'stopping' && graceMs === 0)) this.#driver?.stop(graceMs)
    else if (this.#state.now === 'measuring') {
      this.#keeping.abort()
      if (graceMs === 0) this.#driver?.expedite?.()
    }
  }

  stopAsOrdered(): void {
    if (this.cause !== undefined) this.stop(this.cause, this.#options.timeoutGraceMs)
  }

  failUnwritten(message = this.#unwritten): void {
    this.stop({ type: 'failed', reason: 'output_failed', message }, 0)
  }

  async finish(ending: Ending, over: Over = {}): Promise<void> {
    if (!this.#state.move('measuring')) return
    try {
      await this.#finish(ending, over)
    } catch (error) {
      await this.#finishAnyway(error)
    }
  }

  async #finish(reportedEnding: Ending, { endedAtMs = Date.now(), beganAtMs, exports }: Over): Promise<void> {
    const { spec, journal, masker } = this
    const driver = this.#driver!
    this.#unwatch()
    driver.beforeSweep?.(reportedEnding)
    await this.#lookLast(reportedEnding)
    const { stop } = this.#options
    const ending =
      (this.cause === undefined && (await stop?.judge(reportedEnding, endedAtMs))) || reportedEnding
    if (this.#state.now === 'left') return
    const { survives, denied } = await driver.sweep(ending)
    await this.#networkReports?.close()
    const filesMessage = await this.#keepFiles()
    this.#output.freeze()
    journal.changed()
    const end: AttemptEnd = await measuredEnd({
      ...{ spec, ending, journal, exports, masker },
      output: this.#output,
      outputDir: this.#options.outputDir,
      within: this.#options.within,
      closed: () => this.#state.now === 'left',
      finalMessage: async () => await driver.finalMessage?.(),
    })
    if (denied !== undefined) end.denied = denied
    const { startedAtMs } = journal
    const sinceMs = startedAtMs ?? beganAtMs
    if (sinceMs !== undefined) end.duration_ms = Math.max(0, Math.round(endedAtMs - sinceMs))
    if (startedAtMs !== undefined) {
      // An attempt that never ran has used nothing.
      const usage = driver.usage ? driver.usage() : this.#limiter?.usage()
      if (usage !== undefined) end.usage = usage
    }
    if (survives) end.message = `${end.message ?? ''} One of its processes could not be killed.`.trimStart()
    if (filesMessage !== undefined) end.message = `${end.message ?? ''} ${filesMessage}`.trimStart()
    this.#reportEnd(end)
  }

  /** Fetches the files that it needs; returns false if the attempt is over, or was left. */
  async #fetchNeededFiles(): Promise<boolean> {
    const fetching = new AbortController()
    this.#fetching = fetching
    let ending: Ending | undefined
    try {
      const { fetchNeededFiles } = this.#options
      if (!fetchNeededFiles)
        throw new ErrandError('unavailable', 'This machine cannot receive files of other steps.')
      const waiting = (message: string) =>
        void this.journal.add({ type: 'phase', phase: 'needs_files', message })
      await fetchNeededFiles({ signal: fetching.signal, waiting })
    } catch (error) {
      const named = isErrandError(error) ? Reason.safeParse(error.code) : undefined
      const message = messageWithHint(error)
      const reason = named?.success ? named.data : 'action_failed'
      const shown = this.masker?.maskText(message) ?? message
      ending =
        error instanceof HubAway
          ? { type: 'lost', why: shown }
          : { type: 'action_failed', reason, message: shown }
    }
    this.#fetching = undefined
    if (fetching.signal.aborted) ending = { type: 'stopped' }
    if (this.#state.now === 'left') return false
    if (ending) await this.finish(ending)
    return ending === undefined
  }

  /** Stores its files, however it ended, if it ran. */
  async #keepFiles(): Promise<string | undefined> {
    const { spec, journal } = this
    if (!spec.artifacts?.length || journal.startedAtMs === undefined) return undefined
    const { keepFiles } = this.#options
    if (keepFiles) return await keepFiles(journal, this.#keeping.signal)
    journal.add({ type: 'phase', phase: 'artifacts', message: 'This machine does not store files of steps.' })
    return undefined
  }

  /** Ends the attempt after an unexpected error, which must not end the runner with everything else that it runs. */
  async #finishAnyway(error: unknown): Promise<void> {
    await this.#driver?.kill().catch(() => undefined)
    if (this.#state.now !== 'measuring') return
    const text = `Its end could not be reported: ${messageOf(error)}.`
    const message = this.masker?.maskText(text) ?? text
    this.#output.freeze()
    this.#reportEnd({ type: 'ended', outcome: 'failed', reason: 'internal', message })
  }

  #reportEnd(end: AttemptEnd): void {
    if (!this.#state.move('ended')) return
    const message = this.#unwritten
    const unwritten = { outcome: 'failed', reason: 'output_failed', message, exports: undefined } as const
    this.#over(this.journal.add(end, { ...end, ...unwritten }))
  }

  /** Ends the attempt after its end is reported; `kept` means that the end survives a restart. */
  #over(isStored: boolean): void {
    this.#limiter?.end()
    this.#closeFiles()
    if (isStored) this.#options.dropSecrets()
  }

  /** Checks the limits a last time, for a breach by something that ended before a check. */
  async #lookLast(ending: Ending): Promise<void> {
    const breach = await this.#limiter?.lastLook(this.cause === undefined && signalOf(ending) === 'SIGKILL')
    if (breach !== undefined) this.journal.keepCause({ type: 'failed', ...breach })
  }

  #limitTime(sinceMs: number): void {
    const { timeout_ms: after_ms } = this.spec
    this.#takeBackDeadline()
    if (after_ms === undefined) return
    const { timeoutGraceMs } = this.#options
    this.#takeBackDeadline = callAt(sinceMs + after_ms, () =>
      this.stop({ type: 'timeout', after_ms }, timeoutGraceMs),
    )
  }

  /** Stops watching; a second call has no effect. */
  #unwatch(): void {
    this.#takeBackDeadline()
    this.#options.poller?.remove(this)
  }

  #closeFiles(): void {
    this.#unwatch()
    this.journal.close()
    this.#output.close()
  }

  get #isOver(): boolean {
    return !['starting', 'running', 'stopping'].includes(this.#state.now)
  }

  get #unwritten(): string {
    return `The attempt's journal in ${this.#options.path} could not be written.`
  }
}
