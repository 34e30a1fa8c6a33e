import { DEFAULT_WORK } from '../../contract/bot.ts'
import type { Ending } from '../attempts/outcome.ts'
import type { ContainerEngine } from '../containers/ports.ts'
import { BotContainer, type BotContainerOptions } from './bot-container.ts'
import { bytes, limitsText } from './bot-limits.ts'
import type { BotLog } from './bot-log.ts'
import type { BuildProgress } from './build-progress.ts'
import { ContainerLog } from './container-log.ts'
import { ContainerRestarts } from './container-restarts.ts'
import { patiently } from './patience.ts'
import { watchPlaces } from './place-watch.ts'

export interface ContainerLifeOptions {
  container: Omit<BotContainerOptions, 'engine'>
  log: BotLog
  progress: BuildProgress
  tell(phase: 'running' | 'restarting', message: string): void
  /** Aborted where it is to end: nothing is built and nothing begun any more. */
  halt: AbortSignal
  /** Aborted where this process lets go of it. */
  leave: AbortSignal
  onStopFailed(error: unknown): void
  /** It has written more than it may; the message says where. */
  onFull(message: string): void
}

/** A bot's container, wherever it is, from there to its end. */
export class ContainerLife {
  readonly #options: ContainerLifeOptions
  /** Either of them is aborted. */
  readonly #haltOrLeave: AbortSignal
  #reached = false
  #made: { engine: ContainerEngine; id: string } | undefined
  #graceSeconds = Number.POSITIVE_INFINITY
  readonly #over = new AbortController()

  constructor(options: ContainerLifeOptions) {
    this.#options = options
    this.#haltOrLeave = AbortSignal.any([options.halt, options.leave])
  }

  /** Its engine is there, and may have something of it. */
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
    const { container, log: botLog, tell, halt, leave } = this.#options
    const engine = await this.#engine()
    this.#reached = true
    const id = await this.#make(new BotContainer({ ...container, engine }))
    if (id === undefined) return { type: 'stopped' }
    this.#made = { engine, id }
    this.#watchPlaces(engine, id)
    if (halt.aborted) this.#stop()
    const log = new ContainerLog({ engine, id, log: botLog, leave })
    const { plan, limits, record } = container
    const restarts = new ContainerRestarts({ engine, id, plan, limits, record, tell, halt, leave })
    for (;;) {
      const state = await patiently(() => engine.state(id), leave)
      if (state.type === 'gone') return { type: 'lost', why: 'Its container was removed by someone else.' }
      if (state.type === 'running') {
        this.#tellRunning(id, state.startedAt)
        await log.follow()
      } else if (state.type === 'created') {
        if (halt.aborted) return { type: 'stopped' }
        await this.#start(engine, id)
      } else {
        if (state.error === undefined) this.#tellRunning(id, state.startedAt)
        await log.readRest()
        const ending = await restarts.after(state, log.wasAway)
        if (ending !== undefined) return ending
        await patiently(() => this.#start(engine, id), this.#haltOrLeave)
      }
    }
  }

  /** Its end is seen by `live`. A second order can only make it quicker. */
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
    patiently(() => engine.stop(id, this.#graceSeconds), leave).catch(onStopFailed)
  }

  /** What was begun already is waited for; anything new is told at once that there is no engine. */
  async #engine(): Promise<ContainerEngine> {
    const { container, leave } = this.#options
    const { services, record } = container
    const connect = () => services.engine()
    if (record.facts.container !== undefined) return await patiently(connect, leave)
    const engine = await connect()
    // Beside the look for what is there already; what fails is asked for again by who waits for it.
    services.networkReady(engine).catch(() => undefined)
    return engine
  }

  /** Undefined: it is to end before there is one. */
  async #make(container: BotContainer): Promise<string | undefined> {
    const { progress, halt, leave } = this.#options
    const found = await patiently(() => container.find(), leave)
    if (found !== undefined) return found
    if (halt.aborted) return undefined
    const id = await container.make(progress, this.#haltOrLeave)
    progress.end()
    return id
  }

  /** As long as it lives: between its restarts too, its places stay. */
  #watchPlaces(engine: ContainerEngine, id: string): void {
    const { container, onFull } = this.#options
    const { plan, record } = container
    const { places } = record.facts
    if (places === undefined) return
    const { work, imageBytes, data } = places
    void watchPlaces({
      engine,
      container: id,
      places: {
        work: { volumes: work, limitBytes: bytes(plan.limits.work ?? DEFAULT_WORK), imageBytes },
        data: data === undefined ? undefined : { volume: data, limitBytes: bytes(plan.data!.size) },
      },
      onFull,
      signal: AbortSignal.any([this.#haltOrLeave, this.#over.signal]),
    })
  }

  async #start(engine: ContainerEngine, id: string): Promise<void> {
    const { container, halt } = this.#options
    await container.services.networkReady(engine)
    if (halt.aborted) return
    await engine.start(id)
    // An order to stop that came before it ran has stopped nothing.
    if (halt.aborted) this.#stop()
  }

  /** Once for each start of the container. */
  #tellRunning(id: string, startedAt: string): void {
    const { container, tell } = this.#options
    const { toldStart, image } = container.record.facts
    if (toldStart === startedAt) return
    tell('running', `${image?.title}, container ${id.slice(0, 12)}, ${limitsText(container.limits)}.`)
    container.record.keep({ toldStart: startedAt })
  }
}
