import type { AttemptEnd, AttemptReport, AttemptUsage, StreamName } from '../../contract/attempt.ts'
import { messageOf } from '../../contract/errors.ts'
import { endTree } from '../../platform/process-ending.ts'
import type { Cage } from '../limits/cage.ts'
import type { HeldAttempt } from '../ports.ts'
import { type AttemptSecrets, discardSecrets } from '../secrets/attempt-secrets.ts'
import { dropConversation } from '../sessions/drop-conversation.ts'
import { type AttemptFacts, type AttemptFolder, outlivesBoot } from './attempt-folder.ts'
import { AttemptWatch } from './attempt-watch.ts'
import { JournaledReports } from './journaled-reports.ts'
import { measuredEnd } from './measured-end.ts'
import type { Cause, Ending } from './outcome.ts'
import type { Polled, Poller } from './poller.ts'
import { markOf } from './process-environment.ts'
import { ProcessOutput } from './process-output.ts'

export interface FolderAttemptOptions {
  folder: AttemptFolder
  facts: AttemptFacts
  /** What its processes run in. */
  cage: Cage
  /** Undefined where it has ended. */
  secrets?: AttemptSecrets
  poller: Poller
  /** Between SIGTERM and SIGKILL where the timeout has passed. */
  timeoutGraceMs: number
  /** What a relative `output_path` is seen from. */
  outputDir: string
  onReleased(): void
}

/** An attempt that stands in a folder of its own, so that a later process of this runner finds it again. */
export abstract class FolderAttempt implements HeldAttempt, Polled {
  readonly facts: AttemptFacts
  protected readonly folder: AttemptFolder
  protected readonly journal: JournaledReports
  protected readonly output: ProcessOutput
  protected readonly cage: Cage
  readonly #secrets: AttemptSecrets | undefined
  protected readonly timeoutGraceMs: number
  protected finishing = false
  protected closed = false
  readonly #watch: AttemptWatch
  readonly #outputDir: string
  readonly #onReleased: () => void

