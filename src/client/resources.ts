import type {
  ChangePassword,
  CreateTokenInput,
  CreateUserInput,
  ListTokens,
  ListUsers,
  LoginAnswer,
  Me,
  PatchUser,
  TokenCreated,
  TokenList,
  UserCreated,
  UserList,
  UserView,
} from '../contract/account-api.ts'
import type { InputAccepted, RunInput } from '../contract/agent-api.ts'
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
} from '../contract/bots/bot-api.ts'
import type { BotDataList, BotDataView } from '../contract/bots/bot-data.ts'
import type { CreateRunInput, RunSummary, RunView } from '../contract/run.ts'
import type {
  Accepted,
  AnswerApproval,
  ArtifactList,
  CancelRunInput,
  FoundLines,
  Lines,
  LinesQuery,
  ListRunsInput,
  RunCreated,
  RunList,
  RunStatusView,
  RunsDeleted,
  RunWorkflow,
  SearchLinesQuery,
  Stretches,
  StretchesQuery,
  ValidateAnswer,
} from '../contract/run-api.ts'
import type { RetryPlan, RetryRun } from '../contract/runs/retry.ts'
import type { BulkDone, BulkRunsInput, RunCounts } from '../contract/runs/run-lists.ts'
import type {
  InstancePage,
  InstancesInput,
  LastGood,
  RunOutline,
  StepOverview,
} from '../contract/runs/run-parts.ts'
import type { ListSecrets, PutSecret, SecretAddress, SecretList, StoredSecret } from '../contract/secrets.ts'
import type {
  ApproveTaskInput,
  CancelTaskInput,
  CreateTasksInput,
  FollowTaskInput,
  ListTasksInput,
  PromptTaskInput,
  RetryTaskInput,
  TaskArtifacts,
  TaskDeleted,
  TaskList,
  TaskRuns,
  TaskSummary,
  TasksCreated,
  TaskView,
} from '../contract/tasks/task-api.ts'
import type { HubHttp } from './http.ts'

export class AuthClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  /** Logs in. The token of the answer is for a new client; this one is unchanged. */
  login(username: string, password: string): Promise<LoginAnswer> {
    return this.#http.json('POST /api/auth/login', { body: { username, password } }) as Promise<LoginAnswer>
  }

  /** Ends the session of this client, or with `everywhere` all sessions of its user. */
  logout(options: { everywhere?: boolean } = {}): Promise<void> {
    return this.#http.done('POST /api/auth/logout', { body: options })
  }

  /** Changes the password and ends all sessions of the user; the answer has a new token. */
  changePassword(passwords: ChangePassword): Promise<LoginAnswer> {
    return this.#http.json('POST /api/auth/password', { body: passwords }) as Promise<LoginAnswer>
  }

  me(): Promise<Me> {
    return this.#http.json('GET /api/auth/me')
  }
}

export class TokensClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  list(filter: ListTokens = {}): Promise<TokenList> {
    return this.#http.json('GET /api/tokens', { query: filter })
  }

  create(token: CreateTokenInput): Promise<TokenCreated> {
    return this.#http.json('POST /api/tokens', { body: token })
  }

  revoke(id: string): Promise<void> {
    return this.#http.done('DELETE /api/tokens/:id', { params: { id } })
  }
}

export class UsersClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  list(filter: ListUsers = {}): Promise<UserList> {
    return this.#http.json('GET /api/users', { query: filter })
  }

  create(user: CreateUserInput): Promise<UserCreated> {
    return this.#http.json('POST /api/users', { body: user })
  }

  update(id: string, patch: PatchUser): Promise<UserView> {
    return this.#http.json('PATCH /api/users/:id', { params: { id }, body: patch })
  }

  /** Ends all sessions of the user; API tokens stay valid. */
  logOut(id: string): Promise<void> {
    return this.#http.done('POST /api/users/:id/logout', { params: { id }, body: {} })
  }

  remove(id: string): Promise<void> {
    return this.#http.done('DELETE /api/users/:id', { params: { id } })
  }
}

