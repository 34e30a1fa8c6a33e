import type * as z from 'zod'
import { continuationRun, type FoundSession, findSession } from '../../blueprints/agent.ts'
import type { AttemptInput, DeniedUses, NewInput, Usage } from '../../contract/agent.ts'
import type { InputAccepted } from '../../contract/agent-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import type { RunRecord } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { AccountStore } from '../../stores/accounts.ts'
import { IdempotentRuns } from '../idempotent-runs.ts'

/** Id of the agent's first prompt in its updates. */
const FIRST_INPUT = 'first'

type Prompt = Extract<NewInput, { type: 'prompt' }>

export interface Giver {
  /** User name. */
  by: string
  /** Step that takes the prompt, if several do. */
  step?: string | undefined
  /** Attempt of that step, if several take prompts. */
  attempt?: number | undefined
  /** Applies to a run that continues an ended one; by default as that one was. */
  interactive?: boolean
  /** Set to branch off the session of an ended run. */
  fork?: true
}

/** Gives prompts to runs of agents: to an open session, or in a new run that continues an ended one. */
export class FollowUps {
  readonly #engine: EngineFace
  readonly #idempotent: IdempotentRuns

  constructor(engine: EngineFace, accounts: AccountStore) {
    this.#engine = engine
    this.#idempotent = new IdempotentRuns(engine, accounts)
  }

  /**
   * Gives a prompt. The same `input_id` again changes nothing. Throws as `EngineFace.input` and `continuationRun` do.
   */
  async give(
    record: RunRecord,
    prompt: Prompt,
    { by, step, attempt, interactive, fork }: Giver,
  ): Promise<InputAccepted> {
    const { run_id } = record
    if (isFinalRun(record.status)) return await this.#goOn(record, prompt, { by, interactive, fork })
    if (fork)
      throw new ErrandError(
        'conflict',
        `Run ${run_id} has not ended. Only a session that has ended can be forked.`,
        {
          hint: 'Wait until it ends, end it, or give the prompt to the session itself.',
        },
      )
    try {
      return { run_id, ...(await this.#engine.input(run_id, prompt, { by, step, attempt })) }
    } catch (error) {
      // The run ended after it was looked at.
      if (!(error instanceof ErrandError) || error.code !== 'run_ended') throw error
      return await this.#goOn((await this.#engine.get(run_id))!, prompt, { by, interactive })
    }
  }

  /** Implements `EngineOptions.passOn`: a new run continues with the first prompt and gets the others. */
  async passOn(runId: string, inputIds: readonly string[]): Promise<string[]> {
    const record = (await this.#engine.get(runId))!
    const prompts = new Map<string, { prompt: AttemptInput & { type: 'prompt' }; by: string }>()
    for await (const event of this.#log(record))
      if (event.type === 'input.given' && event.input.type === 'prompt')
        prompts.set(event.input.input_id, { prompt: event.input, by: event.by ?? record.owner })
      else if (event.type === 'agent.update' && event.update.kind === 'queue' && event.update.done) {
        const { prompt_id, change, text } = event.update
        const edited = change === 'edit' && text !== undefined ? prompts.get(prompt_id) : undefined
        if (edited) edited.prompt = { ...edited.prompt, text: text! }
      }
    const runIds: string[] = []
    for (const inputId of inputIds) {
      const { prompt, by } = prompts.get(inputId)!
      const before = runIds.at(-1)
      const { run_id } =
        before === undefined
          ? await this.#goOn(record, prompt, { by })
          : await this.give((await this.#engine.get(before))!, prompt, { by })
      runIds.push(run_id)
    }
    return runIds
  }

  /** Starts a new run of the same session, or returns the one that has this input already. */
  async #goOn(
    record: RunRecord,
    { input_id, text, attachments }: Prompt,
    { by, interactive, fork }: Giver,
  ): Promise<InputAccepted> {
    const { run_id, repository, tenant } = record
    const found: FoundSession = {}
    let had: EventOf<'input.taken'> | EventOf<'input.passed_on'> | undefined
    for await (const event of this.#log(record)) {
      findSession(found, event)
      if (input_id !== undefined && isHad(event, input_id)) had = event
    }
    if (had?.type === 'input.taken') return { run_id, input_id: had.input_id }
    if (had) return { run_id: had.run_id, input_id: had.input_id, continues: run_id }
    const made = continuationRun(record, found, { prompt: text, interactive, attachments, fork })
    const submission = { ...made, repository, owner: by, tenant }
    const begun =
      input_id === undefined
        ? await this.#engine.submit(submission)
        : (await this.#idempotent.create(`input ${run_id} ${input_id}`, submission)).record
    await this.#shareOn(record, begun)
    return { run_id: begun.run_id, input_id: input_id ?? FIRST_INPUT, continues: run_id }
  }

  /** Shares the new run with everybody who could see or join the session, including its former owner. */
  async #shareOn({ owner, shares = [] }: RunRecord, begun: RunRecord): Promise<void> {
    for (const { user, role, can, by } of shares)
      if (user !== begun.owner) await this.#engine.share(begun.run_id, { user, role, can, by })
    if (owner !== begun.owner)
      await this.#engine.share(begun.run_id, { user: owner, can: 'take-part', by: begun.owner })
  }

  /** Yields the log as far as the record mentions it; the run may be open. */
  async *#log({ run_id, last_seq }: RunRecord): AsyncGenerator<RunEvent> {
    for await (const event of this.#engine.watch(run_id, 0, undefined, { outputBytes: 0 })) {
      yield event
      if (event.seq >= last_seq) return
    }
  }
}

const isHad = (
  event: RunEvent,
  inputId: string,
): event is EventOf<'input.taken'> | EventOf<'input.passed_on'> =>
  (event.type === 'input.taken' || event.type === 'input.passed_on') && event.input_id === inputId

/** The answer of an agent's run, collected from its events. */
export class AgentAnswer {
  usage: z.infer<typeof Usage> | undefined
  /** Number of the latest attempt. */
  attempt: number | undefined
  /** Why it waits for a runner. */
  waiting: string | undefined
  finished: EventOf<'run.finished'> | undefined
  #attemptEnd: EventOf<'attempt.finished'> | undefined

  /** Takes every event, in order. */
  add(event: RunEvent): void {
    switch (event.type) {
      case 'attempt.created':
        this.attempt = event.attempt
        this.waiting = event.waiting
        break
      case 'attempt.waiting':
        this.waiting = event.why
        break
      case 'attempt.assigned':
        this.waiting = undefined
        break
      case 'agent.update':
        if (event.update.kind === 'usage') this.usage = event.update.session
        break
      case 'attempt.finished':
        this.#attemptEnd = event
        break
      case 'run.finished':
        this.finished = event
    }
  }

  get denied(): DeniedUses | undefined {
    return this.#attemptEnd?.denied
  }

  /** Returns why the run did not succeed, as an error to throw. Call it only after `run.finished`. */
  failure(runId: string): ErrandError | undefined {
    if (this.finished === undefined || this.finished.status === 'success') return undefined
    const { reason, message } = this.#attemptEnd ?? this.finished
    const { status } = this.finished
    const code = reason === 'invalid_argument' ? 'invalid_argument' : 'run_failed'
    const why = message ?? `The run ended as ${status}${reason === undefined ? '' : ` (${reason})`}.`
    return new ErrandError(code, why, {
      hint: `See its events: errand runs events ${runId}`,
      details: { run_id: runId, status, reason },
    })
  }
}