  /** Takes in what the folder holds; starts and watches nothing. */
  constructor(options: FolderAttemptOptions) {
    const { folder, facts, cage, secrets, poller, timeoutGraceMs, outputDir, onReleased } = options
    this.facts = facts
    this.cage = cage
    this.folder = folder
    this.timeoutGraceMs = timeoutGraceMs
    this.#outputDir = outputDir
    this.#onReleased = onReleased
    this.#watch = new AttemptWatch({
      attempt: this,
      poller,
      timeoutMs: facts.spec.timeout_ms,
      onTimeout: (after_ms) => this.stop({ type: 'timeout', after_ms }, this.timeoutGraceMs),
    })
    this.#secrets = secrets
    this.journal = new JournaledReports(folder.file('reports'), { durable: outlivesBoot(facts) })
    const onMore = () => this.journal.changed()
    try {
      this.output = new ProcessOutput({ folder, facts, masker: secrets?.outputMasker, onMore })
    } catch (error) {
      this.journal.close()
      throw error
    }
    const end = this.journal.list.at(-1)
    if (end?.type !== 'ended') return
    this.output.found(end, facts.masked === true)
    this.cage.end()
    this.#letGo()
    this.#dropSecrets()
  }

  get spec() {
    return this.facts.spec
  }
  get epoch() {
    return this.facts.epoch
  }
  get reports(): readonly AttemptReport[] {
    return this.journal.list
  }
  get ended() {
    return this.journal.ended
  }
  get mark(): string {
    return markOf(this.facts.key)
  }
  /** Why it is ended; known also where the order was given before a restart. */
  get cause() {
    return this.journal.cause
  }
  /** What its processes get of the step. */
  protected get env(): Record<string, string> {
    return { ...this.spec.env, ...this.#secrets?.env }
  }
  /** Hides its secrets; undefined where there are none. */
  protected get masker() {
    return this.#secrets?.masker
  }

  /** One that has served: from now on its processes do not get it, and it is not kept. Throws where that cannot be written. */
  protected dropSecret(variable: string | undefined): void {
    if (variable !== undefined) this.#secrets?.drop(variable)
  }

  length(stream: StreamName): number {
    return this.output.length(stream)
  }

  async read(stream: StreamName, offset: number, max: number): Promise<Buffer> {
    return await this.output.read(stream, offset, max)
  }

  onChange(listener: () => void): () => void {
    return this.journal.onChange(listener)
  }

  abstract poll(): boolean

  cancel(graceMs: number, reason: string): void {
    this.stop({ type: 'canceled', reason }, graceMs)
  }

  endAsLost(graceMs: number, message: string): void {
    this.stop({ type: 'failed', reason: 'lost', message }, graceMs)
  }

  async release(): Promise<void> {
    if (!this.ended && !this.closed) {
      this.cancel(0, 'canceled')
      await this.journal.whenEnded
    }
    await this.folder.remove()
    this.#onReleased()
  }

  /** Stops watching; what runs goes on. */
  close(): void | Promise<void> {
    this.closed = true
    this.cage.close()
    this.#letGo()
  }

  /** Ends all of it, now, and tells nobody; its folder goes. */
  async abandon(): Promise<void> {
    await this.close()
    await this.endAll()
    this.#onReleased()
    await this.folder.remove()
  }

  /** Ends it, for this reason; the end is reported when nothing of it is left. */
  protected abstract stop(cause: Cause, graceMs: number): void

  /** It is over: what can end by itself is told so. */
  protected letEnd(_ending: Ending): void {}

  /** Ends what it leaves behind; false where something survives. */
  protected abstract sweep(ending: Ending): Promise<boolean> | undefined

  /** Without a grace; nobody watches it any more. */
  protected async endAll(): Promise<void> {
    await endTree({ mark: this.mark }, 0)
  }

  /** The first cause counts. */
  protected keepCause(cause: Cause): void {
    this.journal.keepCause(cause)
  }

  /** Its process is there: told once, watched, and its time is limited. */
  protected running(pid: number | undefined, startedAtMs: number): void {
    if (this.journal.startedAtMs === undefined) {
      const kept = this.journal.add({ type: 'started', pid, time: new Date(startedAtMs).toISOString() })
      if (!kept) this.stop({ type: 'failed', reason: 'output_failed', message: this.unwritten() }, 0)
      for (const message of this.#secrets?.warnings ?? [])
        this.journal.add({ type: 'phase', phase: 'secrets', message })
    }
    this.#watch.begin(this.journal.startedAtMs ?? startedAtMs)
  }

  /** Ends the attempt, once: what is left of it is ended, its output measured, its end reported. */
  async finish(ending: Ending, endedAtMs = Date.now()): Promise<void> {
    if (this.finishing || this.closed) return
    this.finishing = true
    try {
      await this.#finish(ending, endedAtMs)
    } catch (error) {
      await this.#finishAnyway(error)
    }
  }

  async #finish(ending: Ending, endedAtMs: number): Promise<void> {
    this.#watch.end()
    this.letEnd(ending)
    await this.#lookLast()
    const allGone = await this.sweep(ending)
    const told = await this.beforeMeasure()
    this.output.freeze()
    this.journal.changed()
    const { spec, journal, output, masker } = this
    const end = await measuredEnd({
      spec,
      ending,
      journal,
      output,
      outputDir: this.#outputDir,
      masker,
      closed: () => this.closed,
      lastWords: () => this.lastWords(),
    })
    if (this.closed) return
    Object.assign(end, told)
    // What never ran has used nothing.
    if (this.journal.startedAtMs !== undefined) end.usage = this.usage()
    if (allGone === false)
      end.message = `${end.message ?? ''} A process of it could not be killed.`.trimStart()
    const { startedAtMs } = this.journal
    if (startedAtMs !== undefined) end.duration_ms = Math.max(0, Math.round(endedAtMs - startedAtMs))
    const unkept = {
      outcome: 'failed',
      reason: 'output_failed',
      message: this.unwritten(),
      exports: undefined,
    } as const
    const kept = this.journal.add(end, { ...end, ...unkept })
    this.cage.end()
    this.#letGo()
    if (kept) this.#dropSecrets()
  }

  /** Nothing of this should come up, and must not end the runner with all else that it carries out. */
  async #finishAnyway(error: unknown): Promise<void> {
    await this.endAll().catch(() => undefined)
    if (this.closed || this.ended) return
    const text = `Its end could not be told: ${messageOf(error)}.`
    const message = this.masker?.maskText(text) ?? text
    this.output.freeze()
    this.journal.add({ type: 'ended', outcome: 'failed', reason: 'internal', message })
    this.cage.end()
    this.#letGo()
  }

  /** Now and then, while it runs: past a limit it is ended. */
  protected lookAtLimits(): void {
    const breach = this.cage.look()
    if (breach !== undefined) this.stop({ type: 'failed', ...breach }, 0)
  }

  /** What its processes used, where that is known. */
  protected usage(): AttemptUsage | undefined {
    return this.cage.usage(this.folder.exit()?.cpuMs)
  }

  /** Nothing of it runs any more; what it is to tell beside its output is told now. */
  protected async beforeMeasure(): Promise<Pick<AttemptEnd, 'denied'>> {
    return {}
  }

  /** What its message ends with; its output is final. */
  protected async lastWords(): Promise<string | undefined> {
    return undefined
  }

  protected unwritten(): string {
    return `The attempt's journal in ${this.folder.path} could not be written.`
  }

  /** What ended quicker than it was looked at. */
  async #lookLast(): Promise<void> {
    const breach = await this.cage.lastLook()
    if (breach !== undefined) this.keepCause({ type: 'failed', ...breach })
  }

  /** Its end is kept: nothing of the secrets is needed any more. */
  #dropSecrets(): void {
    if (!this.facts.masked) return
    discardSecrets(this.folder.path)
    this.output.dropSecrets()
    // What the machine's own secrets need is only that nothing of them leaves it.
    if (this.facts.kind === 'agent' && this.spec.secrets) dropConversation(this.folder.path)
  }

  #letGo(): void {
    this.#watch.end()
    this.journal.close()
    this.output.close()
  }
}
