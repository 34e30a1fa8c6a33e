import { BOT_STEP, botOf } from '../../blueprints/bot.ts'
import { SOURCE_PASSWORD } from '../../blueprints/bot-source.ts'
import { parseBytes } from '../../contract/amounts.ts'
import type { AttemptUsage } from '../../contract/attempt.ts'
import type { BotData, BotLive, BotSource, BotState, BotUsage } from '../../contract/bots/bot.ts'
import type { BotView } from '../../contract/bots/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord, RunView } from '../../contract/run.ts'
import { isFinalRun, type Reason, type RunStatus } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { BotOwner } from './bot-admission.ts'

/** The current run of a bot, and a run that should replace it or has failed to. */
interface BotRuns {
  current: RunRecord
  update?: RunRecord
}

const modes = {
  simple: 'simple',
  archive: 'custom',
  git: 'custom',
  image: 'image',
} as const satisfies Record<BotSource['mode'], BotView['deployment_mode']>

/** Picks them from the runs of one bot, newest first. */
function botRuns(runs: readonly RunRecord[]): BotRuns | undefined {
  const [newest] = runs
  if (newest === undefined) return undefined
  const old = runs.find(({ run_id }) => run_id === newest.replaces)
  return old !== undefined && isUpdate(newest, old) && outlived(newest, old)
    ? { current: old, update: newest }
    : { current: newest }
}

/**
 * Reports whether the run is an update: it has its own slot. A restart takes the slot of the run before it, and waits
 * for it.
 */
export const isUpdate = (run: RunRecord, old: RunRecord): boolean =>
  botOf(run.workflow).slot !== botOf(old.workflow).slot

/** Reports whether the old run is still open, or was when the new one ended. */
const outlived = (run: RunRecord, old: RunRecord): boolean =>
  !isFinalRun(old.status) || (isFinalRun(run.status) && (run.finished_at ?? '') < (old.finished_at ?? ''))

/** The details of runs whose steps were read. */
export type RunDetails = Readonly<Record<string, RunView | undefined>>

/** Returns the live state of an attempt, if its runner has reported one. */
export type LiveOf = (attemptId: string) => BotLive | undefined

export function botView(
  { current, update }: BotRuns,
  details: RunDetails,
  nowMs: number,
  live: LiveOf = () => undefined,
): BotView {
  const { args, env, secrets, timeoutSeconds } = botOf(current.workflow)
  const { source } = args
  const attempt = lastAttempt(details[current.run_id])
  const life = lifeOf(current, details, live)
  const since = attempt?.phase?.name === 'running' ? attempt.phase.since : undefined
  return {
    bot_id: current.workflow_name,
    ...life,
    owner: current.owner,
    deployment_mode: modes[source.mode],
    image: source.mode === 'image' ? source.image : undefined,
    runner: attempt?.runner,
    created_at: current.created_at,
    started_at: since ?? current.started_at,
    finished_at: current.finished_at,
    uptime_seconds:
      life.state === 'running' && since !== undefined
        ? Math.max(0, Math.floor((nowMs - Date.parse(since)) / 1000))
        : undefined,
    restarts: details[current.run_id] && (attempt?.restarts ?? 0),
    limits: args.limits,
    data: dataOf(args.data, attempt?.runner),
    restart: args.restart,
    health_check: args.health,
    timeout_seconds: Number.isFinite(timeoutSeconds) ? timeoutSeconds : null,
    usage: isFinalRun(current.status)
      ? publicUsage(attempt?.usage)
      : attempt && live(attempt.attempt_id)?.usage,
    env,
    env_vars: secrets.filter((name) => name !== SOURCE_PASSWORD),
    update: update && { ...lifeOf(update, details, live), created_at: update.created_at },
  }
}

function dataOf(data: BotData | undefined, runner: string | undefined): BotView['data'] {
  if (data === undefined) return undefined
  return { path: data.path, limit_bytes: parseBytes(String(data.size))!, runner: data.runner ?? runner }
}

const publicUsage = (usage: AttemptUsage | undefined): BotUsage | undefined => {
  if (usage === undefined) return undefined
  const { held_by, not_held, ...figures } = usage
  return figures
}

function lifeOf(run: RunRecord, details: RunDetails, live: LiveOf) {
  const { run_id, status } = run
  const step = details[run_id]?.steps[0]?.instances[0]
  const attempt = lastAttempt(details[run_id])
  const phase = attempt?.phase
  const ended = isFinalRun(status)
  const reason = ended
    ? (step?.reason ?? run.reason)
    : phase?.name === 'restarting'
      ? phase.reason
      : undefined
  const now = ended || attempt === undefined ? undefined : live(attempt.attempt_id)
  const away =
    now?.engine_away_since && `Its container engine has not answered since ${now.engine_away_since}.`
  return {
    run_id,
    state: botState({ status, reason: reason ?? run.reason, phase: phase?.name }),
    status,
    reason,
    message: ended ? (withoutStep(run.message) ?? step?.message) : (away ?? waitsFor(run) ?? phase?.message),
    exit_code: step?.exit_code,
    engine_away_since: now?.engine_away_since,
    cannot_reach: now?.cannot_reach,
    health: phase?.name === 'running' ? now?.health : undefined,
  }
}

const lastAttempt = (view: RunView | undefined) => view?.steps[0]?.instances[0]?.attempts.at(-1)

/** Removes the text about the step: a bot has only one, so that it ended the run says nothing. */
export const withoutStep = (message: string | undefined) => message?.replace(STEP_ENDED, '')
const STEP_ENDED = new RegExp(`^Step "${BOT_STEP}" (failed|interrupted): `)

