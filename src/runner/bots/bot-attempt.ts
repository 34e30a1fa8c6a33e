import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { pullSecret } from '../../contract/pull-secret.ts'
import { FolderAttempt, type FolderAttemptOptions } from '../attempts/folder-attempt.ts'
import type { Cause, Ending } from '../attempts/outcome.ts'
import type { ContainerEngine, ContainerLimits, ContainerState } from '../containers/ports.ts'
import type { BotPlan } from '../ports.ts'
import { checkCaps } from './bot-caps.ts'
import { BotContainer, ImageError } from './bot-container.ts'
import { bytes, containerLimits, limitsText } from './bot-limits.ts'
import { BotLog } from './bot-log.ts'
import { BotRecord } from './bot-record.ts'
import type { BotServices } from './bot-services.ts'
import { BuildProgress } from './build-progress.ts'
import { exitEnding, exitText } from './exit-ending.ts'
import { imageReasons } from './images/ports.ts'
import { lastLines } from './last-lines.ts'
import { EngineLost, isAway, patiently } from './patience.ts'
import { checkPlan } from './plan-check.ts'
import { type Exited, nextRestart } from './restart-policy.ts'
import { restoreLog } from './restore-log.ts'

/** Once a container has ended, how long its log may take to say so too. */
const LOG_END_MS = 5_000
/** How long an engine may take to remove a container. */
const REMOVAL_MS = 10_000
/** Between two looks at a container whose log cannot be followed just now. */
const AGAIN_MS = 200
/** Exit code after SIGKILL. */
const KILLED = 137

export interface BotAttemptOptions extends FolderAttemptOptions {
  services: BotServices
}

