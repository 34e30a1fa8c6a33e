import type { Readable } from 'node:stream'
import { botOf } from '../../blueprints/bot.ts'
import { parseBytes } from '../../contract/amounts.ts'
import { BotData } from '../../contract/bots/bot.ts'
import type {
  BotDataList,
  BotDataView,
  DataAnswer,
  DataAsk,
  RequestedData,
} from '../../contract/bots/bot-data.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import { sizeText } from '../../platform/text.ts'
import type { TenantRunner } from '../../stores/accounts.ts'
import type { BotDataStore, StoredData } from '../../stores/sqlite/bot-data.ts'
import type { BotOwner } from './bot-admission.ts'
import type { KnownBots } from './bot-view.ts'

/** Asks the runner that has the data. */
export interface DataQueries {
  /** Throws what the runner reports, or `unavailable`. */
  answer(of: TenantRunner, ask: DataAsk, withinMs: number): Promise<DataAnswer>
  body(of: TenantRunner, ask: DataAsk, withinMs: number): Promise<Readable>
  /** Takes what a runner sends. Throws `not_found` if nobody waits for it. */
  take(tenant: string, askId: string, body: Readable): Promise<void>
}

export interface BotDataPlacesOptions {
  engine: Pick<EngineFace, 'view' | 'get'>
  store: BotDataStore
  asks: DataQueries
  known: KnownBots
  /** Limits the bytes of all data of one user together. */
  limitBytes: number
}

const MEASURED_WITHIN_MS = 2_000
const DONE_WITHIN_MS = 60_000

/** Describes the data that a run of a bot should have. */
export interface DataOrder {
  botId: string
  /** Data that the request asks for; undefined to keep them as before. */
  value?: RequestedData
  /** The run that this one replaces, and its data. */
  before?: { data?: BotData; run: RunRecord }
  /** Runner that the owner has named. */
  runner?: string
}

/** Manages the data of all bots: where they are, how large they may be, and when they are removed. */
export class BotDataPlaces {
  readonly #options: BotDataPlacesOptions
  readonly #upMutex = new KeyedMutex()

  constructor(options: BotDataPlacesOptions) {
    this.#options = options
  }

