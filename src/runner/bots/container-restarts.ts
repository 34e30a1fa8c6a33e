import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Reason } from '../../contract/status.ts'
import { bootId } from '../../platform/proc.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { ContainerLimits, DockerEngine } from '../docker/docker-engine.ts'
import type { BotPlan } from '../ports.ts'
import { megabytes } from './bot-caps.ts'
import { type BotRecord, type Exited, isRestarted, nextRestart, type PlannedRestart } from './bot-record.ts'
import type { DockerPresence } from './docker-presence.ts'

/** Exit codes after SIGKILL and SIGTERM, and of a container that an engine has lost track of. */
const KILLED = 137
const TERMINATED = 143
const NOT_KNOWN = 255
const ANSWERS_WITHIN_MS = 20_000
/** Milliseconds after the end of a container within which a stopping engine is away. */
const AWAY_SOON_MS = 60_000
const UNSEEN_END =
  'It apparently ended by itself while its container engine was away: no signal was observed.'

export interface ContainerRestartsOptions {
  engine: DockerEngine
  /** Id of the container. */
  id: string
  plan: BotPlan
  limits: ContainerLimits
  record: BotRecord
  presence: DockerPresence
  report(phase: 'restarting', message: string, reason?: Reason): void
  /** Repeats a call while the engine is away. */
  patiently<T>(ask: () => Promise<T>): Promise<T>
  /** Aborted when the attempt is to end. */
  halt: AbortSignal
  /** Aborted when this process leaves the attempt. */
  leave: AbortSignal
}

/** Decides what follows a container's end: it is restarted, or the attempt ends. */
export class ContainerRestarts {
  readonly #options: ContainerRestartsOptions

  constructor(options: ContainerRestartsOptions) {
    this.#options = options
  }

  /** Returns the end of the attempt, or undefined once it is time to restart the container. */
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
    if (by === 'someone' && exit.exitCode === 0 && !isRestarted(plan.restart))
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

  /** Handles an end that the bot did not cause: it is restarted, and the restart does not count. */
  async #takenAlong(exit: Exited, by: 'engine' | 'machine'): Promise<Ending | undefined> {
    const { plan, record, engine, patiently } = this.#options
    if (by === 'machine' && plan.restart.policy === 'no')
      return { type: 'lost', why: 'Its machine restarted, and it has no --restart.' }
    const inARow = record.facts.restart?.inARow ?? 0
    const what = by === 'machine' ? 'machine restarted' : 'container engine stopped'
    const message = `Its ${what}, which ended the bot (${exitText(exit).toLowerCase()}). The bot is being restarted.`
    this.#plan({ after: exit.finishedAt, inARow, dueAtMs: Date.now() }, message, 'engine_restarted')
    // A stopping engine would start it, and end it again.
    await patiently(() => engine.ping(ANSWERS_WITHIN_MS))
    return undefined
  }

  #plan(restart: PlannedRestart, message: string, reason?: Reason): void {
    this.#options.report('restarting', message, reason)
    this.#options.record.keep({ restart })
  }

  /**
   * Determines who ended a container. A stopping engine ends its containers, and a killed engine does so when it is
   * back. The exit code then means nothing, even if it is 0. The engine forgets the reason when it ends, so this uses
   * what this process has heard, or else the exit code.
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
    // If the engine has forgotten too much, only its absence is known.
    const isKnown = knownFromMs < finishedAtMs || presence.wasAwaySince(finishedAtMs - AWAY_SOON_MS)
    const isUnseen = !seen.has('ended') && isKnown
    const { boot = '' } = record.facts
    const isBoot = boot !== '' && boot !== bootId()
    // Neither its end nor its start is from this boot; a busy engine may never have been found away.
    if (isBoot && !seen.has('ended') && !seen.has('start')) return 'machine'
    if (!isUnseen) {
      if (!seen.has('signaled')) return 'itself'
      const isYounger = knownFromMs < startedAtMs && !seen.has('start')
      if (isYounger && !presence.receivedSignal(id, startedAtMs)) return 'engine'
      // It may be stopping at the moment.
      return await engine.ping(ANSWERS_WITHIN_MS).then(
        () => 'someone',
        () => 'engine',
      )
    }
    if (isBoot) return 'machine'
    if (presence.receivedSignal(id, startedAtMs)) return 'engine'
    const isBySignal = exitCode === TERMINATED || exitCode === KILLED || exitCode === NOT_KNOWN
    if (presence.hasListenedAt(finishedAtMs)) return isBySignal ? 'engine' : 'itself_unseen'
    return isBySignal || exitCode === 0 ? 'engine' : 'itself_unseen'
  }

  /** Adds what the engine learned about its memory only after the end. */
  async #withMemory(exit: Exited): Promise<Exited> {
    const { engine, id, halt, patiently } = this.#options
    if (exit.oom || exit.exitCode !== KILLED || halt.aborted) return exit
    return { ...exit, oom: await patiently(() => engine.wasOutOfMemory(id, exit.startedAt)) }
  }

  /** Waits until the time; returns false if it is to end before. */
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

/** Converts the end of a container to that of the attempt. `restarts`: how often in a row it was restarted before. */
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

/** Describes the end in a few words, such as `Exit code 3`. */
function exitText({ exitCode: code, oom }: Exited): string {
  if (oom) return `Out of memory (exit code ${code})`
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0]
  return signal === undefined ? `Exit code ${code}` : `Killed by ${signal} (exit code ${code})`
}

/** Describes an unhealthy state in a few words, with the output of its last check. */
const unhealthyText = ({ output = '' }: { output?: string }): string =>
  `Unhealthy${output === '' ? '' : `: ${output.replace(/\s+/g, ' ').slice(0, 200).replace(/\.$/, '')}`}`