/** An attempt that is a bot in a container. The container goes on without this process; a later one takes it up. */
export class BotAttempt extends FolderAttempt {
  readonly kind = 'bot'
  readonly #services: BotServices
  readonly #record: BotRecord
  /** Aborted where the attempt is to end: nothing is built and nothing begun any more. */
  readonly #halt = new AbortController()
  /** Aborted where this process lets go of it. */
  readonly #leave = new AbortController()
  #plan!: BotPlan
  #limits!: ContainerLimits
  #log: BotLog | undefined
  #progress: BuildProgress | undefined
  #engine: ContainerEngine | undefined
  #container: BotContainer | undefined
  #id: string | undefined
  /** The engine could not be asked when the container's log broke off. */
  #wasAway = false
  #graceSeconds = Number.POSITIVE_INFINITY
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
    await this.#working
    this.#log?.flush()
    this.#log?.close()
    this.#progress?.end()
    super.close()
  }

  protected override async endAll(): Promise<void> {
    // Where the engine is away, the sweep finds it.
    await this.#removeContainer().catch(() => undefined)
  }

  protected override stop(cause: Cause, graceMs: number): void {
    if (this.finishing || this.closed) return
    this.keepCause(cause)
    this.#halt.abort()
    const graceSeconds = graceMs === 0 ? 0 : this.#plan.stop_grace_seconds
    // A second order can only make it quicker.
    if (graceSeconds >= this.#graceSeconds) return
    this.#graceSeconds = graceSeconds
    this.#stopContainer()
  }

  protected override async sweep(ending: Ending): Promise<boolean> {
    this.#progress?.end()
    this.#log?.end()
    this.#log?.close()
    const { atMs } = this.#record.facts.ending ?? { atMs: Date.now() }
    try {
      this.#record.keep({ ending: { how: ending, atMs } })
      const { container } = this.#record.facts
      if (this.#container !== undefined || container !== undefined) await this.#removeContainer()
    } catch {
      // The sweep of what no attempt has any more removes it.
    }
    return true
  }

  protected override usage(): undefined {
    // The engine measures its containers itself.
    return undefined
  }

  protected override async lastWords(): Promise<string | undefined> {
    const how = this.#record.facts.ending?.how
    if (how?.type !== 'exited' || how.code === 0) return undefined
    return await lastLines(this.output)
  }

  #open(plan: BotPlan): void {
    this.#plan = plan
    checkPlan(plan, this.spec)
    this.#limits = containerLimits(plan.limits, this.facts.cage?.limits)
    const { stdout, stderr } = this.output.files
    this.#log = new BotLog({
      fds: { stdout: stdout.fd, stderr: stderr.fd },
      cursorFile: this.folder.file('log-cursor'),
      perDayBytes: bytes(plan.limits.log),
      onWritten: () => this.poll(),
      onFailed: ({ message }) =>
        this.stop(
          { type: 'failed', reason: 'output_failed', message: `Its log could not be written: ${message}.` },
          0,
        ),
    })
    const { masker } = this
    this.#progress = new BuildProgress(
      (phase, message) => void this.journal.add({ type: 'phase', phase, message }),
      (text) => masker?.maskText(text) ?? text,
    )
  }

  /** Never rejects. */
  async #carryOut(): Promise<void> {
    const { ending } = this.#record.facts
    let how: Ending
    try {
      how = ending?.how ?? (await this.#live())
    } catch (error) {
      how = this.#failure(error)
    }
    await this.finish(how, ending?.atMs)
  }

  /** From where it is to its end. */
  async #live(): Promise<Ending> {
    const engine = await this.#reached()
    const id = await this.#made()
    if (id === undefined) return { type: 'stopped' }
    this.#id = id
    if (this.cause !== undefined) this.#stopContainer()
    for (;;) {
      const state = await patiently(() => engine.state(id), this.#leave.signal)
      if (state.type === 'gone') return { type: 'lost', why: 'Its container was removed by someone else.' }
      if (state.type === 'running') await this.#follow(engine, id, state)
      else if (state.type === 'created') {
        if (this.cause !== undefined) return { type: 'stopped' }
        await this.#start(engine, id)
      } else {
        if (state.error === undefined) this.#tellRunning(id, state.startedAt)
        await this.#readRest(engine, id)
        const ending = await this.#afterExit(engine, id, await this.#withMemory(engine, id, state))
        if (ending !== undefined) return ending
      }
    }
  }

  /** What was begun already is waited for; anything new is told at once that there is no engine. */
  async #reached(): Promise<ContainerEngine> {
    const connect = () => this.#services.engine()
    const engine =
      this.#record.facts.container === undefined
        ? await connect()
        : await patiently(connect, this.#leave.signal)
    this.#engine = engine
    this.#container = this.#containerAt(engine)
    return engine
  }

  #containerAt(engine: ContainerEngine): BotContainer {
    return new BotContainer({
      services: this.#services,
      engine,
      plan: this.#plan,
      spec: this.spec,
      key: this.facts.key,
      limits: this.#limits,
      env: () => this.env,
      record: this.#record,
      folder: this.folder.path,
      onImage: () => this.dropSecret(pullSecret(this.spec)),
    })
  }

  /** Undefined: it is to end before there is one. */
  async #made(): Promise<string | undefined> {
    const container = this.#container!
    const found = await patiently(() => container.find(), this.#leave.signal)
    if (found !== undefined) return found
    if (this.cause !== undefined) return undefined
    const signal = AbortSignal.any([this.#halt.signal, this.#leave.signal])
    const id = await container.make(this.#progress!, signal)
    this.#progress!.end()
    return id
  }

  async #start(engine: ContainerEngine, id: string): Promise<void> {
    await this.#services.networkReady(engine)
    await engine.start(id)
  }

  /** Until it has ended, or the engine is away. */
  async #follow(
    engine: ContainerEngine,
    id: string,
    { startedAt }: Extract<ContainerState, { type: 'running' }>,
  ): Promise<void> {
    this.#tellRunning(id, startedAt)
    const over = new AbortController()
    const signal = AbortSignal.any([this.#leave.signal, over.signal])
    const read = this.#read(engine, id, true, signal)
    const ended = engine.wait(id, signal)
    try {
      await Promise.race([read, ended])
      // An engine may never end a log that was rotated.
      await Promise.race([read, sleep(LOG_END_MS, undefined, { signal })])
    } catch (error) {
      if (isAway(error)) this.#wasAway = await engine.state(id).then(() => false, isAway)
      else if (!(await this.#isGone(engine, id))) throw error
      await sleep(AGAIN_MS, undefined, { signal: this.#leave.signal })
    } finally {
      over.abort()
      await Promise.allSettled([read, ended])
    }
  }

  async #readRest(engine: ContainerEngine, id: string): Promise<void> {
    const { signal } = this.#leave
    try {
      await patiently(() => this.#read(engine, id, false, signal), signal)
    } catch (error) {
      if (!(await this.#isGone(engine, id))) throw error
    }
    signal.throwIfAborted()
  }

  /** Someone else removes it, which takes an engine a moment: that its log cannot be read tells nothing then. */
  async #isGone(engine: ContainerEngine, id: string): Promise<boolean> {
    const { signal } = this.#leave
    for (const until = performance.now() + REMOVAL_MS; performance.now() < until; ) {
      const state = await patiently(() => engine.state(id), signal)
      if (state.type === 'gone') return true
      await sleep(AGAIN_MS, undefined, { signal })
    }
    return false
  }

  async #read(engine: ContainerEngine, id: string, follow: boolean, signal: AbortSignal): Promise<void> {
    const log = this.#log!
    log.flush()
    try {
      for await (const piece of engine.logs(id, { since: log.open(), follow, signal })) log.take(piece)
    } finally {
      log.flush()
    }
  }

  /** With what the engine came to know of its memory only after the end. */
  async #withMemory(engine: ContainerEngine, id: string, exit: Exited): Promise<Exited> {
    if (exit.oom || exit.exitCode !== KILLED || this.cause !== undefined) return exit
    return {
      ...exit,
      oom: await patiently(() => engine.wasOutOfMemory(id, exit.startedAt), this.#leave.signal),
    }
  }

  /** The end of the attempt, or undefined where it was started again. */
  async #afterExit(engine: ContainerEngine, id: string, exit: Exited): Promise<Ending | undefined> {
    const before = this.#record.facts.restart
    const { restart: policy } = this.#plan
    const restart = this.cause === undefined ? nextRestart(policy, exit, before, Date.now()) : undefined
    const failed = exitEnding(exit, this.#limits, before?.inARow ?? 0)
    if (exit.exitCode === 0 && this.cause === undefined && (await this.#wasStopped(engine, id, exit)))
      return { type: 'lost', why: 'Its container was stopped by its engine, or by someone else.' }
    if (restart === undefined || failed.type === 'start_failed') return failed
    if (restart !== before) {
      const inSeconds = Math.ceil((restart.dueAtMs - Date.now()) / 1000)
      const message = `${exitText(exit)}. Restart ${restart.inARow} of ${policy.max_restarts} in ${inSeconds} s.`
      this.journal.add({ type: 'phase', phase: 'restarting', message })
      this.#record.keep({ restart })
    }
    const signal = AbortSignal.any([this.#halt.signal, this.#leave.signal])
    try {
      await sleep(Math.max(0, restart.dueAtMs - Date.now()), undefined, { signal })
    } catch {
      this.#leave.signal.throwIfAborted()
      return failed
    }
    await patiently(() => this.#start(engine, id), signal)
    return undefined
  }

  /** An engine that is stopped asks its containers to end, and they may do so as if all were well. */
  async #wasStopped(engine: ContainerEngine, id: string, { startedAt }: Exited): Promise<boolean> {
    return this.#wasAway || (await patiently(() => engine.wasSignaled(id, startedAt), this.#leave.signal))
  }

  /** Once for each start of the container. */
  #tellRunning(id: string, startedAt: string): void {
    const { toldStart, image } = this.#record.facts
    if (toldStart === startedAt) return
    const message = `${image?.title}, container ${id.slice(0, 12)}, ${limitsText(this.#limits)}.`
    this.journal.add({ type: 'phase', phase: 'running', message })
    this.#record.keep({ toldStart: startedAt })
  }

  /** Its end is seen by who follows it. */
  #stopContainer(): void {
    const [engine, id] = [this.#engine, this.#id]
    if (engine === undefined || id === undefined) return
    patiently(() => engine.stop(id, this.#graceSeconds), this.#leave.signal).catch((error) => {
      if (!this.closed && !this.finishing) void this.finish(this.#failure(error))
    })
  }

  async #removeContainer(): Promise<void> {
    const container = this.#container ?? this.#containerAt(await this.#services.engine())
    await container.remove()
  }

  #failure(error: unknown): Ending {
    if (this.cause !== undefined && this.#halt.signal.aborted) return { type: 'stopped' }
    if (error instanceof EngineLost) return { type: 'lost', why: error.message }
    const { cause: source = error } = error as { cause?: unknown }
    if (error instanceof ImageError) {
      const code = source instanceof ErrandError ? source.code : ''
      const reason = imageReasons[code] ?? (this.#progress?.current === 'pulling' ? 'pull_failed' : undefined)
      if (reason) return { type: 'action_failed', reason, message: told(source) }
      return { type: 'start_failed', message: told(source) }
    }
    if (error instanceof ErrandError && error.code === 'invalid_argument')
      return { type: 'action_failed', reason: 'invalid_argument', message: told(error) }
    return { type: 'start_failed', message: told(error) }
  }
}

function told(error: unknown): string {
  const { message, hint } = error as ErrandError
  return hint === undefined ? message : `${message} ${hint}`
}
