import { type BotHealth, DEFAULT_WORK } from '../../contract/bots/bot.ts'
import type { Reason } from '../../contract/status.ts'
import { bootId } from '../../platform/proc.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { ContainerState, DockerEngine } from '../docker/docker-engine.ts'
import { bytes, limitsText } from './bot-caps.ts'
import { BotContainer, type BotContainerOptions, type BuildProgress } from './bot-container.ts'
import { type BotLog, ContainerLog } from './bot-log.ts'
import type { BotMeter } from './bot-meter.ts'
import { ContainerRestarts } from './container-restarts.ts'
import { ContainerWatch } from './container-watch.ts'
import type { DockerPresence } from './docker-presence.ts'
import { retryWhileDockerAway } from './retry-while-docker-away.ts'
import { watchVolumes } from './volume-usage.ts'

/** Interval in ms; a kill of this process loses at most this much of a bot's usage. */
const USAGE_INTERVAL_MS = 5 * 60_000
const ANSWERS_WITHIN_MS = 20_000

export interface ContainerLifeOptions {
  container: Omit<BotContainerOptions, 'engine'>
  log: BotLog
  progress: BuildProgress
  meter: BotMeter
  report(phase: string, message?: string, reason?: Reason): void
  /** Hides the secrets of the bot; `isCut`: also the beginning of one at the end of the text. */
  mask(text: string, isCut: boolean): string
  /** Aborted when it is to end: nothing is built or begun any more. */
  halt: AbortSignal
  /** Aborted when this process leaves the attempt. */
  leave: AbortSignal
  onStopFailed(error: unknown): void
  /** Called when the bot exceeds its disk limit; the message says where. */
  onFull(message: string): void
}

type Running = Extract<ContainerState, { type: 'running' }>

const answers = (engine: DockerEngine): Promise<boolean> =>
  engine.ping(ANSWERS_WITHIN_MS).then(
    () => true,
    () => false,
  )

/**
 * Runs a bot's container from its present state to its end: it finds or makes the container, starts it, follows its log
 * and its use, and after each end either restarts it or ends the attempt.
 */
export class ContainerLife {
  readonly #options: ContainerLifeOptions
  /** Aborted when either of them is. */
  readonly #haltOrLeave: AbortSignal
  #reached = false
  #made: { engine: DockerEngine; id: string } | undefined
  #graceSeconds = Number.POSITIVE_INFINITY
  readonly #over = new AbortController()
  #usageStoredAtMs = Number.NEGATIVE_INFINITY

  constructor(options: ContainerLifeOptions) {
    this.#options = options
    this.#haltOrLeave = AbortSignal.any([options.halt, options.leave])
  }

  /** Set if its engine is there, and may have something of it. */
  get reached(): boolean {
    return this.#reached
  }

  async live(): Promise<Ending> {
    try {
      return await this.#live()
    } finally {
      this.#over.abort()
    }
  }

  async #live(): Promise<Ending> {
    const { container, log: botLog, report, halt, leave } = this.#options
    const { plan, limits, record, services, spec } = container
    const presence = services.presence()
    services.live.set(spec.attempt_id, {}, { soon: false })
    const engine = await this.#engine()
    this.#reached = true
    const id = await this.#make(engine, presence)
    if (id === undefined) return { type: 'stopped' }
    this.#made = { engine, id }
    this.#watchVolumes(engine, id)
    if (halt.aborted) this.#stop()
    const options = { engine, id, patiently: this.#patiently, leave }
    const log = new ContainerLog({ ...options, log: botLog })
    const restarts = new ContainerRestarts({ ...options, plan, limits, record, presence, report, halt })
    for (let seenAtMs = Date.now(); ; ) {
      const state = await this.#patiently(() => engine.state(id))
      if (state.type === 'gone') return { type: 'lost', why: 'Its container was removed by someone else.' }
      if (state.type === 'running') {
        // A container that has outlived its engine may have lost its network rules; the next sweep reports an error.
        if (presence.wasAwaySince(seenAtMs)) await services.networkReady(engine).catch(() => {})
        seenAtMs = Date.now()
        const watch = this.#watch(engine, presence, id, state)
        this.#reportRunning(id, state.startedAt)
        try {
          await log.follow()
        } finally {
          watch.close()
        }
      } else if (state.type === 'created') {
        if (halt.aborted) return { type: 'stopped' }
        await this.#startPatiently(engine, id)
      } else {
        if (state.error === undefined) this.#reportRunning(id, state.startedAt)
        await log.readRest()
        const ending = await restarts.after(state)
        if (ending !== undefined) return ending
        await this.#startPatiently(engine, id)
      }
    }
  }

