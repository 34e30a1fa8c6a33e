import type { InputAccepted, RunInput } from '../contract/agent-api.ts'
import type { CreateRunInput, RunSummary, RunView } from '../contract/run.ts'
import type {
  Accepted,
  AnswerApproval,
  CancelRunInput,
  ListRunsInput,
  RetryRunInput,
  RunCreated,
  RunList,
  RunStatusView,
  RunsDeleted,
  RunWorkflow,
} from '../contract/run-api.ts'
import type { ValidateAnswer } from '../contract/validate-api.ts'
import type { HubHttp } from './http.ts'

const at = (runId: string, rest = '') => `/api/runs/${encodeURIComponent(runId)}${rest}`

export class RunsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  /** With a key the call may be repeated: the same key and body give the same run. */
  create(
    run: CreateRunInput,
    options: { idempotencyKey?: string; signal?: AbortSignal } = {},
  ): Promise<RunCreated> {
    const headers: Record<string, string> =
      options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey }
    return this.#http.json('POST', '/api/runs', { body: run, headers, signal: options.signal })
  }

  list(query: ListRunsInput = {}): Promise<RunList> {
    return this.#http.json('GET', '/api/runs', {
      query: query as Record<string, string | number | undefined>,
    })
  }

  get(runId: string): Promise<RunView> {
    return this.#http.json('GET', at(runId))
  }

  workflow(runId: string): Promise<RunWorkflow> {
    return this.#http.json('GET', at(runId, '/workflow'))
  }

  cancel(runId: string, options: CancelRunInput = {}): Promise<Accepted> {
    return this.#http.json('POST', at(runId, '/cancel'), { body: options })
  }

  /** An ended run, with the runs that it has started. */
  delete(runId: string): Promise<RunsDeleted> {
    return this.#http.json('DELETE', at(runId))
  }

  /** Gives something to the run's agent. A prompt for a run that has ended begins one that goes on with its session. */
  input(runId: string, input: RunInput): Promise<InputAccepted> {
    return this.#http.json('POST', at(runId, '/input'), { body: input })
  }

  retry(runId: string, options: RetryRunInput = {}): Promise<RunSummary> {
    return this.#http.json('POST', at(runId, '/retry'), { body: options })
  }

  rollback(runId: string): Promise<RunSummary> {
    return this.#http.json('POST', at(runId, '/rollback'), { body: {} })
  }

  approve(runId: string, answer: AnswerApproval): Promise<Accepted> {
    return this.#http.json('POST', at(runId, '/approve'), { body: answer })
  }

  reject(runId: string, answer: AnswerApproval): Promise<Accepted> {
    return this.#http.json('POST', at(runId, '/reject'), { body: answer })
  }

  /** In the shape of the workflow runner's `/run-status`. */
  status(runId: string): Promise<RunStatusView> {
    return this.#http.json('GET', '/run-status', { query: { run_id: runId } })
  }

  validate(yaml: string): Promise<ValidateAnswer> {
    return this.#http.json('POST', '/api/validate', { body: { yaml } })
  }
}
