import type { AttemptUsage } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'
import { pullSecret } from '../../contract/step-secrets.ts'
import { within } from '../../platform/races.ts'
import type { AttemptFiles } from '../attempts/attempt-files.ts'
import { noDescriptors } from '../attempts/attempt-folder.ts'
import type { Driven, Driver, DriverKind, Swept } from '../attempts/driver.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { Action, BotPlan } from '../ports.ts'
import { bytes, checkCaps, checkPlan, containerLimits } from './bot-caps.ts'
import { BuildProgress, failureEnding } from './bot-container.ts'
import { BotLog, lastLines } from './bot-log.ts'
import { BotMeter } from './bot-meter.ts'
import { BotRecord } from './bot-record.ts'
import type { BotServices } from './bot-services.ts'
import { ContainerLife } from './container-life.ts'
import { restoreLog } from './log-cursor.ts'

/** Milliseconds to wait for an engine call that cannot be interrupted. A later process finds its result. */
const LEAVE_MS = 5_000

/** Makes the drivers for bots in their containers. */
export function botDrivers(services: BotServices): DriverKind {
  return {
    kind: 'bot',
    limitsItself: true,
    repair(folder) {
      // The log of an ended bot was completely written, and cut if it contained a secret.
      if (new BotRecord(folder.file('bot')).facts.ending) return
      restoreLog(folder.file('log-cursor'), { stdout: folder.file('stdout'), stderr: folder.file('stderr') })
    },
    driver: (attempt, files, action) => new BotDriver(attempt, files, action, services),
  }
}

/** Runs a bot in a container. The container continues without this process; a later one adopts it. */
class BotDriver implements Driver {
  readonly #attempt: Driven
  readonly #files: AttemptFiles
  readonly #action: () => Action
  readonly #services: BotServices
  readonly #record: BotRecord
  readonly #meter: BotMeter
  /** Aborted when the attempt is to end: nothing is built or begun any more. */
  readonly #halt = new AbortController()
  /** Aborted when this process leaves the attempt. */
  readonly #leave = new AbortController()
  #log: BotLog | undefined
  #progress: BuildProgress | undefined
  #life: ContainerLife | undefined
  #working: Promise<void> | undefined

  constructor(attempt: Driven, files: AttemptFiles, action: () => Action, services: BotServices) {
    this.#attempt = attempt
    this.#files = files
    this.#action = action
    this.#services = services
    this.#record = new BotRecord(files.folder.file('bot'))
    this.#meter = new BotMeter(this.#record.facts.usage)
  }

