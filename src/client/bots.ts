import type {
  BotList,
  BotLogs,
  BotLogsInput,
  BotQuery,
  BotStarted,
  BotView,
  ListBotsInput,
  StartBotInput,
  UpdateBotInput,
  Upload,
} from '../contract/bot-api.ts'
import type { BotDataList, BotDataView } from '../contract/bot-data.ts'
import type { HubHttp } from './http.ts'

export class BotsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  start(bot: StartBotInput): Promise<BotStarted> {
    return this.#http.json('POST /api/bots', { body: bot })
  }

  list(query: ListBotsInput = {}): Promise<BotList> {
    return this.#http.json('GET /api/bots', { query })
  }

  get(id: string, of: BotQuery = {}): Promise<BotView> {
    return this.#http.json('GET /api/bots/:id', { params: { id }, query: of })
  }

  /** Ends it; the end comes as an event of its run. One that has ended stays as it is. */
  stop(id: string, of: BotQuery = {}): Promise<BotView> {
    return this.#http.json('POST /api/bots/:id/stop', { params: { id }, query: of, body: {} })
  }

  restart(id: string, of: BotQuery = {}): Promise<BotStarted> {
    return this.#http.json('POST /api/bots/:id/restart', { params: { id }, query: of, body: {} })
  }

  /** `update` of the answer is the run that is to take its place. */
  update(id: string, change: UpdateBotInput, of: BotQuery = {}): Promise<BotStarted> {
    return this.#http.json('POST /api/bots/:id/update', { params: { id }, query: of, body: change })
  }

  /** The last lines. */
  logs(id: string, query: BotLogsInput = {}): Promise<BotLogs> {
    return this.#http.json('GET /api/bots/:id/logs', { params: { id }, query })
  }

  /** Data of bots, also of those that have ended. */
  listData(query: BotQuery = {}): Promise<BotDataList> {
    return this.#http.json('GET /api/bot-data', { query })
  }

  data(id: string, of: BotQuery = {}): Promise<BotDataView> {
    return this.#http.json('GET /api/bots/:id/data', { params: { id }, query: of })
  }

  /** A tar of all that stands there. What was cut short ends with an error. */
  async exportData(id: string, of: BotQuery = {}): Promise<ReadableStream<Uint8Array>> {
    return (await this.#http.send('GET /api/bots/:id/data/export', { params: { id }, query: of })).body!
  }

  /** For good. `force`: stops the bot first, and forgets data whose runner is away. */
  async removeData(id: string, query: BotQuery & { force?: boolean } = {}): Promise<void> {
    await this.#http.done('DELETE /api/bots/:id/data', { params: { id }, query })
  }

  /** Keeps a zip, tar or tar.gz, for `upload` of a bot; its bytes say which it is. */
  upload(archive: Uint8Array): Promise<Upload> {
    return this.#http.json('PUT /api/uploads', {
      bytes: archive,
      headers: { 'content-type': 'application/octet-stream' },
    })
  }
}