export class SecretsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  /** Lists secrets, never with their values. */
  list(filter: ListSecrets = {}): Promise<SecretList> {
    return this.#http.json('GET /api/secrets', { query: filter })
  }

  /** Stores a secret, or replaces it. Without a repository or workflow it is for all runs. */
  set(name: string, secret: PutSecret): Promise<StoredSecret> {
    return this.#http.json('PUT /api/secrets/:name', { params: { name }, body: secret })
  }

  remove(name: string, address: SecretAddress = {}): Promise<void> {
    return this.#http.done('DELETE /api/secrets/:name', { params: { name }, query: address })
  }
}

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

  /** Stops a bot; the end comes as an event of its run. One that has ended is unchanged. */
  stop(id: string, of: BotQuery = {}): Promise<BotView> {
    return this.#http.json('POST /api/bots/:id/stop', { params: { id }, query: of, body: {} })
  }

  restart(id: string, of: BotQuery = {}): Promise<BotStarted> {
    return this.#http.json('POST /api/bots/:id/restart', { params: { id }, query: of, body: {} })
  }

  /** Updates a bot. `update` in the answer is the run that will replace its present one. */
  update(id: string, change: UpdateBotInput, of: BotQuery = {}): Promise<BotStarted> {
    return this.#http.json('POST /api/bots/:id/update', { params: { id }, query: of, body: change })
  }

  /** Returns the last lines. */
  logs(id: string, query: BotLogsInput = {}): Promise<BotLogs> {
    return this.#http.json('GET /api/bots/:id/logs', { params: { id }, query })
  }

  /** Lists the data of bots, including those that have ended. */
  listData(query: BotQuery = {}): Promise<BotDataList> {
    return this.#http.json('GET /api/bot-data', { query })
  }

  data(id: string, of: BotQuery = {}): Promise<BotDataView> {
    return this.#http.json('GET /api/bots/:id/data', { params: { id }, query: of })
  }

  /** Returns a tar of all data of a bot. A stream that is cut short ends with an error. */
  async exportData(id: string, of: BotQuery = {}): Promise<ReadableStream<Uint8Array>> {
    return (await this.#http.send('GET /api/bots/:id/data/export', { params: { id }, query: of })).body!
  }

  /** Deletes the data for good. `force`: stops the bot first, and forgets data whose runner is away. */
  async removeData(id: string, query: BotQuery & { force?: boolean } = {}): Promise<void> {
    await this.#http.done('DELETE /api/bots/:id/data', { params: { id }, query })
  }

  /** Stores a zip, tar or tar.gz for a bot's `upload`; its bytes show which it is. */
  upload(archive: Uint8Array): Promise<Upload> {
    return this.#http.json('PUT /api/uploads', {
      bytes: archive,
      headers: { 'content-type': 'application/octet-stream' },
    })
  }
}