  begin(): void {
    try {
      const plan = this.#plan()
      checkCaps(plan, this.#services.caps)
      this.#open(plan)
    } catch (error) {
      this.#refuse(error)
      return
    }
    this.#attempt.running(undefined, Date.now())
    this.#working = this.#execute()
  }

  async recover(): Promise<void> {
    const attempt = this.#attempt
    try {
      this.#open(this.#plan())
      attempt.running(undefined, attempt.journal.startedAtMs ?? Date.now())
      attempt.stopAsOrdered()
      this.#working = this.#execute()
    } catch (error) {
      if (noDescriptors(error)) throw error
      this.#refuse(error)
    }
  }

  stop(graceMs: number): void {
    this.#halt.abort()
    this.#life?.stop({ atOnce: graceMs === 0 })
  }

  async sweep(ending: Ending): Promise<Swept> {
    this.#progress?.end()
    this.#log?.end()
    this.#log?.close()
    this.#services.live.drop(this.#attempt.spec.attempt_id)
    const { atMs } = this.#record.facts.ending ?? { atMs: Date.now() }
    try {
      this.#record.keep({ ending: { how: ending, atMs }, usage: this.#meter.facts })
      const { container, newData } = this.#record.facts
      if (this.#life?.reached || container !== undefined || newData !== undefined)
        await this.#removeContainers()
      // It never came up: the place for its data is empty, and nobody knows it.
      if (newData !== undefined) await (await this.#services.engine()).removeVolume(newData)
    } catch {
      // The cleanup of unused containers removes it.
    }
    return {}
  }

  /** Returns the usage that its engine has measured. */
  usage(): AttemptUsage | undefined {
    return this.#meter.total()
  }

  async finalMessage(): Promise<string | undefined> {
    const how = this.#record.facts.ending?.how
    if (how?.type !== 'exited' || how.code === 0) return undefined
    return await lastLines(this.#files.output)
  }

  async kill(): Promise<void> {
    // If the engine is away, the cleanup finds it.
    await this.#removeContainers().catch(() => undefined)
  }

  async leave(): Promise<void> {
    this.#leave.abort()
    if (this.#working) await within(LEAVE_MS, this.#working, () => undefined)
    this.#log?.flush()
    this.#log?.close()
    this.#progress?.end()
    this.#services.live.drop(this.#attempt.spec.attempt_id)
    this.#keepUsage()
  }

  /** Returns the plan. Throws if it cannot run, or is not a bot any more. */
  #plan(): BotPlan {
    const { facts, secrets } = this.#files
    const action = this.#action()
    if (action.kind !== 'bot') throw new Error(`"${facts.spec.action}" is no longer a bot.`)
    return action.prepare(secrets?.filledSpec ?? facts.spec)
  }

  /** Stores the usage, from which a later process continues. */
  #keepUsage(): void {
    const { facts } = this.#meter
    if (facts === undefined || this.#record.facts.ending !== undefined) return
    try {
      this.#record.keep({ usage: facts })
    } catch {
      // It would only report less.
    }
  }

  #open(plan: BotPlan): void {
    const attempt = this.#attempt
    const { masker, spec } = attempt
    checkPlan(plan, spec)
    const { facts, folder, output, secrets } = this.#files
    const { stdout, stderr } = output.files
    const report = (phase: string, message?: string, reason?: Reason) =>
      void attempt.journal.add({ type: 'phase', phase, message, reason })
    const mask = (text: string, isCut = false) =>
      (isCut ? masker?.maskBeginning(text) : masker?.maskText(text)) ?? text
    this.#log = new BotLog({
      fds: { stdout: stdout.fd, stderr: stderr.fd },
      cursorFile: folder.file('log-cursor'),
      perDayBytes: bytes(plan.limits.log),
      onWritten: () => void attempt.refresh(),
      onFailed: ({ message }) => attempt.failUnwritten(`Its log could not be written: ${message}.`),
    })
    this.#progress = new BuildProgress(report, mask)
    this.#life = new ContainerLife({
      container: {
        services: this.#services,
        plan,
        spec,
        key: facts.key,
        limits: containerLimits(plan.limits, facts.cage?.limits, this.#services.caps.cpuOvercommit),
        env: () => this.#files.env,
        record: this.#record,
        folder: folder.path,
        // It is not needed from now on, so it is deleted, and its processes do not get it.
        onImage: () => {
          const password = pullSecret(spec)
          if (password !== undefined) secrets?.drop(password)
        },
      },
      log: this.#log,
      progress: this.#progress,
      meter: this.#meter,
      report,
      mask,
      halt: this.#halt.signal,
      leave: this.#leave.signal,
      onStopFailed: (error) => void attempt.finish(this.#failure(error)),
      onFull: (message) => attempt.stop({ type: 'failed', reason: 'quota', message }, 0),
    })
  }

  /** Runs the bot. Never rejects. */
  async #execute(): Promise<void> {
    const { ending } = this.#record.facts
    let how: Ending
    try {
      how = ending?.how ?? (await this.#life!.live())
    } catch (error) {
      how = this.#failure(error)
    }
    await this.#attempt.finish(how, { endedAtMs: ending?.atMs })
  }

  async #removeContainers(): Promise<void> {
    const engine = await this.#services.engine()
    const { runner } = this.#services
    for (const { id } of await engine.containers({ runner, attempt: this.#attempt.spec.attempt_id }))
      await engine.remove(id)
  }

  /** Ends the attempt, which cannot run. */
  #refuse(error: unknown): void {
    void this.#attempt.finish(this.#failure(error))
  }

  #failure(error: unknown): Ending {
    if (this.#halt.signal.aborted) return { type: 'stopped' }
    return failureEnding(error, this.#progress?.current)
  }
}
