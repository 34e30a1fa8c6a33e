import { type JsonObject, object, objects, string } from './json-shape.ts'

/** What the answer to `session/new` or `session/load` offers to be set. */
export interface SessionOption {
  id: string
  category: string | undefined
  value: string | undefined
  choices: string[]
}

export function sessionOptions(session: JsonObject): SessionOption[] {
  return objects(session.configOptions).map((option) => ({
    id: string(option.id) ?? '',
    category: string(option.category),
    value: string(option.currentValue),
    // Choices may stand in groups.
    choices: objects(option.options)
      .flatMap((choice) => (Array.isArray(choice.options) ? objects(choice.options) : [choice]))
      .map((choice) => string(choice.value) ?? ''),
  }))
}

/** How the model of a session is chosen, and which it is. */
export type ModelChoice =
  | { type: 'option'; option: string; current?: string; choices: string[] }
  | { type: 'models'; current?: string; choices: string[] }

/** Undefined: the agent lets nobody choose. */
export function modelChoice(session: JsonObject): ModelChoice | undefined {
  const option = sessionOptions(session).find(({ category }) => category === 'model')
  if (option !== undefined)
    return { type: 'option', option: option.id, current: option.value, choices: option.choices }
  const models = object(session.models)
  if (models === undefined) return undefined
  const choices = objects(models.availableModels).map((model) => string(model.modelId) ?? '')
  return { type: 'models', current: string(models.currentModelId), choices }
}