export class RunsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  /** Creates a run. With a key the call may be repeated: the same key and body return the same run. */
  create(
    run: CreateRunInput,
    options: { idempotencyKey?: string; signal?: AbortSignal } = {},
  ): Promise<RunCreated> {
    const headers: Record<string, string> =
      options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey }
    return this.#http.json('POST /api/runs', { body: run, headers, signal: options.signal })
  }

  list(query: ListRunsInput = {}): Promise<RunList> {
    return this.#http.json('GET /api/runs', { query })
  }

  counts(query: Omit<ListRunsInput, 'limit' | 'cursor'> = {}): Promise<RunCounts> {
    return this.#http.json('GET /api/run-counts', { query })
  }

  /** Changes several runs. With a key the call may be repeated: nothing is done twice. */
  bulk(body: BulkRunsInput, options: { idempotencyKey?: string } = {}): Promise<BulkDone> {
    const headers: Record<string, string> =
      options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey }
    return this.#http.json('POST /api/runs/bulk', { body, headers })
  }

  /** Returns a run. `instances`: most instances of each step, failed ones first; default: all. */
  get(runId: string, query: { instances?: number } = {}): Promise<RunView> {
    return this.#http.json('GET /api/runs/:id', { params: { id: runId }, query })
  }

  /** Lists the artifacts that its attempts have stored, in their order. */
  artifacts(runId: string): Promise<ArtifactList> {
    return this.#http.json('GET /api/runs/:id/artifacts', { params: { id: runId } })
  }

  /** Returns the bytes of an artifact. Throws `not_found`, `output_damaged`. */
  async artifact(
    runId: string,
    artifactId: string,
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    const params = { id: runId, artifact_id: artifactId }
    const headers = { accept: '*/*' }
    const route = 'GET /api/runs/:id/artifacts/:artifact_id'
    const { body } = await this.#http.send(route, { params, headers, signal })
    return body ?? new Blob([]).stream()
  }

  /**
   * Returns the run's change as a diff, or one of its commits (from 1) as a patch. Throws `not_found` when it has
   * stored none.
   */
  async diff(
    runId: string,
    { commit, signal }: { commit?: number; signal?: AbortSignal } = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const headers = { accept: '*/*' }
    const { body } = await this.#http.send('GET /api/runs/:id/diff', {
      params: { id: runId },
      query: { commit },
      headers,
      signal,
    })
    return body ?? new Blob([]).stream()
  }

  /** Returns lines of an attempt's log, numbered in the order of both streams. */
  lines(runId: string, attempt: number, query: LinesQuery = {}): Promise<Lines> {
    const params = { id: runId, number: attempt }
    return this.#http.json('GET /api/runs/:id/attempts/:number/lines', { params, query })
  }

  /** Returns matching lines from a part of the log; pass `next` as the `cursor` of the next call. */
  searchLines(runId: string, attempt: number, query: SearchLinesQuery): Promise<FoundLines> {
    const params = { id: runId, number: attempt }
    return this.#http.json('GET /api/runs/:id/attempts/:number/lines/search', { params, query })
  }

  /** Returns which lines of a log belong to one stream. */
  stretches(runId: string, attempt: number, query: StretchesQuery): Promise<Stretches> {
    const params = { id: runId, number: attempt }
    return this.#http.json('GET /api/runs/:id/attempts/:number/lines/stretches', { params, query })
  }

  workflow(runId: string): Promise<RunWorkflow> {
    return this.#http.json('GET /api/runs/:id/workflow', { params: { id: runId } })
  }

  /** Returns the steps that a run was made from, without what they do. */
  outline(runId: string): Promise<RunOutline> {
    return this.#http.json('GET /api/runs/:id/outline', { params: { id: runId } })
  }

  cancel(runId: string, options: CancelRunInput = {}): Promise<Accepted> {
    return this.#http.json('POST /api/runs/:id/cancel', { params: { id: runId }, body: options })
  }

  /** Deletes an ended run, with the runs that it has started. */
  delete(runId: string): Promise<RunsDeleted> {
    return this.#http.json('DELETE /api/runs/:id', { params: { id: runId } })
  }

  /** Gives an input to the run's agent. A prompt for an ended run starts one that continues its session. */
  input(runId: string, input: RunInput): Promise<InputAccepted> {
    return this.#http.json('POST /api/runs/:id/input', { params: { id: runId }, body: input })
  }

  /** Returns a page of a step's instances, failed ones first. */
  instances(runId: string, step: string, query: InstancesInput = {}): Promise<InstancePage> {
    const params = { id: runId, step }
    return this.#http.json('GET /api/runs/:id/steps/:step/instances', { params, query })
  }

  /** Summarizes all instances of a step: their states in order, medians, and when they ended. */
  overview(runId: string, step: string, query: Pick<InstancesInput, 'phase'> = {}): Promise<StepOverview> {
    const params = { id: runId, step }
    return this.#http.json('GET /api/runs/:id/steps/:step/overview', { params, query })
  }

  /** Returns the last success before it of the same workflow and owner. */
  lastGood(runId: string): Promise<LastGood> {
    return this.#http.json('GET /api/runs/:id/last-good', { params: { id: runId } })
  }

  retry(runId: string, options: RetryRun = {}): Promise<RunSummary> {
    return this.#http.json('POST /api/runs/:id/retry', { params: { id: runId }, body: options })
  }

  /** Returns the expected course of such a retry without starting it. */
  retryPlan(runId: string, options: RetryRun = {}): Promise<RetryPlan> {
    return this.#http.json('POST /api/runs/:id/retry-plan', { params: { id: runId }, body: options })
  }

  /** Resumes a run that is set aside; for an admin. */
  resume(runId: string): Promise<RunSummary> {
    return this.#http.json('POST /api/runs/:id/resume', { params: { id: runId }, body: {} })
  }

  rollback(runId: string): Promise<RunSummary> {
    return this.#http.json('POST /api/runs/:id/rollback', { params: { id: runId }, body: {} })
  }

  /** Returns other people's runs that wait for an answer which you may give, at most 200. */
  async toApprove(): Promise<RunSummary[]> {
    return (await this.#http.json('GET /api/approvals', {})).runs
  }

  approve(runId: string, answer: AnswerApproval): Promise<Accepted> {
    return this.#http.json('POST /api/runs/:id/approve', { params: { id: runId }, body: answer })
  }

  reject(runId: string, answer: AnswerApproval): Promise<Accepted> {
    return this.#http.json('POST /api/runs/:id/reject', { params: { id: runId }, body: answer })
  }

  /** Returns the shape of the workflow runner's `/run-status`. */
  status(runId: string): Promise<RunStatusView> {
    return this.#http.json('GET /run-status', { query: { run_id: runId } })
  }

  /** Validates a workflow; with `vars` also the values for a run of it. */
  validate(yaml: string, vars?: Record<string, string | number | boolean>): Promise<ValidateAnswer> {
    return this.#http.json('POST /api/validate', { body: { yaml, ...(vars && { vars }) } })
  }
}

