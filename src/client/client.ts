import type { AgentsHealth, ChatAnswer, ChatRequest } from '../contract/agent-api.ts'
import type { StreamName } from '../contract/attempt.ts'
import { ErrandError } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import type { HubFacts, ServicesHealth } from '../contract/hub-api.ts'
import type { Health } from '../contract/run-api.ts'
import type { TaskEvent } from '../contract/tasks/task-log.ts'
import { ChannelsClient } from './channels.ts'
import { type FollowOptions, followEvents, followTask } from './events.ts'
import { type ClientOptions, HubHttp } from './http.ts'
import {
  AuthClient,
  BotsClient,
  RunsClient,
  SecretsClient,
  TasksClient,
  TokensClient,
  UsersClient,
} from './resources.ts'
import { RunnersClient } from './runners.ts'
import { SessionsClient } from './sessions.ts'
import { ViewsClient } from './views.ts'

/**
 * Typed client of the hub's API. A refusal becomes an `ErrandError` with the server's code, message and hint; a hub
 * that does not answer becomes `unavailable`.
 */
export class ErrandClient {
  readonly url: string
  readonly auth: AuthClient
  readonly runs: RunsClient
  readonly tasks: TasksClient
  readonly bots: BotsClient
  readonly runners: RunnersClient
  readonly tokens: TokensClient
  readonly users: UsersClient
  readonly secrets: SecretsClient
  readonly channels: ChannelsClient
  readonly views: ViewsClient
  readonly sessions: SessionsClient
  readonly #http: HubHttp

  constructor(options: ClientOptions) {
    const http = new HubHttp(options)
    this.#http = http
    this.url = http.url
    this.auth = new AuthClient(http)
    this.runs = new RunsClient(http)
    this.tasks = new TasksClient(http)
    this.bots = new BotsClient(http)
    this.runners = new RunnersClient(http)
    this.tokens = new TokensClient(http)
    this.users = new UsersClient(http)
    this.secrets = new SecretsClient(http)
    this.channels = new ChannelsClient(http)
    this.views = new ViewsClient(http)
    this.sessions = new SessionsClient(http)
  }

  health(signal?: AbortSignal): Promise<Health> {
    return this.#http.json('GET /health', { signal })
  }

  /** Describes the hub as a whole, for an admin of its first tenant. */
  facts(signal?: AbortSignal): Promise<HubFacts> {
    return this.#http.json('GET /api/hub', { signal })
  }

  /** Returns the agents of the connected runners. */
  agents(signal?: AbortSignal): Promise<AgentsHealth> {
    return this.#http.json('GET /health/agents', { signal })
  }

  /** Returns the outside services that fail now; for an admin. */
  services(signal?: AbortSignal): Promise<ServicesHealth> {
    return this.#http.json('GET /health/services', { signal })
  }

  /** Asks an agent and waits for the whole answer. Aborting cancels the run. */
  chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatAnswer> {
    return this.#http.json('POST /api/chat', { body: request, signal })
  }

  /**
   * Yields a run's events with `seq` > `after`, each once and in order, until `run.finished`. Resumes a broken
   * connection where it was; throws `unavailable` once the hub has not answered for `patienceMs`.
   */
  events(runId: string, options: FollowOptions = {}): AsyncIterable<RunEvent> {
    return followEvents(this.#http, runId, options)
  }

  /** Yields the log of a task until the task is over, as `events` does for a run. */
  taskEvents(id: string, options: Omit<FollowOptions, 'outputBytes'> = {}): AsyncIterable<TaskEvent> {
    return followTask(this.#http, id, options)
  }

  /**
   * Returns bytes of one stream of an attempt, from `start` (inclusive) to `end` (exclusive, default: the present end);
   * none past the end.
   */
  async output(
    runId: string,
    attempt: number,
    stream: StreamName,
    range: { start?: number; end?: number; damaged?: boolean; signal?: AbortSignal } = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const { start = 0, end, damaged = false, signal } = range
    const headers: Record<string, string> = { accept: '*/*' }
    if (end !== undefined && end <= start) return new Blob([]).stream()
    if (start > 0 || end !== undefined) headers.range = `bytes=${start}-${end === undefined ? '' : end - 1}`
    try {
      const response = await this.#http.send('GET /api/runs/:id/attempts/:number/output/:stream', {
        params: { id: runId, number: attempt, stream },
        query: damaged ? { damaged } : {},
        headers,
        signal,
      })
      return response.body ?? new Blob([]).stream()
    } catch (error) {
      if (error instanceof ErrandError && error.code === 'range_not_satisfiable') return new Blob([]).stream()
      throw error
    }
  }
}
