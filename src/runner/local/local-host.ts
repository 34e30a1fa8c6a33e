import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { AttemptInput } from '../../contract/agent.ts'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { randomText } from '../../contract/random-text.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource, StepHost } from '../../engine/ports.ts'
import { InlineRun } from '../attempts/inline-run.ts'
import type { Cause } from '../attempts/outcome.ts'
import { processEnvironment } from '../attempts/process-environment.ts'
import type { Action, ActionRegistry } from '../ports.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'
import type { MachineSecrets } from '../secrets/machine-secrets.ts'
import { type Begun, begunLater, ended, failed } from './begun.ts'
import { deliver } from './delivery.ts'
import type { LocalCages } from './local-cages.ts'
import { LocalProcess } from './local-process.ts'

export interface LocalHostOptions {
  registry: ActionRegistry
  /** How many attempts run at once (default 64). */
  limit?: number
  /** Where commands run (default: this process's folder). */
  cwd?: string
  /** Between SIGTERM and SIGKILL (default 5 s). */
  graceMs?: number
  /** Carries out the steps that are agents' sessions; absent: there are none here. */
  sessions?: StepHost
  /** With an attempt's id it names its processes and temporary folders among all of this machine (default: by chance). */
  key?: string
  /** Has the values of the secrets that steps name. */
  secrets?: SecretSource
}

/** Variables of this process that no command gets. */
const KEPT_BACK = ['ERRAND_TOKEN', 'ADOS_TOKEN', 'ERRAND_SECRETS_KEY']

interface Work {
  stop(cause: Cause, force?: boolean): void
  done: Promise<void>
}
interface Queued {
  spec: AttemptSpec
  sink: AttemptSink
}

/** Carries out attempts as children of this process; what runs ends with it. */
export class LocalHost implements StepHost {
  readonly #registry: ActionRegistry
  readonly #limit: number
  readonly #cwd: string
  readonly #graceMs: number
  readonly #sessions: StepHost | undefined
  readonly #secrets: SecretSource | undefined
  #machineSecrets: Promise<MachineSecrets> | undefined
  #cages: Promise<LocalCages> | undefined
  readonly #env: NodeJS.ProcessEnv
  readonly #key: string
  readonly #placed = new Set<string>()
  readonly #queue = new Map<string, Queued>()
  /** Taken from the queue while the engine commits that; the reason where it was canceled meanwhile. */
  readonly #assigning = new Map<string, Reason | undefined>()
  readonly #running = new Map<string, Work>()
  readonly #stop = new AbortController()

