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
    return this.#http.json('POST /api/runs', { body: run, headers, signal: options.signal })
  }

  list(query: ListRunsInput = {}): Promise<RunList> {
    return this.#http.json('GET /api/runs', { query })
  }

  get(runId: string): Promise<RunView> {
    return this.#http.json('GET /api/runs/:id', { params: { id: runId } })
  }

  workflow(runId: string): Promise<RunWorkflow> {
    return this.#http.json('GET /api/runs/:id/workflow', { params: { id: runId } })
  }

  cancel(runId: string, options: CancelRunInput = {}): Promise<Accepted> {
    return this.#http.json('POST /api/runs/:id/cancel', { params: { id: runId }, body: options })
  }

  /** An ended run, with the runs that it has started. */
  delete(runId: string): Promise<RunsDeleted> {
    return this.#http.json('DELETE /api/runs/:id', { params: { id: runId } })
  }

  /** Gives something to the run's agent. A prompt for a run that has ended begins one that goes on with its session. */
  input(runId: string, input: RunInput): Promise<InputAccepted> {
    return this.#http.json('POST /api/runs/:id/input', { params: { id: runId }, body: input })
  }

  retry(runId: string, options: RetryRunInput = {}): Promise<RunSummary> {
    return this.#http.json('POST /api/runs/:id/retry', { params: { id: runId }, body: options })
  }

  rollback(runId: string): Promise<RunSummary> {
    return this.#http.json('POST /api/runs/:id/rollback', { params: { id: runId }, body: {} })
  }

  approve(runId: string, answer: AnswerApproval): Promise<Accepted> {
    return this.#http.json('POST /api/runs/:id/approve', { params: { id: runId }, body: answer })
  }

  reject(runId: string, answer: AnswerApproval): Promise<Accepted> {
    return this.#http.json('POST /api/runs/:id/reject', { params: { id: runId }, body: answer })
  }

  /** In the shape of the workflow runner's `/run-status`. */
  status(runId: string): Promise<RunStatusView> {
    return this.#http.json('GET /run-status', { query: { run_id: runId } })
  }

  validate(yaml: string): Promise<ValidateAnswer> {
    return this.#http.json('POST /api/validate', { body: { yaml } })
  }
}
