import { botOf, botRun } from '../../blueprints/bot.ts'
import { REGISTRY_PASSWORD } from '../../blueprints/registry-password.ts'
import type { BotStarted, BotView, StartBot, UpdateBot } from '../../contract/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import { newRunId } from '../../contract/ids.ts'
import type { RunRecord, RunSpec, RunView } from '../../contract/run.ts'
import { secretWarnings } from '../../contract/secret-value.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { Log } from '../../platform/log.ts'
import { allRuns } from '../retention/run-family.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { begunAgain } from './begun-again.ts'
import { type BotQuota, checkQuota } from './bot-quota.ts'
import { isLive } from './bot-state.ts'
import { BotSubmissions } from './bot-submissions.ts'
import { changedRequest } from './bot-update.ts'
import { botRuns, botView, isUpdate, type Seen } from './bot-view.ts'
import { OwnerLocks } from './owner-locks.ts'
import { pulledBy } from './pulled-by.ts'
import { Replacements } from './replacements.ts'
import { startAnew } from './start-anew.ts'
import type { Uploads } from './uploads.ts'

/** Whose bots: names are unique within a tenant. */
export interface BotOwner {
  owner: string
  tenant: string
}

export interface BotsOptions {
  engine: EngineFace
  secrets: Secrets
  uploads: Uploads
  quota: BotQuota
  /** How long the run of an update must have been up before it takes the place of the one before. */
  settleMs?: number
  log: Log
}

const DEFAULT_SETTLE_MS = 5_000
const open = ['queued', 'running'] as const
/** Runs looked at for a list with those that have ended. */
const LISTED_RUNS = 500

/** The bots of all users: each is the newest of the runs that bear its id. */
export class Bots {
  readonly #options: BotsOptions
  readonly #locks = new OwnerLocks()
  readonly #replacements: Replacements
  readonly #submissions: BotSubmissions

  constructor(options: BotsOptions) {
    this.#options = options
    this.#submissions = new BotSubmissions(options)
    const { engine, log, settleMs = DEFAULT_SETTLE_MS } = options
    this.#replacements = new Replacements({ engine, log, settleMs })
  }

  /** For `EngineOptions.admit`. Throws `invalid_argument`, `conflict`. */
  admit(run: RunSpec): void {
    this.#submissions.admit(run)
  }

  /** After the engine has taken up its runs: goes on with what a stop of the hub has interrupted. */
  async resume(): Promise<void> {
    const { engine, secrets, log } = this.#options
    for (const { tenant, run_id } of await secrets.runs()) {
      const run = await engine.get(run_id)
      if (this.#submissions.isUnderWay(run_id)) continue
      if (run === undefined || isFinalRun(run.status)) await secrets.dropOfRun({ tenant, run_id })
      else if (pulledBy(await engine.view(run_id)) !== undefined)
        await secrets.dropOfRun({ tenant, run_id }, REGISTRY_PASSWORD)
    }
    const runs: RunRecord[] = []
    for await (const run of allRuns(engine, { blueprint: 'bot', statuses: open })) runs.push(run)
    for (const run of runs) {
      const old = runs.find(({ run_id }) => run_id === run.replaces)
      if (old === undefined) continue
      if (isUpdate(run, old)) this.#replacements.follow(run, old)
      else await this.#cancel(old, `Restarted as ${run.run_id}.`).catch((error) => log(String(error)))
    }
    this.#options.uploads.keepOnly(() => this.#uploadsInUse())
  }

  /** Told of each run that has ended. */
  ended(runId: string): void {
    this.#drop(runId)
  }

  /** Told of each run whose container is up: its image is there, and the password for that has served. */
  up(runId: string): void {
    this.#drop(runId, REGISTRY_PASSWORD)
  }

  #drop(runId: string, name?: string): void {
    const { engine, secrets, log } = this.#options
    void (async () => {
      const run = await engine.get(runId)
      if (run?.blueprint === 'bot') await secrets.dropOfRun(run, name)
    })().catch((error: Error) =>
      log(
        `The secrets of run ${runId} could not be deleted; the next start of the hub does it: ${error.message}`,
        {
          level: 'warn',
          run_id: runId,
        },
      ),
    )
  }