  /**
   * Returns the data of a run to create, or undefined if it has none. Throws `quota_exceeded`, and `conflict` if the
   * run could not reach its data or they would not fit.
   */
  async planned(of: BotOwner, { botId, value, before, runner }: DataOrder): Promise<BotData | undefined> {
    const requested = value ?? before?.data
    if (requested === undefined || requested === false) return undefined
    const stored = await this.#options.store.get({ ...of, bot_id: botId })
    const { runner: _, ...data } = BotData.parse({
      ...(stored && { path: stored.path, size: stored.limit_bytes }),
      ...before?.data,
      ...(requested === true ? {} : defined(requested)),
    })
    await this.#checkQuota(of, botId, bytes(data))
    await this.#checkFits(of, botId, bytes(data), stored)
    const isLive = before?.data !== undefined && !isFinalRun(before.run.status)
    const home = stored?.runner ?? (isLive ? await this.#runnerOf(before.run) : undefined)
    if (runner !== undefined && home !== undefined && runner !== home)
      throw new ErrandError(
        'conflict',
        `The data of the bot "${botId}" are on the runner "${home}", not on "${runner}".`,
        {
          hint: `Omit --runner. Or export the data (errand bot data export ${botId}), remove them (errand bot data remove ${botId}), and start the bot again there.`,
        },
      )
    return runner === undefined && home !== undefined ? { ...data, runner: home } : data
  }

  /** Records that the container of the run is up, and that the bot's data are there from now on. */
  async up(runId: string): Promise<void> {
    const run = await this.#options.engine.get(runId)
    if (run?.blueprint !== 'bot') return
    const { tenant, owner, workflow_name } = run
    await this.#upMutex.run(JSON.stringify([tenant, owner, workflow_name]), () => this.#up(run))
  }

  async #up(run: RunRecord): Promise<void> {
    const { data } = botOf(run.workflow).args
    if (data === undefined) return
    const runner = await this.#runnerOf(run)
    const { tenant, owner, workflow_name: bot_id } = run
    const created_at = new Date().toISOString()
    const stored = await this.#options.store.get({ tenant, owner, bot_id })
    const currentBytes = await this.#currentBytes(stored, bytes(data))
    // If more data may be there than the limit allows, the larger old limit still counts.
    const limit_bytes =
      currentBytes === undefined || currentBytes > bytes(data) ? stored!.limit_bytes : bytes(data)
    await this.#options.store.put({
      ...{ tenant, owner, bot_id, runner, path: data.path, limit_bytes, created_at },
    })
  }

  /** Returns the data of a bot. Throws `not_found`. */
  async get(of: BotOwner, botId: string): Promise<BotDataView> {
    return await this.#view(await this.#stored(of, botId))
  }

  /** Lists the data of an owner, or of the whole tenant if none is given. */
  async list(of: { tenant: string; owner?: string }): Promise<BotDataList> {
    const stored = await this.#options.store.list(of)
    return {
      data: await Promise.all(stored.map((each) => this.#view(each))),
      limit_bytes: this.#options.limitBytes,
    }
  }

  /** Measures the bytes that are there now; undefined if they cannot be measured. */
  async measured(of: BotOwner, botId: string, runner: string | undefined): Promise<number | undefined> {
    const { asks } = this.#options
    const id = runner ?? (await this.#options.store.get({ ...of, bot_id: botId }))?.runner
    if (id === undefined) return undefined
    const ask = { what: 'measure', bot_id: botId, ...of } as const
    try {
      const { exists, bytes } = await asks.answer({ tenant: of.tenant, id }, ask, MEASURED_WITHIN_MS)
      return exists ? bytes : 0
    } catch {
      return undefined
    }
  }

  /** Returns the data as a tar, as the runner sends it. Throws `not_found` or `unavailable`. */
  async export(of: BotOwner, botId: string): Promise<Readable> {
    const { runner, limit_bytes } = await this.#stored(of, botId)
    const ask = { what: 'export', bot_id: botId, ...of, limit_bytes } as const
    return await this.#options.asks.body({ tenant: of.tenant, id: runner }, ask, DONE_WITHIN_MS)
  }

  /**
   * Removes the data for good, after the bot has ended. With `forget`, it works even if the runner is away; the files
   * then stay there. Throws `not_found`, `conflict` or `unavailable`.
   */
  async remove(of: BotOwner, botId: string, { forget }: { forget: boolean }): Promise<void> {
    const { store, asks, known } = this.#options
    const { runner } = await this.#stored(of, botId)
    if ((await known.openRuns(of, botId)).length > 0)
      throw new ErrandError('conflict', `The bot "${botId}" has not ended, so its data are in use.`, {
        hint: `Stop it first (errand bot stop ${botId}), or do both with --force.`,
      })
    const ask = { what: 'remove', bot_id: botId, ...of } as const
    try {
      await asks.answer({ tenant: of.tenant, id: runner }, ask, DONE_WITHIN_MS)
    } catch (error) {
      if (!(error instanceof ErrandError && error.code === 'unavailable')) throw error
      if (!forget)
        throw new ErrandError('unavailable', error.message, {
          hint: `Try again when the runner is connected. With --force, the hub forgets the data, which then stay on the runner.`,
          cause: error,
        })
    }
    await store.remove({ ...of, bot_id: botId })
  }

  /** Takes what a runner sends for an `export`. */
  async take(tenant: string, askId: string, body: Readable): Promise<void> {
    await this.#options.asks.take(tenant, askId, body)
  }

  async #stored(of: BotOwner, botId: string): Promise<StoredData> {
    const stored = await this.#options.store.get({ ...of, bot_id: botId })
    if (stored !== undefined) return stored
    throw new ErrandError('not_found', `Bot "${botId}" has no data.`, {
      hint: 'List data with: errand bot data list. A bot has data once it has been up with --data.',
    })
  }

  async #view(stored: StoredData): Promise<BotDataView> {
    const { tenant, ...view } = stored
    const { owner, bot_id, runner } = view
    const [bytes, open] = await Promise.all([
      this.measured({ tenant, owner }, bot_id, runner),
      this.#options.known.openRuns({ tenant, owner }, bot_id),
    ])
    const in_use = open.some(({ workflow }) => botOf(workflow).args.data !== undefined)
    return { ...view, bytes, in_use }
  }

  /** Returns the bytes that might not fit the limit: 0 unless it is below the old one; then they are measured. */
  async #currentBytes(stored: StoredData | undefined, limitBytes: number): Promise<number | undefined> {
    if (stored === undefined || stored.limit_bytes <= limitBytes) return 0
    const { tenant, owner, bot_id, runner } = stored
    return await this.measured({ tenant, owner }, bot_id, runner)
  }

  /**
   * Checks that a lowered limit still covers the data that are there, because the limit is what counts toward the
   * quota.
   */
  async #checkFits(
    of: BotOwner,
    botId: string,
    requestedBytes: number,
    stored: StoredData | undefined,
  ): Promise<void> {
    for (const { workflow } of await this.#options.known.openRuns(of, botId)) {
      const { data } = botOf(workflow).args
      if (data !== undefined && bytes(data) > requestedBytes)
        throw new ErrandError(
          'conflict',
          `The bot "${botId}" is running and may write ${sizeText(bytes(data))} of data, so their limit cannot be ${sizeText(requestedBytes)}.`,
          { hint: `Stop it first (errand bot stop ${botId}), then start it with less.` },
        )
    }
    const currentBytes = await this.#currentBytes(stored, requestedBytes)
    if (currentBytes !== undefined && currentBytes <= requestedBytes) return
    const there =
      currentBytes === undefined
        ? `it was ${sizeText(stored!.limit_bytes)}, and their current size is not known`
        : `they have ${sizeText(currentBytes)}`
    throw new ErrandError(
      'conflict',
      `The limit for the data of the bot "${botId}" cannot be ${sizeText(requestedBytes)}: ${there}.`,
      {
        hint: `Keep the limit with --data-size ${sizeText(stored!.limit_bytes).replace(' ', '')}, or export the data (errand bot data export ${botId}) and remove them: errand bot data remove ${botId}`,
      },
    )
  }

  /** Checks the quota. It counts existing data and those of runs that have not been up yet. */
  async #checkQuota(of: BotOwner, botId: string, requestedBytes: number): Promise<void> {
    const { store, known, limitBytes } = this.#options
    const byBot = new Map<string, number>()
    const count = (id: string, more: number) => byBot.set(id, Math.max(byBot.get(id) ?? 0, more))
    for (const { bot_id, limit_bytes } of await store.list(of)) count(bot_id, limit_bytes)
    for (const { workflow, workflow_name } of await known.openRuns(of)) {
      const { data } = botOf(workflow).args
      if (data !== undefined) count(workflow_name, bytes(data))
    }
    byBot.delete(botId)
    const others = [...byBot.values()].reduce((sum, each) => sum + each, 0)
    if (others + requestedBytes <= limitBytes) return
    const ids = [...byBot.keys()].sort()
    throw new ErrandError(
      'quota_exceeded',
      `The data of your bots would have ${sizeText(others + requestedBytes)}; the limit is ${sizeText(limitBytes)}.`,
      {
        hint:
          ids.length === 0
            ? 'Set a smaller --data-size, or ask the operator to raise ERRAND_BOT_DATA.'
            : `Set a smaller --data-size, or remove data that you no longer need: errand bot data remove ${ids[0]}`,
        details: { bots: ids, wanted_bytes: requestedBytes, used_bytes: others, max_bytes: limitBytes },
      },
    )
  }

  /** Returns the runner of the last attempt of an open run. */
  async #runnerOf({ run_id }: RunRecord): Promise<string> {
    const { steps } = await this.#options.engine.view(run_id)
    const runner = steps[0]?.instances[0]?.attempts.at(-1)?.runner
    if (runner !== undefined) return runner
    throw new ErrandError(
      'conflict',
      `The run ${run_id} of this bot has no runner yet, so its data is not stored anywhere.`,
      {
        hint: 'Wait until it is up, or stop it and start it again.',
      },
    )
  }
}

/** Returns the bytes of a size that the contract has validated. */
const bytes = ({ size }: Pick<BotData, 'size'>): number => parseBytes(String(size))!

const defined = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, value]) => value !== undefined)) as T
