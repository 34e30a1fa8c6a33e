import type { GivenInput } from '../../contract/agent.ts'
import type { RunInput } from '../../contract/agent-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import { visibleRun } from './access.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

export function inputHandlers({ engine, followUps }: ApiContext) {
  return {
    'POST /api/runs/:id/input': async ({ identity, params, body }, reply) => {
      const record = await visibleRun(engine, identity, params.id)
      const input = givenInput(body)
      reply.code(202)
      const to = { by: identity.user.name, step: body.step }
      if (input.type === 'prompt')
        return await followUps.give(record, input, { ...to, interactive: body.interactive })
      return { run_id: record.run_id, ...(await engine.input(record.run_id, input, to)) }
    },
  } satisfies Partial<Handlers>
}

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