  /** Throws `bot_exists`, `quota_exceeded`, `invalid_argument`, `not_found` (the upload). */
  async start(of: BotOwner, given: StartBot): Promise<BotStarted> {
    const request = await this.#uploaded(of, given)
    const run_id = newRunId()
    const made = botRun(request, { maxSeconds: this.#options.quota.maxSeconds, slot: run_id })
    return this.#locked(of, async () => {
      checkQuota(given.bot_id, await this.#runs({ ...of, statuses: open }), this.#options.quota)
      await this.#submissions.submit(of, { run_id, ...made })
      return this.#begun(of, given.bot_id, given)
    })
  }

  /** The same bot from its start, once the present run has ended. Throws `not_found`, `conflict`. */
  restart(of: BotOwner, botId: string): Promise<BotStarted> {
    return this.#locked(of, async () => {
      const { current, update } = await this.#present(of, botId)
      const live = !isFinalRun(current.status)
      const again = await begunAgain(current, this.#options)
      if (update !== undefined && !isFinalRun(update.status)) throw underWay(botId, update)
      const { args, secrets: names, slot } = botOf(again.run.workflow)
      const secrets = live ? again.secrets : {}
      if (!live && names.length > 0) throw startAnew(botId, args.source, names)
      if (!live) checkQuota(botId, await this.#runs({ ...of, statuses: open }), this.#options.quota)
      const run_id = newRunId()
      const workflow = { ...again.run.workflow }
      if (!live) workflow.concurrency = { group: `bot ${run_id}`, limit: 1 }
      const replaces = live ? current.run_id : undefined
      await this.#submissions.submit(of, { run_id, blueprint: 'bot', workflow, secrets, replaces })
      if (live && slot !== '') await this.#cancel(current, `Restarted as ${run_id}.`)
      return this.#begun(of, botId)
    })
  }

  /** A new run beside the present one, which ends once the new one is up. Throws `not_found`, `conflict`. */
  async update(of: BotOwner, botId: string, given: UpdateBot): Promise<BotStarted> {
    const change = await this.#uploaded(of, given)
    return this.#locked(of, async () => {
      const { current, update } = await this.#present(of, botId)
      if (isFinalRun(current.status))
        throw new ErrandError('conflict', `The bot "${botId}" does not run: there is nothing to update.`, {
          hint: `Start it with: errand bot start ${botId}`,
        })
      if (update !== undefined && !isFinalRun(update.status)) throw underWay(botId, update)
      const { maxSeconds } = this.#options.quota
      const run_id = newRunId()
      const { run, secrets } = await begunAgain(current, this.#options)
      const { request, kept } = changedRequest(run, change, secrets, maxSeconds)
      const made = botRun(request, { maxSeconds, slot: run_id, kept })
      await this.#submissions.submit(of, { run_id, ...made, replaces: current.run_id })
      this.#replacements.follow({ run_id }, current)
      return this.#begun(of, botId, given)
    })
  }

