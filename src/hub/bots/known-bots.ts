import type { BotView } from '../../contract/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord, RunView } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { BotOwner } from './bot-owner.ts'
import { isLive } from './bot-state.ts'
import { type BotRuns, botRuns, botView, type LiveOf } from './bot-view.ts'

/** Statuses of runs that have not ended. */
export const open = ['queued', 'running'] as const
/** Runs looked at for a list with those that have ended. */
const LISTED_RUNS = 500

/** Looks bots up: each is the newest of the runs that bear its id. */
export class KnownBots {
  readonly #engine: Pick<EngineFace, 'list' | 'view'>

  readonly #live: LiveOf

  constructor(engine: Pick<EngineFace, 'list' | 'view'>, live: LiveOf = () => undefined) {
    this.#engine = engine
    this.#live = live
  }

  /** Newest first: those of one bot, or of all. */
  async openRuns(of: BotOwner, botId?: string): Promise<RunRecord[]> {
    return await this.#runs({ ...of, botId, statuses: open })
  }

  /** Throws `not_found`. */
  async runs(of: BotOwner, botId: string): Promise<BotRuns> {
    const found = botRuns(await this.#runs({ ...of, botId }))
    if (found !== undefined) return found
    throw new ErrandError('not_found', `There is no bot "${botId}".`, {
      hint: 'List yours with: errand bot list',
    })
  }

  /** Throws `not_found`. */
  async view(of: BotOwner, botId: string): Promise<BotView> {
    const { current, update } = await this.runs(of, botId)
    return await this.#view({ current, update }, () => true)
  }

  /** Newest first. Without an owner: those of the whole tenant; `ended`: also those that have. */
  async list(of: { tenant: string; owner?: string }, { ended }: { ended: boolean }): Promise<BotView[]> {
    const live = await this.#runs({ ...of, statuses: open })
    const runs = ended ? withLive(await this.#runs(of), live) : live
    const byBot = Map.groupBy(runs, ({ owner, workflow_name }) => JSON.stringify([owner, workflow_name]))
    const views: BotView[] = []
    // What has ended is told by its record; looking at its whole log would take too long for a list.
    for (const group of byBot.values())
      views.push(await this.#view(botRuns(group)!, ({ status }) => !isFinalRun(status)))
    return ended ? views : views.filter(({ state }) => isLive(state))
  }

  async #view(runs: BotRuns, isLookedAt: (run: RunRecord) => boolean): Promise<BotView> {
    const seen: Record<string, RunView> = {}
    for (const run of [runs.current, runs.update])
      if (run !== undefined && isLookedAt(run)) seen[run.run_id] = await this.#engine.view(run.run_id)
    return botView(runs, seen, Date.now(), this.#live)
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

/** A bot that lives on while others come and go has the older run. Newest first. */
function withLive(newest: readonly RunRecord[], live: readonly RunRecord[]): RunRecord[] {
  const listed = new Set(newest.map(({ run_id }) => run_id))
  return [...newest, ...live.filter(({ run_id }) => !listed.has(run_id))]
}
