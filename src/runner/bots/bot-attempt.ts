import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptUsage } from '../../contract/attempt.ts'
import { pullSecret } from '../../contract/pull-secret.ts'
import type { Reason } from '../../contract/status.ts'
import { FolderAttempt, type FolderAttemptOptions } from '../attempts/folder-attempt.ts'
import type { Cause, Ending } from '../attempts/outcome.ts'
import type { BotPlan } from '../ports.ts'
import { checkCaps } from './bot-caps.ts'
import { bytes, containerLimits } from './bot-limits.ts'
import { BotLog } from './bot-log.ts'
import { BotMeter } from './bot-meter.ts'
import { BotRecord } from './bot-record.ts'
import type { BotServices } from './bot-services.ts'
import { BuildProgress } from './build-progress.ts'
import { ContainerLife } from './container-life.ts'
import { failureEnding } from './failure-ending.ts'
import { lastLines } from './last-lines.ts'
import { checkPlan } from './plan-check.ts'
import { restoreLog } from './restore-log.ts'

/** How long a call to the engine that cannot be broken off is waited for. What it does yet is found by a later process. */
const LEAVE_MS = 5_000

export interface BotAttemptOptions extends FolderAttemptOptions {
  services: BotServices
}

/** An attempt that is a bot in a container. The container goes on without this process; a later one takes it up. */
export class BotAttempt extends FolderAttempt {
  readonly #services: BotServices
  readonly #record: BotRecord
  readonly #meter: BotMeter
  /** Aborted where the attempt is to end: nothing is built and nothing begun any more. */
  readonly #halt = new AbortController()
  /** Aborted where this process lets go of it. */
  readonly #leave = new AbortController()
  #log: BotLog | undefined
  #progress: BuildProgress | undefined
  #life: ContainerLife | undefined
  #working: Promise<void> | undefined

  /** Takes in what the folder holds; starts and watches nothing. */
  constructor(options: BotAttemptOptions) {
    const { folder } = options
    const record = new BotRecord(folder.file('bot'))
    // What has ended was written whole, and cut where it held a secret.
    if (!record.facts.ending)
      restoreLog(folder.file('log-cursor'), { stdout: folder.file('stdout'), stderr: folder.file('stderr') })
    super(options)
    this.#services = options.services
    this.#record = record
    this.#meter = new BotMeter(record.facts.usage)
  }

  /** It cannot be carried out. */
  refuse(error: unknown): void {
    void this.finish(this.#failure(error))
  }

  begin(plan: BotPlan): void {
    try {
      checkCaps(plan, this.#services.caps)
      this.#open(plan)
    } catch (error) {
      this.refuse(error)
      return
    }
    this.running(undefined, Date.now())
    this.#working = this.#carryOut()
  }

  /** Goes on where an earlier process of this runner was. */
  async recover(plan: BotPlan): Promise<void> {
    this.#open(plan)
    this.running(undefined, this.journal.startedAtMs ?? Date.now())
    if (this.cause !== undefined) this.stop(this.cause, this.timeoutGraceMs)
    this.#working = this.#carryOut()
  }

  /** Now and then, by the poller, and whenever its log has grown. */
  poll(): boolean {
    const grown = this.output.refresh()
    if (grown) this.journal.changed()
    return grown
  }

  override async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    this.#leave.abort()
    await Promise.race([this.#working, sleep(LEAVE_MS, undefined, { ref: false })])
    this.#log?.flush()
    this.#log?.close()
    this.#progress?.end()
    this.#services.live.drop(this.spec.attempt_id)
    this.#keepUsage()
    super.close()
  }

  protected override async endAll(): Promise<void> {
    // Where the engine is away, the sweep finds it.
    await this.#removeContainers().catch(() => undefined)
  }

  protected override stop(cause: Cause, graceMs: number): void {
    if (this.finishing || this.closed) return
    this.keepCause(cause)
    this.#halt.abort()
    this.#life?.stop({ atOnce: graceMs === 0 })
  }

  protected override async sweep(ending: Ending): Promise<boolean> {
    this.#progress?.end()
    this.#log?.end()
    this.#log?.close()
    this.#services.live.drop(this.spec.attempt_id)
    const { atMs } = this.#record.facts.ending ?? { atMs: Date.now() }
    try {
      this.#record.keep({ ending: { how: ending, atMs }, usage: this.#meter.facts })
      const { container, newData } = this.#record.facts
      if (this.#life?.reached || container !== undefined || newData !== undefined)
        await this.#removeContainers()
      // It never came up: the place for its data has nothing, and is known to nobody.
      if (newData !== undefined) await (await this.#services.engine()).removeVolume(newData)
    } catch {
      // The sweep of what no attempt has any more removes it.
    }
    return true
  }

  /** As its engine has measured it. */
  protected override usage(): AttemptUsage | undefined {
    return this.#meter.total()
  }

  protected override async lastWords(): Promise<string | undefined> {
    const how = this.#record.facts.ending?.how
    if (how?.type !== 'exited' || how.code === 0) return undefined
    return await lastLines(this.output)
  }

  /** A later process goes on from it. */
  #keepUsage(): void {
    const { facts } = this.#meter
    if (facts === undefined || this.#record.facts.ending !== undefined) return
    try {
      this.#record.keep({ usage: facts })
    } catch {
      // It would only tell less.
    }
  }

  #open(plan: BotPlan): void {
    checkPlan(plan, this.spec)
    const { masker, spec, facts, folder } = this
    const { stdout, stderr } = this.output.files
    const tell = (phase: string, message?: string, reason?: Reason) =>
      void this.journal.add({ type: 'phase', phase, message, reason })
    const mask = (text: string, isCut = false) =>
      (isCut ? masker?.maskBeginning(text) : masker?.maskText(text)) ?? text
    this.#log = new BotLog({
      fds: { stdout: stdout.fd, stderr: stderr.fd },
      cursorFile: folder.file('log-cursor'),
      perDayBytes: bytes(plan.limits.log),
      onWritten: () => this.poll(),
      onFailed: ({ message }) =>
        this.stop(
          { type: 'failed', reason: 'output_failed', message: `Its log could not be written: ${message}.` },
          0,
        ),
    })
    this.#progress = new BuildProgress(tell, mask)
    this.#life = new ContainerLife({
      container: {
        services: this.#services,
        plan,
        spec,
        key: facts.key,
        limits: containerLimits(plan.limits, facts.cage?.limits, this.#services.caps.cpuOvercommit),
        env: () => this.env,
        record: this.#record,
        folder: folder.path,
        onImage: () => this.dropSecret(pullSecret(spec)),
      },
      log: this.#log,
      progress: this.#progress,
      meter: this.#meter,
      tell,
      mask,
      halt: this.#halt.signal,
      leave: this.#leave.signal,
      onStopFailed: (error) => void this.finish(this.#failure(error)),
      onFull: (message) => this.stop({ type: 'failed', reason: 'quota', message }, 0),
    })
  }

  /** Never rejects. */
  async #carryOut(): Promise<void> {
    const { ending } = this.#record.facts
    let how: Ending
    try {
      how = ending?.how ?? (await this.#life!.live())
    } catch (error) {
      how = this.#failure(error)
    }
    await this.finish(how, ending?.atMs)
  }

  async #removeContainers(): Promise<void> {
    const engine = await this.#services.engine()
    const { runner } = this.#services
    for (const { id } of await engine.containers({ runner, attempt: this.spec.attempt_id }))
      await engine.remove(id)
  }

  #failure(error: unknown): Ending {
    if (this.#halt.signal.aborted) return { type: 'stopped' }
    return failureEnding(error, this.#progress?.current)
  }
}