  /** Ends all runs of the bot; one that has ended stays as it is. Throws `not_found`. */
  stop(of: BotOwner, botId: string, by: string): Promise<BotView> {
    return this.#locked(of, async () => {
      await this.#present(of, botId)
      for (const run of await this.#runs({ ...of, statuses: open, botId }))
        await this.#cancel(run, undefined, by)
      return await this.get(of, botId)
    })
  }

  /** Throws `not_found`. */
  async get(of: BotOwner, botId: string): Promise<BotView> {
    const runs = await this.#present(of, botId)
    const seen: Record<string, RunView> = {}
    for (const run of [runs.current, runs.update])
      if (run !== undefined) seen[run.run_id] = await this.#options.engine.view(run.run_id)
    return botView(runs, seen, Date.now())
  }

  /** The run that the bot is now, or was last. Throws `not_found`. */
  async run(of: BotOwner, botId: string): Promise<RunRecord> {
    return (await this.#present(of, botId)).current
  }

  /** Newest first. Without an owner: those of the whole tenant; `ended`: also those that have. */
  async list(of: { tenant: string; owner?: string }, { ended }: { ended: boolean }): Promise<BotView[]> {
    const { engine } = this.#options
    const runs = await this.#runs({ ...of, statuses: ended ? undefined : open })
    const byBot = Map.groupBy(runs, ({ owner, workflow_name }) => JSON.stringify([owner, workflow_name]))
    const views: BotView[] = []
    for (const group of byBot.values()) {
      const bot = botRuns(group)!
      const seen: Record<string, RunView> = {}
      // What has ended is told by its record; looking at its whole log would take too long for a list.
      for (const run of [bot.current, bot.update])
        if (run !== undefined && !isFinalRun(run.status)) seen[run.run_id] = await engine.view(run.run_id)
      views.push(botView(bot, seen satisfies Seen, Date.now()))
    }
    return ended ? views : views.filter(({ state }) => isLive(state))
  }

  /** May be called twice. Bots go on. */
  async close(): Promise<void> {
    this.#options.uploads.close()
    await this.#replacements.close()
  }

  #locked<T>({ tenant, owner }: BotOwner, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(JSON.stringify([tenant, owner]), work)
  }

  async #runs(query: {
    tenant: string
    owner?: string
    botId?: string
    statuses?: readonly ('queued' | 'running')[]
  }) {
    const { tenant, owner, botId, statuses } = query
    const filter = { tenant, owner, workflow_name: botId, statuses, blueprint: 'bot', limit: LISTED_RUNS }
    return (await this.#options.engine.list(filter)).runs
  }

  async #present(of: BotOwner, botId: string) {
    const found = botRuns(await this.#runs({ ...of, botId }))
    if (found !== undefined) return found
    throw new ErrandError('not_found', `There is no bot "${botId}".`, {
      hint: 'List yours with: errand bot list',
    })
  }

  async #begun(
    of: BotOwner,
    botId: string,
    { env_vars = {} }: Pick<UpdateBot, 'env_vars'> = {},
  ): Promise<BotStarted> {
    const warnings = Object.entries(env_vars).flatMap(([name, value]) =>
      secretWarnings(String(value)).map((warning) => `${name}: ${warning}`),
    )
    return { ...(await this.get(of, botId)), warnings }
  }

  async #cancel({ run_id }: RunRecord, message?: string, by?: string): Promise<void> {
    try {
      await this.#options.engine.cancel(run_id, { by, message })
    } catch (error) {
      if (!(error instanceof ErrandError && error.code === 'run_ended')) throw error
    }
  }

  /** An archive in the request becomes an upload; one that is named must be there. */
  async #uploaded<T extends Pick<StartBot, 'archive' | 'upload' | 'git_url'>>(
    { tenant }: BotOwner,
    { archive, ...request }: T,
  ): Promise<Omit<T, 'archive'>> {
    const { uploads } = this.#options
    if (archive !== undefined) {
      if (request.upload !== undefined || request.git_url !== undefined)
        throw new ErrandError('invalid_argument', 'The bot has several archives.', {
          hint: 'Give one of "archive", "upload" and "git_url".',
        })
      return { ...request, upload: (await uploads.putText(tenant, archive)).upload }
    }
    if (request.upload !== undefined) await uploads.use(tenant, request.upload)
    return request
  }

  async #uploadsInUse(): Promise<Set<string>> {
    const used = new Set<string>()
    for await (const { tenant, workflow } of allRuns(this.#options.engine, { blueprint: 'bot' })) {
      const { source } = botOf(workflow).args
      if (source.mode === 'archive') used.add(this.#options.uploads.pathOf(tenant, source.upload))
    }
    return used
  }
}

const underWay = (botId: string, { run_id }: RunRecord): ErrandError =>
  new ErrandError('conflict', `An update of the bot "${botId}" is under way: run ${run_id}.`, {
    hint: `Wait for it, or end it with: errand runs cancel ${run_id}`,
    details: { run_id },
  })
