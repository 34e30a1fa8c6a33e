import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Reason } from '../../contract/status.ts'
import { bootId } from '../../platform/proc.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { ContainerLimits, DockerEngine } from '../docker/docker-engine.ts'
import type { BotPlan } from '../ports.ts'
import { megabytes } from './bot-caps.ts'
import { type BotRecord, type Exited, isKeptUp, nextRestart, type PlannedRestart } from './bot-record.ts'
import type { DockerPresence } from './docker-presence.ts'

/** Exit codes after SIGKILL and SIGTERM, and of what an engine has lost sight of. */
const KILLED = 137
const TERMINATED = 143
const NOT_KNOWN = 255
const ANSWERS_WITHIN_MS = 20_000
/** An engine that is stopped is away so soon after the end of a container. */
const AWAY_SOON_MS = 60_000
const UNSEEN_END =
  'It ended by itself while its container engine was away, as far as that can be told: nothing was heard of a signal.'

export interface ContainerRestartsOptions {
  engine: DockerEngine
  /** Of the container. */
  id: string
  plan: BotPlan
  limits: ContainerLimits
  record: BotRecord
  presence: DockerPresence
  tell(phase: 'restarting', message: string, reason?: Reason): void
  /** Asks again while the engine is away. */
  patiently<T>(ask: () => Promise<T>): Promise<T>
  /** Aborted where the attempt is to end. */
  halt: AbortSignal
  /** Aborted where this process lets go of it. */
  leave: AbortSignal
}

/** The consequences of a container's end: it is begun again, or the attempt ends. */
export class ContainerRestarts {
  readonly #options: ContainerRestartsOptions

  constructor(options: ContainerRestartsOptions) {
    this.#options = options
  }

  /** The end of the attempt; or undefined, once it is time to start it again. */
  async after(exited: Exited): Promise<Ending | undefined> {
    const { plan, limits, record, halt } = this.#options
    const exit = await this.#withMemory(exited)
    const before = record.facts.restart
    const unhealthy =
      record.facts.unhealthy?.startedAt === exit.startedAt ? record.facts.unhealthy : undefined
    const failed = exitEnding(exit, limits, before?.inARow ?? 0, unhealthy)
    if (halt.aborted || failed.type === 'start_failed') return failed
    // Planned by an earlier process of this runner.
    if (before?.after === exit.finishedAt) return (await this.#isDue(before.dueAtMs)) ? undefined : failed
    const by = exit.oom || unhealthy !== undefined ? 'itself' : await this.#endedBy(exit)
    if (by === 'engine' || by === 'machine') return await this.#takenAlong(exit, by)
    if (by === 'someone' && exit.exitCode === 0 && !isKeptUp(plan.restart))
      return { type: 'lost', why: 'Its container was stopped by its engine, or by someone else.' }
    const restart = nextRestart(plan.restart, exit, before, Date.now(), unhealthy && { failed: true })
    if (restart === undefined) {
      const isGoodEnd = by === 'itself_unseen' && failed.type === 'exited' && exit.exitCode === 0
      return isGoodEnd ? { ...failed, message: UNSEEN_END } : failed
    }
    const inSeconds = Math.ceil((restart.dueAtMs - Date.now()) / 1000)
    const count = plan.restart.policy === 'on-failure' ? ` of ${plan.restart.max_restarts}` : ''
    const why = unhealthy === undefined ? exitText(exit) : unhealthyText(unhealthy)
    this.#plan(
      restart,
      `${why}. Restart ${restart.inARow}${count} in ${inSeconds} s.`,
      unhealthy && 'unhealthy',
    )
    return (await this.#isDue(restart.dueAtMs)) ? undefined : failed
  }

  /** The bot did nothing wrong: it is started again, which counts for nothing. */
  async #takenAlong(exit: Exited, by: 'engine' | 'machine'): Promise<Ending | undefined> {
    const { plan, record, engine, patiently } = this.#options
    if (by === 'machine' && plan.restart.policy === 'no')
      return { type: 'lost', why: 'Its machine was started anew, and it has no --restart.' }
    const inARow = record.facts.restart?.inARow ?? 0
    const what = by === 'machine' ? 'machine was started anew' : 'container engine was stopped'
    const message = `Its ${what}, and the bot with it (${exitText(exit).toLowerCase()}). It is started again.`
    this.#plan({ after: exit.finishedAt, inARow, dueAtMs: Date.now() }, message, 'engine_restarted')
    // One that is just being stopped would start it, and end it again.
    await patiently(() => engine.ping(ANSWERS_WITHIN_MS))
    return undefined
  }