export class TasksClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  /** Creates all tasks or none. With a key the call may be repeated, even for tasks without a `task_id`. */
  create(tasks: CreateTasksInput, options: { idempotencyKey?: string } = {}): Promise<TasksCreated> {
    const headers: Record<string, string> =
      options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey }
    return this.#http.json('POST /api/tasks', { body: tasks, headers })
  }

  list(query: ListTasksInput = {}): Promise<TaskList> {
    return this.#http.json('GET /api/tasks', { query })
  }

  /** Returns a task. `id`: `task_…`, `spec/id`, or an id that only one task has; the same for all methods below. */
  get(id: string): Promise<TaskView> {
    return this.#http.json('GET /api/tasks/:id', { params: { id } })
  }

  /** Deletes a task that is over, with the runs of its tries. Throws `task_running`, `conflict`. */
  delete(id: string): Promise<TaskDeleted> {
    return this.#http.json('DELETE /api/tasks/:id', { params: { id } })
  }

  runs(id: string): Promise<TaskRuns> {
    return this.#http.json('GET /api/tasks/:id/runs', { params: { id } })
  }

  artifacts(id: string): Promise<TaskArtifacts> {
    return this.#http.json('GET /api/tasks/:id/artifacts', { params: { id } })
  }

  /**
   * Returns the last change that its tries have stored as a diff, or one of its commits (from 1) as a patch. Throws
   * `not_found`.
   */
  async diff(id: string, { commit }: { commit?: number } = {}): Promise<ReadableStream<Uint8Array>> {
    const headers = { accept: '*/*' }
    const route = 'GET /api/tasks/:id/diff'
    const { body } = await this.#http.send(route, { params: { id }, query: { commit }, headers })
    return body ?? new Blob([]).stream()
  }

  cancel(id: string, options: CancelTaskInput = {}): Promise<TaskSummary> {
    return this.#http.json('POST /api/tasks/:id/cancel', { params: { id }, body: options })
  }

  retry(id: string, options: RetryTaskInput = {}): Promise<TaskSummary> {
    return this.#http.json('POST /api/tasks/:id/retry', { params: { id }, body: options })
  }

  /** Sets whether checks and reviews of its pull request go back to its agent. */
  follow(id: string, follow: FollowTaskInput = {}): Promise<TaskSummary> {
    return this.#http.json('POST /api/tasks/:id/follow', { params: { id }, body: follow })
  }

  approve(id: string, answer: ApproveTaskInput = {}): Promise<TaskSummary> {
    return this.#http.json('POST /api/tasks/:id/approve', { params: { id }, body: answer })
  }

  prompt(id: string, prompt: PromptTaskInput): Promise<{ run_id: string; input_id: string }> {
    return this.#http.json('POST /api/tasks/:id/prompt', { params: { id }, body: prompt })
  }
}
