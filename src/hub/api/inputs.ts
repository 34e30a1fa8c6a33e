import * as z from 'zod'
import { continuationRun, findSession, type SessionFound } from '../../blueprints/continuation.ts'
import type { GivenInput } from '../../contract/agent.ts'
import { InputAccepted, RunInput } from '../../contract/api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { Identity } from '../auth/auth.ts'
import { visibleRun } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { IdempotentRuns } from './idempotency.ts'

/** As the agent's first prompt is called in its updates. */
const FIRST_INPUT = 'first'

export function inputRoutes(app: ApiApp, { engine, accounts }: ApiContext): void {
  const idempotent = new IdempotentRuns(engine, accounts)

  app.post(
    '/api/runs/:id/input',
    {
      schema: {
        tags: ['runs'],
        summary:
          'Give a prompt, an answer or an end to the agent of a run; what comes of it, its events tell',
        params: z.object({ id: z.string().describe('The run') }),
        body: RunInput.prefault({}),
        response: { 202: InputAccepted },
      },
    },
    async ({ identity, params, body }, reply) => {
      const record = await visibleRun(engine, identity, params.id)
      const input = givenInput(body)
      reply.code(202)
      try {
        if (isFinalRun(record.status) && input.type === 'prompt')
          return await goOn(record, input, identity, body.interactive)
        const to = { by: identity.user.name, step: body.step }
        return { run_id: record.run_id, ...(await engine.input(record.run_id, input, to)) }
      } catch (error) {
        // It ended after it was looked at.
        const ended = error instanceof ErrandError && error.code === 'run_ended' && !isFinalRun(record.status)
        if (!ended || input.type !== 'prompt') throw error
        return await goOn((await engine.get(record.run_id))!, input, identity, body.interactive)
      }
    },
  )

  /** A new run of the same session. */
  async function goOn(
    record: RunRecord,
    { input_id, text }: Prompt,
    { user }: Identity,
    interactive: boolean | undefined,
  ): Promise<InputAccepted> {
    const found: SessionFound = {}
    for await (const event of engine.watch(record.run_id, 0)) findSession(found, event)
    const made = continuationRun(record, found, { prompt: text, interactive })
    const { repository } = record
    const submission = { ...made, repository, owner: user.name, tenant: user.tenant }
    const { run_id } =
      input_id === undefined
        ? await engine.submit(submission)
        : (await idempotent.create(`input ${record.run_id} ${input_id}`, submission)).record
    return { run_id, input_id: input_id ?? FIRST_INPUT, continues: record.run_id }
  }
}

type Prompt = Extract<GivenInput, { type: 'prompt' }>

const kinds = ['prompt', 'permission', 'cancel_turn', 'close'] as const

/** Throws `bad_request`. */
function givenInput({ input_id, prompt, permission, ...rest }: RunInput): GivenInput {
  const given = kinds.filter((kind) => ({ prompt, permission, ...rest })[kind] !== undefined)
  const [kind, other] = given
  if (kind === undefined || other !== undefined)
    throw new ErrandError(
      'bad_request',
      `body: exactly one of ${kinds.map((each) => `"${each}"`).join(', ')} is needed.`,
      {
        hint: 'Such as {"prompt": "..."} or {"permission": {"request_id": "...", "decision": "allow"}}.',
      },
    )
  if (prompt !== undefined) return { type: 'prompt', input_id, text: prompt }
  if (permission !== undefined) return { type: 'permission', input_id, ...permission }
  return { type: kind === 'close' ? 'close' : 'cancel_turn', input_id }
}