  /** Stops the container; `live` sees its end. A second call can only make it quicker. */
  stop({ atOnce }: { atOnce: boolean }): void {
    const graceSeconds = atOnce ? 0 : this.#options.container.plan.stop_grace_seconds
    if (graceSeconds >= this.#graceSeconds) return
    this.#graceSeconds = graceSeconds
    this.#stop()
  }

  #stop(): void {
    const { leave, onStopFailed } = this.#options
    if (this.#made === undefined) return
    const { engine, id } = this.#made
    retryWhileDockerAway(() => engine.stop(id, this.#graceSeconds), leave).catch(onStopFailed)
  }

  /**
   * Connects to the engine. Waits for it if the container has begun already; otherwise an absent engine is an error at
   * once.
   */
  async #engine(): Promise<DockerEngine> {
    const { services, record } = this.#options.container
    const connect = () => services.engine()
    if (record.facts.container !== undefined) return await this.#patiently(connect)
    const engine = await connect()
    // In parallel with the search for an existing container; whoever waits for the network tries again after an error.
    services.networkReady(engine).catch(() => undefined)
    return engine
  }

  /** Waits without limit: the bot continues without its engine, or is to be restarted by it. */
  readonly #patiently = <T>(ask: () => Promise<T>): Promise<T> => {
    const { container, halt, leave } = this.#options
    return retryWhileDockerAway(
      ask,
      leave,
      () => container.record.facts.container !== undefined && !halt.aborted,
    )
  }

  /**
   * Makes the container; undefined if the attempt ends before there is one. Starts again if the engine has gone
   * meanwhile.
   */
  async #make(engine: DockerEngine, presence: DockerPresence): Promise<string | undefined> {
    const { progress, halt } = this.#options
    const container = new BotContainer({ ...this.#options.container, engine })
    for (;;) {
      const found = await this.#patiently(() => container.find())
      if (found !== undefined) return found
      if (halt.aborted) return undefined
      const beganAtMs = Date.now()
      try {
        const id = await container.make(progress, this.#haltOrLeave)
        progress.end()
        return id
      } catch (error) {
        this.#haltOrLeave.throwIfAborted()
        if (!presence.wasAwaySince(beganAtMs) && (await answers(engine))) throw error
        progress.line('The container engine is not reachable. This starts over when the engine is back.')
      }
    }
  }

  #watch(
    engine: DockerEngine,
    presence: DockerPresence,
    id: string,
    { startedAt, health }: Running,
  ): ContainerWatch {
    const { container, meter, mask } = this.#options
    const { services, spec } = container
    const { live } = services
    const onUnhealthy = (health: BotHealth) => this.#endUnhealthy(startedAt, health)
    const onMeasured = () => this.#keepUsage()
    const options = { engine, presence, live, meter, mask, onUnhealthy, onMeasured, id, startedAt, health }
    return new ContainerWatch({ ...options, attemptId: spec.attempt_id })
  }

  /**
   * Ends an unhealthy container, which its policy restarts like after any failure; without a policy, the state is only
   * displayed.
   */
  #endUnhealthy(startedAt: string, { output }: BotHealth): void {
    const { container, halt, leave, onStopFailed } = this.#options
    const { plan, record } = container
    if (plan.restart.policy === 'no' || halt.aborted || leave.aborted || this.#made === undefined) return
    const { engine, id } = this.#made
    try {
      record.keep({ unhealthy: { startedAt, output } })
    } catch {
      // Then the end counts as somebody else's stop.
    }
    // An engine that was away may have restarted it meanwhile.
    const stop = async (): Promise<void> => {
      const state = await engine.state(id)
      if (state.type === 'running' && state.startedAt === startedAt)
        await engine.stop(id, plan.stop_grace_seconds)
    }
    retryWhileDockerAway(stop, leave, () => !halt.aborted).catch((error) => {
      if (!leave.aborted) onStopFailed(error)
    })
  }

  /** Stores the usage for a later process of this runner, except the last minutes. */
  #keepUsage(): void {
    const { container, meter } = this.#options
    if (Date.now() - this.#usageStoredAtMs < USAGE_INTERVAL_MS) return
    this.#usageStoredAtMs = Date.now()
    try {
      container.record.keep({ usage: meter.facts })
    } catch {
      // It would only report less.
    }
  }

  /** Watches its volumes until its final end: they stay between its restarts, and it may still write while it stops. */
  #watchVolumes(engine: DockerEngine, id: string): void {
    const { container, onFull } = this.#options
    const { plan, record } = container
    const { places } = record.facts
    if (places === undefined) return
    const { work, imageBytes, data } = places
    void watchVolumes({
      engine,
      container: id,
      limits: {
        work: { volumes: work, limitBytes: bytes(plan.limits.work ?? DEFAULT_WORK), imageBytes },
        data: data === undefined ? undefined : { volume: data, limitBytes: bytes(plan.data!.size) },
      },
      onMeasured: (bytes) => this.#options.meter.onDisk(bytes),
      onFull,
      signal: AbortSignal.any([this.#options.leave, this.#over.signal]),
    })
  }

  #startPatiently(engine: DockerEngine, id: string): Promise<void> {
    const { halt } = this.#options
    return retryWhileDockerAway(
      () => this.#start(engine, id),
      this.#haltOrLeave,
      () => !halt.aborted,
    )
  }

  async #start(engine: DockerEngine, id: string): Promise<void> {
    const { container, halt } = this.#options
    await container.services.networkReady(engine)
    if (halt.aborted) return
    await engine.start(id)
    // An order to stop that came before it ran has stopped nothing.
    if (halt.aborted) this.#stop()
  }

  /** Reports a start of the container, once each. */
  #reportRunning(id: string, startedAt: string): void {
    const { container, report } = this.#options
    const { toldStart, image, newData } = container.record.facts
    if (toldStart === startedAt) return
    // From here on the data may be requested.
    if (newData !== undefined) container.record.keep({ newData: undefined })
    report('running', `${image?.title}, container ${id.slice(0, 12)}, ${limitsText(container.limits)}.`)
    container.record.keep({ toldStart: startedAt, boot: bootId() })
  }
}