/** Returns why a run waits. A restart waits for only one run, whatever its slot is called. */
function waitsFor({ status, waiting, replaces, workflow, workflow_name }: RunRecord): string | undefined {
  if (waiting === undefined) return undefined
  if (status === 'queued' && replaces !== undefined) return `Waiting for the end of ${replaces}.`
  const { data } = botOf(workflow).args
  if (data?.runner === undefined) return waiting
  return `${waiting} (its data are on runner "${data.runner}"; to continue without them: errand bot stop ${workflow_name}, then start it without --data)`
}

/** The facts that determine the state of a bot. */
export interface BotStatusFacts {
  status: RunStatus
  reason?: Reason
  /** Last phase that its attempt reported. */
  phase?: string
}

/** States while the run is open. A bot that starts again after a failure is in `start`. */
const byPhase: Readonly<Record<string, BotState>> = {
  building: 'building',
  pulling: 'pulling',
  running: 'running',
  restarting: 'start',
}

/** States after the run has ended. A bot that ended by itself with exit code 0 is `stopped`. */
const byEnd: Readonly<Record<Exclude<RunStatus, 'queued' | 'running'>, BotState>> = {
  success: 'stopped',
  canceled: 'stopped',
  failed: 'crashed',
  interrupted: 'crashed',
}

/** Returns the state that users see. */
export function botState({ status, reason, phase }: BotStatusFacts): BotState {
  if (status === 'queued') return 'start'
  if (status === 'running') return (phase === undefined ? undefined : byPhase[phase]) ?? 'start'
  return reason === 'timeout' ? 'timeout' : byEnd[status]
}

const ends = ['stopped', 'crashed', 'timeout'] as const

/** The states that may follow each state that users see. ARCHITECTURE.md shows them as a diagram. */
export const botMoves: Readonly<Record<BotState, readonly BotState[]>> = {
  start: ['building', 'pulling', 'running', ...ends],
  building: ['running', ...ends],
  pulling: ['running', ...ends],
  running: ['start', ...ends],
  stopped: [],
  crashed: [],
  timeout: [],
}

/** Reports whether the bot has not ended. */
export const isLive = (state: BotState): boolean => botMoves[state].length > 0

/** Statuses of runs that have not ended. */
export const open = ['queued', 'running'] as const
/** Limits the runs read for a list that includes ended bots. */
const LISTED_RUNS = 500

/** Looks up bots. A bot is the newest of the runs with its id. */
export class KnownBots {
  readonly #engine: Pick<EngineFace, 'list' | 'view'>

  readonly #live: LiveOf

  constructor(engine: Pick<EngineFace, 'list' | 'view'>, live: LiveOf = () => undefined) {
    this.#engine = engine
    this.#live = live
  }

  /** Returns the open runs of one bot, or of all, newest first. */
  async openRuns(of: BotOwner, botId?: string): Promise<RunRecord[]> {
    return await this.#runs({ ...of, botId, statuses: open })
  }

  /** Returns the current or last run of the bot, or undefined if there is no such bot. */
  async find(of: BotOwner, botId: string): Promise<RunRecord | undefined> {
    return botRuns(await this.#runs({ ...of, botId }))?.current
  }

  /** Returns the runs of the bot. Throws `not_found`. */
  async runs(of: BotOwner, botId: string): Promise<BotRuns> {
    const found = botRuns(await this.#runs({ ...of, botId }))
    if (found !== undefined) return found
    throw new ErrandError('not_found', `Bot "${botId}" not found.`, {
      hint: 'List bots with: errand bot list',
    })
  }

  /** Returns the view of the bot. Throws `not_found`. */
  async view(of: BotOwner, botId: string): Promise<BotView> {
    const { current, update } = await this.runs(of, botId)
    return await this.#view({ current, update }, () => true)
  }

  /**
   * Lists bots, newest first: those of an owner, or of the whole tenant if none is given. `ended` includes ended
   * ones.
   */
  async list(of: { tenant: string; owner?: string }, { ended }: { ended: boolean }): Promise<BotView[]> {
    const live = await this.#runs({ ...of, statuses: open })
    const runs = ended ? withLive(await this.#runs(of), live) : live
    const byBot = Map.groupBy(runs, ({ owner, workflow_name }) => JSON.stringify([owner, workflow_name]))
    const views: BotView[] = []
    // Ended bots are shown from their records: reading their whole logs would take too long for a list.
    for (const group of byBot.values())
      views.push(await this.#view(botRuns(group)!, ({ status }) => !isFinalRun(status)))
    return ended ? views : views.filter(({ state }) => isLive(state))
  }

  async #view(runs: BotRuns, isRelevant: (run: RunRecord) => boolean): Promise<BotView> {
    const details: Record<string, RunView> = {}
    for (const run of [runs.current, runs.update])
      if (run !== undefined && isRelevant(run)) details[run.run_id] = await this.#engine.view(run.run_id)
    return botView(runs, details, Date.now(), this.#live)
  }

  async #runs(query: {
    tenant: string
    owner?: string
    botId?: string
    statuses?: readonly ('queued' | 'running')[]
  }): Promise<RunRecord[]> {
    const { tenant, owner, botId, statuses } = query
    const filter = { tenant, owner, workflow_name: botId, statuses, blueprint: 'bot', limit: LISTED_RUNS }
    return (await this.#engine.list(filter)).runs
  }
}

/** Adds bots that still run but whose run is older than all listed ones. Newest first. */
function withLive(newest: readonly RunRecord[], live: readonly RunRecord[]): RunRecord[] {
  const listed = new Set(newest.map(({ run_id }) => run_id))
  return [...newest, ...live.filter(({ run_id }) => !listed.has(run_id))]
}
