import { type JsonObject, objects, string } from './json-shape.ts'

type Decision = 'allow' | 'deny'

/** Once is better than always: what is allowed next time is Errand's to decide. */
const kinds: Record<Decision, readonly string[]> = {
  allow: ['allow_once', 'allow_always'],
  deny: ['reject_once', 'reject_always'],
}

export const cancelledOutcome = { outcome: { outcome: 'cancelled' } }

/** The answer to a `session/request_permission`; cancelled where it offers no such option. */
export function outcomeFor(params: JsonObject, decision: Decision): JsonObject {
  const options = objects(params.options)
  for (const kind of kinds[decision]) {
    const optionId = string(options.find((option) => option.kind === kind)?.optionId)
    if (optionId !== undefined) return { outcome: { outcome: 'selected', optionId } }
  }
  return cancelledOutcome
}
