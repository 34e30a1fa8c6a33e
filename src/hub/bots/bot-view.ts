import { BOT_STEP, botOf } from '../../blueprints/bot.ts'
import { SOURCE_PASSWORD } from '../../blueprints/registry-password.ts'
import { parseBytes } from '../../contract/amounts.ts'
import type { AttemptUsage } from '../../contract/attempt.ts'
import type { BotData, BotLive, BotSource, BotUsage } from '../../contract/bot.ts'
import type { BotView } from '../../contract/bot-api.ts'
import type { RunRecord, RunView } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import { botState } from './bot-state.ts'

/** The run that a bot is now, and one that is to take its place or failed to. */
export interface BotRuns {
  current: RunRecord
  update?: RunRecord
}

const modes = {
  simple: 'simple',
  archive: 'custom',
  git: 'custom',
  image: 'image',
} as const satisfies Record<BotSource['mode'], BotView['deployment_mode']>

/** Of the runs of one bot, newest first. */
export function botRuns(runs: readonly RunRecord[]): BotRuns | undefined {
  const [newest] = runs
  if (newest === undefined) return undefined
  const old = runs.find(({ run_id }) => run_id === newest.replaces)
  return old !== undefined && isUpdate(newest, old) && outlived(newest, old)
    ? { current: old, update: newest }
    : { current: newest }
}

/** A restart takes the slot of the run before it, and waits for it; an update has one of its own. */
export const isUpdate = (run: RunRecord, old: RunRecord): boolean =>
  botOf(run.workflow).slot !== botOf(old.workflow).slot

/** The old run is still there, or was when the new one ended. */
const outlived = (run: RunRecord, old: RunRecord): boolean =>
  !isFinalRun(old.status) || (isFinalRun(run.status) && (run.finished_at ?? '') < (old.finished_at ?? ''))

/** The knowledge of a run by its steps, where they were looked at. */
export type Seen = Readonly<Record<string, RunView | undefined>>

/** How an attempt is just now, where its runner has told. */
export type LiveOf = (attemptId: string) => BotLive | undefined

export function botView(
  { current, update }: BotRuns,
  seen: Seen,
  nowMs: number,
  live: LiveOf = () => undefined,
): BotView {
  const { args, env, secrets, timeoutSeconds } = botOf(current.workflow)
  const { source } = args
  const attempt = lastAttempt(seen[current.run_id])
  const life = lifeOf(current, seen, live)
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
    restarts: seen[current.run_id] && (attempt?.restarts ?? 0),
    limits: args.limits,
    data: dataOf(args.data, attempt?.runner),
    restart: args.restart,
    health_check: args.health,
    timeout_seconds: Number.isFinite(timeoutSeconds) ? timeoutSeconds : null,
    usage: isFinalRun(current.status)
      ? keptUsage(attempt?.usage)
      : attempt && live(attempt.attempt_id)?.usage,
    env,
    env_vars: secrets.filter((name) => name !== SOURCE_PASSWORD),
    update: update && { ...lifeOf(update, seen, live), created_at: update.created_at },
  }
}

function dataOf(data: BotData | undefined, runner: string | undefined): BotView['data'] {
  if (data === undefined) return undefined
  return { path: data.path, limit_bytes: parseBytes(String(data.size))!, runner: data.runner ?? runner }
}

const keptUsage = (usage: AttemptUsage | undefined): BotUsage | undefined => {
  if (usage === undefined) return undefined
  const { held_by, not_held, ...kept } = usage
  return kept
}

function lifeOf(run: RunRecord, seen: Seen, live: LiveOf) {
  const { run_id, status } = run
  const step = seen[run_id]?.steps[0]?.instances[0]
  const attempt = lastAttempt(seen[run_id])
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
    health: phase?.name === 'running' ? now?.health : undefined,
  }
}

const lastAttempt = (view: RunView | undefined) => view?.steps[0]?.instances[0]?.attempts.at(-1)

/** A bot has one step: that it was this one which ended the run says nothing. */
export const withoutStep = (message: string | undefined) => message?.replace(STEP_ENDED, '')
const STEP_ENDED = new RegExp(`^Step "${BOT_STEP}" (failed|interrupted): `)

/** A restart waits for one run alone, whatever its slot is called. */
function waitsFor({ status, waiting, replaces, workflow, workflow_name }: RunRecord): string | undefined {
  if (waiting === undefined) return undefined
  if (status === 'queued' && replaces !== undefined) return `It waits for the end of ${replaces}.`
  const { data } = botOf(workflow).args
  if (data?.runner === undefined) return waiting
  return `${waiting} (its data are on runner "${data.runner}"; to go on without them: errand bot stop ${workflow_name}, and start it without --data)`
}