  constructor(options: LocalHostOptions) {
    const { registry, limit = 64, cwd = process.cwd(), graceMs = 5_000, sessions, secrets } = options
    this.#registry = registry
    this.#key = options.key ?? randomText(26)
    this.#limit = limit
    this.#cwd = resolve(cwd)
    this.#graceMs = graceMs
    this.#sessions = sessions
    this.#secrets = secrets
    this.#env = { ...process.env }
    for (const name of KEPT_BACK) delete this.#env[name]
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    if (this.#isSession(spec)) return this.#sessions!.place(spec)
    if (this.#queue.size > 0 || this.#full())
      return { waiting: `${this.#limit} steps run on this machine already, which is its limit` }
    this.#placed.add(spec.attempt_id)
    return { epoch: 1 }
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    if (this.#isSession(spec)) return void this.#sessions!.start(spec, placement, sink)
    this.#placed.delete(spec.attempt_id)
    if (this.#stop.signal.aborted) return
    if (placement === undefined) {
      this.#queue.set(spec.attempt_id, { spec, sink })
      this.#startNext()
    } else this.#run(spec, placement.epoch, sink)
  }

  /** Nothing here outlives its process: what had begun is lost, what had not is begun. */
  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: Omit<Parameters<StepHost['resume']>[2], 'streams'> & {
      streams?: Partial<Record<StreamName, number>>
    },
    sink: AttemptSink,
  ): void {
    if (this.#isSession(spec))
      return void this.#sessions!.resume(spec, placement, { streams: {}, ...known }, sink)
    if (placement === undefined && !known.started) {
      this.start(spec, undefined, sink)
      return
    }
    const message = 'It ran within a process that has ended.'
    void this.#report(
      sink,
      { type: 'ended', outcome: 'interrupted', reason: 'lost', message },
      placement?.epoch ?? 0,
    )
  }

  input(attemptId: string, input: AttemptInput): void {
    this.#sessions?.input?.(attemptId, input)
  }

  cancel(attemptId: string, reason: Reason, force = false): void {
    this.#sessions?.cancel(attemptId, reason, force)
    const queued = this.#queue.get(attemptId)
    if (queued !== undefined) {
      this.#queue.delete(attemptId)
      void this.#report(queued.sink, { type: 'ended', outcome: 'canceled', reason }, 0)
    }
    if (this.#assigning.has(attemptId)) this.#assigning.set(attemptId, reason)
    this.#running.get(attemptId)?.stop({ type: 'canceled', reason }, force)
    if (this.#placed.delete(attemptId)) this.#startNext()
  }

  runEnded(runId: string): void {
    this.#sessions?.runEnded(runId)
  }

  async close(): Promise<void> {
    this.#queue.clear()
    const works = [...this.#running.values()]
    for (const work of works) work.stop({ type: 'closed' })
    this.#stop.abort()
    await Promise.all([...works.map((work) => work.done), this.#sessions?.close()])
    await this.#cages?.then((cages) => cages.close())
  }

  #isSession({ action }: AttemptSpec): boolean {
    return this.#sessions !== undefined && this.#registry[action]?.kind === 'agent'
  }

  #full(): boolean {
    return this.#placed.size + this.#assigning.size + this.#running.size >= this.#limit
  }

  #startNext(): void {
    for (const [id, queued] of this.#queue) {
      if (this.#full()) return
      this.#queue.delete(id)
      void this.#assign(queued)
    }
  }

  async #assign({ spec, sink }: Queued): Promise<void> {
    const id = spec.attempt_id
    this.#assigning.set(id, undefined)
    const wanted = await deliver(() => sink.assigned({ epoch: 1 }), this.#stop.signal)
    const reason = this.#assigning.get(id)
    this.#assigning.delete(id)
    if (wanted === true && reason === undefined && !this.#stop.signal.aborted) return this.#run(spec, 1, sink)
    if (wanted === true && reason !== undefined)
      await this.#report(sink, { type: 'ended', outcome: 'canceled', reason }, 1)
    this.#startNext()
  }

  #run(spec: AttemptSpec, epoch: number, sink: AttemptSink): void {
    const action = Object.hasOwn(this.#registry, spec.action) ? this.#registry[spec.action] : undefined
    const work = action === undefined ? refused(spec) : this.#work(spec, action, epoch, sink)
    const done = work.end
      .then((end) => this.#report(sink, end, epoch))
      .then(() => {
        this.#running.delete(spec.attempt_id)
        this.#startNext()
      })
    this.#running.set(spec.attempt_id, { stop: work.stop, done })
  }

  #work(spec: AttemptSpec, action: Action, epoch: number, sink: AttemptSink): Begun {
    if (spec.secrets === undefined) return this.#begin(spec, action, epoch, sink)
    return begunLater(this.#secretsOf(spec), (secrets) => {
      const { stop, end } = this.#begin(spec, action, epoch, sink, secrets)
      return { stop, end: end.finally(() => secrets.discard()) }
    })
  }

  async #secretsOf(spec: AttemptSpec): Promise<AttemptSecrets> {
    const given = (await this.#secrets?.reveal(spec)) ?? {}
    // Only who has secrets waits for what hides them to be loaded.
    this.#machineSecrets ??= Promise.all([
      import('../secrets/machine-secrets.ts'),
      import('../secrets/mounted-secret.ts'),
    ]).then(([{ MachineSecrets }, mounted]) => new MachineSecrets({}, mounted.mountedSecretsDir(this.#env)))
    const folder = join(tmpdir(), `errand-${this.#key}-secrets-${randomText(26)}`)
    const secrets = (await this.#machineSecrets).of(spec, given, folder)
    secrets.writeFiles()
    return secrets
  }

  #begin(
    spec: AttemptSpec,
    action: Action,
    epoch: number,
    sink: AttemptSink,
    secrets?: AttemptSecrets,
  ): Begun {
    let started: Promise<unknown> | undefined
    const begun = (pid?: number) => {
      started = this.#report(sink, { type: 'started', pid, time: new Date().toISOString() }, epoch)
      for (const message of secrets?.warnings ?? [])
        started = this.#after(started, sink, { type: 'phase', phase: 'secrets', message }, epoch)
    }
    const after = async (end: Promise<AttemptEnd>) => {
      const report = await end
      await started
      return report
    }
    if (action.kind === 'process') {
      let local: LocalProcess
      try {
        local = this.#process(spec, action, sink, begun, secrets)
      } catch (error) {
        return failed(error)
      }
      return { stop: (cause, force) => local.stop(cause, force), end: after(local.run()) }
    }
    if (action.kind === 'agent') return ended('host_refused', 'This machine carries out no agents here.')
    if (action.kind === 'bot')
      return ended(
        'host_refused',
        'Bots need a hub and a runner: start both with errand up, then errand bot.',
      )
    const inline = new InlineRun({
      action,
      spec,
      secrets,
      cwd: this.#cwd,
      timeoutGraceMs: this.#graceMs,
      write: orderly(sink),
    })
    begun()
    return {
      stop: (cause, force) => inline.stop(cause, force ? 0 : this.#graceMs),
      end: after(inline.run()),
    }
  }

  #process(
    spec: AttemptSpec,
    action: Extract<Action, { kind: 'process' }>,
    sink: AttemptSink,
    onStarted: (pid: number) => void,
    secrets: AttemptSecrets | undefined,
  ): LocalProcess {
    const plan = action.prepare(secrets?.filledSpec ?? spec)
    const key = `${this.#key}/${spec.attempt_id}`
    const cwd = plan.cwd === undefined ? this.#cwd : resolve(this.#cwd, plan.cwd)
    const own = secrets ? { ...plan.env, ...secrets.env } : plan.env
    const launch = { argv: plan.argv, cwd, env: processEnvironment(this.#env, own, spec, key) }
    const { masker } = secrets ?? {}
    const cages = () => {
      this.#cages ??= import('./local-cages.ts').then(({ LocalCages }) => new LocalCages(this.#env))
      return this.#cages
    }
    return new LocalProcess({
      spec,
      plan,
      launch,
      key,
      sink,
      graceMs: this.#graceMs,
      masker,
      cages,
      onStarted,
    })
  }

  async #after(
    before: Promise<unknown>,
    sink: AttemptSink,
    report: AttemptReport,
    epoch: number,
  ): Promise<void> {
    await before
    await this.#report(sink, report, epoch)
  }

  #report(sink: AttemptSink, report: AttemptReport, epoch: number): Promise<unknown> {
    return deliver(() => sink.report(report, epoch), this.#stop.signal)
  }
}

const refused = (spec: AttemptSpec) => ended('host_refused', `This machine has no action "${spec.action}".`)

/** Writes of one stream go to the sink one after another, each at its offset. */
function orderly(sink: AttemptSink): (stream: StreamName, bytes: Buffer) => Promise<void> {
  const offsets = { stdout: 0, stderr: 0 }
  const last = { stdout: Promise.resolve(), stderr: Promise.resolve() }
  return (stream, bytes) => {
    const written = last[stream].then(async () => {
      await sink.output(stream, offsets[stream], bytes)
      offsets[stream] += bytes.length
    })
    last[stream] = written.catch(() => undefined)
    return written
  }
}
