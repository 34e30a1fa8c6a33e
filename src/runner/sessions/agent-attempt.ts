import { mkdirSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { AttemptInput } from '../../contract/agent.ts'
import type { ErrandError } from '../../contract/errors.ts'
import { Moments } from '../../platform/moments.ts'
import { endTree } from '../../platform/process-ending.ts'
import { FolderAttempt, type FolderAttemptOptions } from '../attempts/folder-attempt.ts'
import type { Cause, Ending } from '../attempts/outcome.ts'
import { passedOn, processEnvironment } from '../attempts/process-environment.ts'
import { takeUp } from '../attempts/recovery.ts'
import type { AgentPlan } from '../ports.ts'
import { AgentProcess } from './agent-process.ts'
import type { AgentServices, KnownAgent } from './agent-services.ts'
import { AgentStart, NotAllowed } from './agent-start.ts'
import { Baseline } from './baseline.ts'
import { InProcessTalk } from './in-process-talk.ts'
import { decide } from './permission-policy.ts'
import { Session, type SessionEnd, type Told } from './session.ts'
import type { Launched, SessionEvent } from './session-event.ts'
import { UpdateJoiner } from './update-joiner.ts'
import { runVerify } from './verify-command.ts'

/** How long an agent may take to end by itself, once its input has ended. */
const FAREWELL_MS = 3_000
/** Of the grace of a stop, the most that the agent may take to end its turn. */
const END_OF_TURN_MS = 2_000
const STOP_GRACE_MS = 5_000
/** How much of the end of its standard error is told where an agent fails. */
const STDERR_TAIL_BYTES = 8 * 1024
/** How often it is looked whether what a session waits for at its end has come. */
const LOOK_MS = 4

export interface AgentAttemptOptions extends FolderAttemptOptions {
  services: AgentServices
  /** Makes the workspace of a run. */
  workspace(runId: string): string
  /** The runner's environment. */
  env: NodeJS.ProcessEnv
}

/** An attempt that is a session with an agent. A later process of this runner goes on where this one ends. */
export class AgentAttempt extends FolderAttempt {
  readonly kind = 'agent'
  readonly #options: AgentAttemptOptions
  readonly #joiner: UpdateJoiner
  readonly #seen = new Set<string>()
  readonly #hurry = new AbortController()
  /** Of the standard output, what an earlier process of this runner has written. */
  readonly #saidBefore: number
  #said = 0
  #told = 0
  #plan!: AgentPlan
  #agent!: KnownAgent
  #session: Session | undefined
  #start!: AgentStart
  #baseline!: Baseline
  #replaying = false
  #launched: Launched | undefined
  #launches = 0
  #launching = false
  #process: AgentProcess | undefined
  /** How the process ended, until its last lines are read. */
  #processEnd: Ending | undefined
  /** Whoever waits for something looks at once. */
  #onNews: () => void = () => undefined
  #talk: InProcessTalk | undefined
  #pumping = false
  #pumpAgain = false
  /** By the steady clock. */
  #activeAtMs = performance.now()
  readonly #moments = new Moments()
  #verify: { key: string; stop: AbortController } | undefined
  #stopping = false

  /** Takes in what the folder holds; starts and watches nothing. */
  constructor(options: AgentAttemptOptions) {
    super(options)
    this.#options = options
    this.#saidBefore = this.output.files.stdout.size
    this.#joiner = new UpdateJoiner((item, last) => this.#report(item, last))
  }

  /** It cannot be carried out. */
  refuse(error: unknown): void {
    const { message, code, hint } = error as ErrandError
    const reason =
      error instanceof NotAllowed
        ? 'permission'
        : code === 'invalid_argument'
          ? code
          : ('start_failed' as const)
    void this.finish({
      type: 'action_failed',
      reason,
      message: hint === undefined ? message : `${message} ${hint}`,
    })
  }

  begin(plan: AgentPlan): void {
    if (this.#open(plan)) this.#goOn()
  }

  /** Goes on where an earlier process of this runner was. */
  async recover(plan: AgentPlan): Promise<void> {
    this.#replaying = true
    if (!this.#open(plan)) return
    const { events } = this.journal
    await this.#baseline.recover(
      events.map(({ event }) => event).find((event) => event.type === 'launched')?.request.cwd,
    )
    for (const { at, event } of events) {
      await this.#process?.wire.read(at, (line) => this.#replay(line), event.type === 'exited')
      this.#take(event)
    }
    this.#replaying = false
    const { startedAtMs } = this.journal
    if (startedAtMs !== undefined) this.running(undefined, startedAtMs)
    if (this.#talk) this.#apply({ type: 'gone', why: 'The runner that it ran in was restarted.' })
    else if (this.#process) await this.#takeUpProcess(this.#process)
    if (this.cause !== undefined) this.stop(this.cause, this.timeoutGraceMs)
    this.#pump()
    this.#goOn()
  }

  input(input: AttemptInput): void {
    if (!this.#session || this.#seen.has(input.input_id)) return
    this.#apply({ type: 'input', input })
  }

  /** Now and then, by the poller. */
  poll(): boolean {
    const grown = this.output.refresh()
    if (grown) this.journal.changed()
    const process = this.#process
    process?.process.poll()
    const spoke = process?.output.refresh() === true
    if (spoke) this.#pump()
    this.#lookAtClock()
    this.lookAtLimits()
    return grown || spoke
  }

  override async close(): Promise<void> {
    if (this.closed) return
    this.#joiner.flush()
    this.closed = true
    this.#hurry.abort()
    this.#verify?.stop.abort()
    this.#start?.close()
    this.#process?.close()
    super.close()
    await this.#talk?.close()
  }

  protected override stop(cause: Cause, graceMs: number): void {
    if (this.finishing || this.closed || this.#stopping) {
      // A second order can only make it quicker.
      if (graceMs === 0) {
        this.#hurry.abort()
        if (this.finishing) void this.#process?.process.stop(0)
      }
      return
    }
    this.#stopping = true
    this.keepCause(cause)
    if (graceMs === 0) this.#hurry.abort()
    this.#verify?.stop.abort()
    void this.#bringDown(graceMs)
  }

  protected override async sweep(ending: Ending): Promise<boolean> {
    this.#session?.flush()
    this.#joiner.flush()
    this.#start?.close()
    this.#verify?.stop.abort()
    const process = this.#process
    if (process && this.#processEnd === undefined && ending.type !== 'lost' && !this.#hurry.signal.aborted) {
      process.endInput()
      const ended = () => {
        process.process.poll()
        return this.#processEnd !== undefined
      }
      await this.#until(ended, FAREWELL_MS)
    }
    await this.#talk?.close()
    const graceMs = this.#hurry.signal.aborted || ending.type === 'lost' ? 0 : 1_000
    return await (process?.process.stop(graceMs) ??
      endTree({ mark: this.mark, members: this.cage.members }, graceMs))
  }

  protected override async beforeMeasure(): Promise<void> {
    this.#process?.close()
    const { values } = this.output
    if (!this.#session) return
    const { answer, valueJson, changedPaths } = this.#session
    const { masker } = this
    values.tell('answer', masker?.maskText(answer) ?? answer)
    if (valueJson !== undefined)
      values.tell('value', masker ? JSON.stringify(masker.maskJson(JSON.parse(valueJson))) : valueJson)
    if (!values.wants('files')) return
    const files = await this.#baseline.changed(changedPaths)
    values.tell('files', JSON.stringify(masker?.maskJson(files) ?? files))
  }

  #open(plan: AgentPlan): boolean {
    const { services, workspace, env } = this.#options
    try {
      this.#plan = plan
      this.#agent = services.named(plan.agent)
      const spec = { ...this.spec, env: this.env }
      this.#start = new AgentStart({ plan, agent: this.#agent, services, spec, workspace })
      this.#baseline = new Baseline(join(this.folder.path, 'files-before'), passedOn(env))
      this.#session = new Session({
        plan,
        title: this.#agent.title,
        agent: this.#agent.name,
        masker: this.masker,
        tell: (item) => this.#tell(item),
        say: (text) => this.#say(text),
        connect: (launched, port) => {
          const process = this.#process
          const request = this.#start.request(launched)
          if ('protocol' in this.#agent)
            return this.#agent.protocol(request, { ...port, send: (line) => this.#send(process!, line) })
          this.#talk = new InProcessTalk(this.#agent, request, (event) => this.#apply(event))
          return this.#talk
        },
      })
      return true
    } catch (error) {
      this.refuse(error)
      return false
    }
  }

  /** Brings about what the session waits for. */
  #goOn(): void {
    const session = this.#session
    if (!session || this.#replaying || this.closed || this.finishing || this.#stopping) return
    for (const question of session.undecided) {
      const { cwd } = this.#launched!.request
      const { permissions } = this.#plan
      const decision = decide(permissions, question, cwd)
      const { request_id } = question
      if (decision.decision !== 'ask') this.#apply({ type: 'decided', request_id, ...decision })
      else this.#apply({ type: 'asked', request_id, expires_at: inSeconds(permissions.ask_timeout_seconds) })
    }
    if (session.breach !== undefined) return void this.#stopForBudget(session.breach)
    if (session.end) return void this.#conclude(session.end)
    const { verifying } = session
    if (verifying && verifying.key !== this.#verify?.key) void this.#runVerify(verifying)
    if (session.wantsProcess && !this.#launching) void this.#launch()
    if (session.waits && session.waitsUntil === undefined)
      this.#apply({ type: 'waits', until: inSeconds(this.#plan.idle_timeout_seconds) })
  }

  #conclude(end: SessionEnd): void {
    if (end.type === 'canceled') this.keepCause({ type: 'canceled', reason: 'canceled' })
    if (end.type === 'success' || end.type === 'canceled') void this.finish({ type: 'done' })
    else if (end.type === 'lost') void this.finish(end)
    else void this.finish({ ...end, type: 'action_failed' })
  }

  #stopForBudget(limit: string): void {
    this.stop(
      { type: 'failed', reason: 'budget', message: `The budget is used up: ${limit}.` },
      STOP_GRACE_MS,
    )
  }

  async #bringDown(graceMs: number): Promise<void> {
    if (this.#session?.inTurn && graceMs > 0) {
      this.#apply({ type: 'stop' })
      await this.#until(() => !this.#session!.inTurn, Math.min(graceMs / 2, END_OF_TURN_MS))
    }
    await this.finish({ type: 'stopped' })
  }

  async #launch(): Promise<void> {
    this.#launching = true
    try {
      const { note } = await this.#start.prepare()
      const { cwd } = this.#start
      if (this.output.values.wants('files')) await this.#baseline.take(cwd)
      if (this.closed || this.finishing || this.#stopping) return
      if (note !== undefined && this.#launches === 0) this.#apply({ type: 'note', text: note })
      const launched = this.#start.launched(this.#session!.sessionId, this.#launched)
      this.#apply(launched)
      if (this.#talk) {
        this.running(undefined, Date.now())
        this.#talk.start()
      } else if (this.#process && !this.finishing) this.#begin(this.#process, 1)
    } catch (error) {
      this.refuse(error)
    } finally {
      this.#launching = false
    }
    this.#goOn()
  }

  #begin(process: AgentProcess, claim: number): void {
    const { launch, cwd } = this.#start.launch(this.#launched!)
    const { env } = this.#start.request(this.#launched!)
    const own = { TMPDIR: this.spec.env.TMPDIR ?? this.#temp(), ...launch.env }
    const pid = process.begin(
      {
        argv: [launch.program, ...launch.args],
        cwd,
        env: processEnvironment(env, own, this.spec, this.facts.key),
      },
      claim,
    )
    if (pid !== undefined) this.running(pid, Date.now())
  }

  /** Some agents unpack megabytes into the temporary folder at every start, and leave them: it goes with the attempt. */
  #temp(): string {
    const path = join(this.folder.path, 'temp')
    mkdirSync(path, { recursive: true, mode: 0o700 })
    return path
  }

  async #takeUpProcess(process: AgentProcess): Promise<void> {
    let found = false
    let claim: number | undefined
    const bereft = {
      mark: this.mark,
      cause: this.cause,
      watch: (wrapper: { pid: number; start: string }, atMs: number) => {
        found = true
        process.process.watch(wrapper)
        this.running(wrapper.pid, atMs)
      },
      settle: (pid: number) => process.process.settle(pid),
      finish: (ending: Ending) => this.finish(ending),
    }
    this.#pumping = true
    await takeUp(bereft, process.folder, (next) => {
      claim = next
    })
    // What the earlier runner had read, and may have answered, comes before anything that is new.
    await process.wire.read(process.output.size, (line) => this.#line(line))
    this.#pumping = false
    if (found) this.#apply({ type: 'found' })
    if (claim === undefined) return
    try {
      await this.#start.prepare()
      this.#begin(process, claim)
    } catch (error) {
      this.refuse(error)
    }
  }

  #apply(event: SessionEvent): void {
    if (this.closed || this.finishing || !this.#session) return
    try {
      this.journal.keepEvent(this.#process?.wire.offset ?? 0, event)
    } catch {
      return void this.#unkept(this.unwritten())
    }
    this.#activeAtMs = performance.now()
    this.#take(event)
    this.#goOn()
  }

  /** It is in the journal: it counts. */
  #take(event: SessionEvent): void {
    if (event.type === 'input') this.#seen.add(event.input.input_id)
    if (event.type === 'verified') this.#verify = undefined
    if (event.type === 'launched') {
      this.#launched = event
      this.#launches++
      this.#processEnd = undefined
      this.#process?.close()
      this.#process = 'open' in this.#agent ? undefined : this.#newProcess(this.#launches)
    }
    this.#session!.apply(event)
    if (event.type !== 'exited' && event.type !== 'gone') return
    this.#process?.close()
    this.#process = undefined
    this.#talk = undefined
  }

  #newProcess(number: number): AgentProcess {
    const process: AgentProcess = new AgentProcess({
      path: join(this.folder.path, `process.${number}`),
      mark: this.mark,
      cage: this.cage,
      stderr: this.output.files.stderr,
      onSaid: () => {
        if (process === this.#process && process.output.refresh()) this.#pump()
      },
      onEnd: (ending) => {
        if (process !== this.#process) return
        this.#processEnd ??= ending
        this.#onNews()
        this.#pump()
      },
    })
    return process
  }

  #line(line: string): boolean {
    this.#activeAtMs = performance.now()
    this.#session!.line(line)
    this.#goOn()
    return !this.closed && !this.finishing
  }

  #replay(line: string): boolean {
    this.#session!.line(line)
    return true
  }

  /** Reads what the process has said, one call at a time. */
  #pump(): void {
    this.#pumpAgain = true
    if (this.#pumping || this.#replaying) return
    this.#pumping = true
    void this.#read()
      .catch((error) => this.#unkept(`What the agent says could not be read: ${(error as Error).message}.`))
      .finally(() => {
        this.#pumping = false
        if (this.#pumpAgain) this.#pump()
      })
  }

  async #read(): Promise<void> {
    this.#pumpAgain = false
    const process = this.#process
    if (!process || this.finishing || this.closed) return
    // Asked for before the size: all that was said before the end is read before it.
    const end = this.#processEnd
    process.output.refresh()
    await process.wire.read(process.output.size, (line) => this.#line(line), end !== undefined)
    if (end !== undefined && process === this.#process) await this.#exited(end)
  }

  async #exited(end: Ending): Promise<void> {
    if (end.type === 'start_failed') return void this.finish(end)
    if (end.type === 'lost') return this.#apply({ type: 'gone', why: end.why })
    const stderr = (await this.output.tail('stderr', STDERR_TAIL_BYTES)).toString()
    if (end.type === 'exited') this.#apply({ type: 'exited', code: end.code, stderr })
    else this.#apply({ type: 'exited', signal: end.type === 'signaled' ? end.signal : undefined, stderr })
  }

  async #runVerify({ command, key }: { command: string; key: string }): Promise<void> {
    const stop = new AbortController()
    this.#verify = { key, stop }
    const env = processEnvironment(passedOn(this.#options.env), this.env, this.spec, this.facts.key)
    const { cwd } = this.#launched!.request
    const result = await runVerify(command, { cwd, env, signal: stop.signal, masker: this.masker })
    if (result) this.#apply({ type: 'verified', ...result })
  }

  #lookAtClock(): void {
    const session = this.#session
    if (!session || this.closed || this.finishing || this.#stopping) return
    const { budget, permissions } = this.#plan
    const { seconds, inactivity_seconds } = budget
    const { startedAtMs } = this.journal
    if (seconds !== undefined && startedAtMs !== undefined && this.#moments.due(startedAtMs + seconds * 1000))
      return void this.#stopForBudget(`${seconds} s have passed`)
    if (session.busy && performance.now() >= this.#activeAtMs + inactivity_seconds * 1000)
      return void this.#stopForBudget(`nothing was heard of the agent for ${inactivity_seconds} s`)
    for (const { requestId: request_id, expiresAt } of session.asked)
      if (this.#moments.due(Date.parse(expiresAt)))
        this.#apply({ type: 'decided', request_id, decision: permissions.on_ask_timeout, by: 'timeout' })
    if (
      session.waits &&
      session.waitsUntil !== undefined &&
      this.#moments.due(Date.parse(session.waitsUntil))
    )
      this.#apply({ type: 'idle_over' })
  }

  #tell(item: Told): void {
    const number = ++this.#told
    const { sessionsKnown } = this.#start
    if (item.type === 'update' && item.update.kind === 'session' && !this.#replaying)
      sessionsKnown(item.update.session_id, this.#launched)
    // What an earlier process of this runner has told already.
    if (number > this.journal.covered) this.#joiner.add(item, number)
  }

  #report(item: Told, last: number): void {
    if (!this.journal.add(item, item, last)) this.#unkept(this.unwritten())
  }

  #say(text: string): void {
    const bytes = Buffer.from(text)
    const known = Math.max(0, Math.min(bytes.length, this.#saidBefore - this.#said))
    this.#said += bytes.length
    try {
      const { fd } = this.output.files.stdout
      for (let at = known; at < bytes.length; ) at += writeSync(fd, bytes, at)
    } catch (error) {
      this.#unkept(`Its output could not be kept: ${(error as Error).message}.`)
    }
  }

  #send(process: AgentProcess, line: string): void {
    try {
      process.input.send(line)
    } catch (error) {
      this.#unkept(`What the agent is told could not be kept: ${(error as Error).message}.`)
    }
  }

  #unkept(message: string): void {
    this.stop({ type: 'failed', reason: 'output_failed', message }, 0)
  }

  async #until(condition: () => boolean, withinMs: number): Promise<void> {
    const until = performance.now() + withinMs
    while (!condition() && performance.now() < until && !this.#hurry.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#onNews = resolve
      const look = setTimeout(resolve, LOOK_MS)
      await promise
      clearTimeout(look)
    }
  }
}

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString()