  #plan(restart: PlannedRestart, message: string, reason?: Reason): void {
    this.#options.tell('restarting', message, reason)
    this.#options.record.keep({ restart })
  }

  /**
   * An engine that is stopped ends its containers, and one that was killed does so when it is back; what they make of that, an
   * exit code of 0 too, tells nothing. It forgets it with its own end: so what this process has heard counts, and where
   * it was not there either, the exit code.
   */
  async #endedBy({
    startedAt,
    finishedAt,
    exitCode,
  }: Exited): Promise<'itself' | 'itself_unseen' | 'someone' | 'engine' | 'machine'> {
    const { engine, id, presence, record, patiently } = this.#options
    const { seen, knownFromMs } = await patiently(() => engine.history(id, startedAt))
    const startedAtMs = Date.parse(startedAt)
    const finishedAtMs = Date.parse(finishedAt)
    // Where it has forgotten too much, it is only known whether it was away.
    const isKnown = knownFromMs < finishedAtMs || presence.wasAwaySince(finishedAtMs - AWAY_SOON_MS)
    const isUnseen = !seen.has('ended') && isKnown
    const { boot = '' } = record.facts
    const isBoot = boot !== '' && boot !== bootId()
    // Neither its end nor its start is of this boot; a busy engine need not have been found away for that.
    if (isBoot && !seen.has('ended') && !seen.has('start')) return 'machine'
    if (!isUnseen) {
      if (!seen.has('signaled')) return 'itself'
      const isYounger = knownFromMs < startedAtMs && !seen.has('start')
      if (isYounger && !presence.heardSignal(id, startedAtMs)) return 'engine'
      // It may be just being stopped.
      return await engine.ping(ANSWERS_WITHIN_MS).then(
        () => 'someone',
        () => 'engine',
      )
    }
    if (isBoot) return 'machine'
    if (presence.heardSignal(id, startedAtMs)) return 'engine'
    const isBySignal = exitCode === TERMINATED || exitCode === KILLED || exitCode === NOT_KNOWN
    if (presence.hasListenedAt(finishedAtMs)) return isBySignal ? 'engine' : 'itself_unseen'
    return isBySignal || exitCode === 0 ? 'engine' : 'itself_unseen'
  }

  /** With what the engine came to know of its memory only after the end. */
  async #withMemory(exit: Exited): Promise<Exited> {
    const { engine, id, halt, patiently } = this.#options
    if (exit.oom || exit.exitCode !== KILLED || halt.aborted) return exit
    return { ...exit, oom: await patiently(() => engine.wasOutOfMemory(id, exit.startedAt)) }
  }

  /** Waits; false where it is to end before. */
  async #isDue(atMs: number): Promise<boolean> {
    const { halt, leave } = this.#options
    try {
      const signal = AbortSignal.any([halt, leave])
      await sleep(Math.max(0, atMs - Date.now()), undefined, { signal })
      return true
    } catch {
      leave.throwIfAborted()
      return false
    }
  }
}

/** How a container came to its end, as the attempt's. `restarts`: how often in a row it was begun again before. */
function exitEnding(
  exit: Exited,
  limits: ContainerLimits,
  restarts: number,
  unhealthy?: { output?: string },
): Ending {
  const { exitCode: code, oom, error } = exit
  if (error !== undefined)
    return { type: 'start_failed', message: `The container could not be started: ${error}.` }
  const again =
    restarts === 0 ? '' : ` It was restarted ${restarts === 1 ? 'once' : `${restarts} times`} before.`
  if (unhealthy !== undefined)
    return { type: 'action_failed', reason: 'action_failed', message: `${unhealthyText(unhealthy)}.${again}` }
  if (code === 0) return { type: 'exited', code, message: 'It ended by itself.' }
  if (!oom) return { type: 'exited', code, message: `${exitText(exit)}.${again}` }
  const message = `${exitText(exit)}; it may use ${megabytes(limits.memoryBytes)}.${again}`
  return { type: 'exited', code, reason: 'oom', message }
}

/** In a few words, such as `Exit code 3`. */
function exitText({ exitCode: code, oom }: Exited): string {
  if (oom) return `Out of memory (exit code ${code})`
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0]
  return signal === undefined ? `Exit code ${code}` : `Killed by ${signal} (exit code ${code})`
}

/** In a few words, with what its last check said. */
const unhealthyText = ({ output = '' }: { output?: string }): string =>
  `Unhealthy${output === '' ? '' : `: ${output.replace(/\s+/g, ' ').slice(0, 200).replace(/\.$/, '')}`}`
