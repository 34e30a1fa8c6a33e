import { ErrandError } from '../contract/errors.ts'
import type { CreateRun } from '../contract/run.ts'

/** Makes a run of a workflow that the caller has written. Throws `bad_request`. */
export function workflowRun({ yaml, workflow, vars }: Pick<CreateRun, 'yaml' | 'workflow' | 'vars'>) {
  if ((yaml === undefined) === (workflow === undefined))
    throw new ErrandError('bad_request', 'body: give exactly one of "yaml" and "workflow".', {
      hint: 'Put the text of the file into "yaml", or the workflow as JSON into "workflow".',
    })
  return { blueprint: 'workflow', yaml, workflow, vars }
}

/** Escapes every text, at any depth, so that filling in variables restores it. */
export function plain(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('${', '$$${')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

/** Returns the text that `plain` was given. */
export function unplain(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$${', '${')
  if (Array.isArray(value)) return value.map(unplain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, unplain(inner)]))
}
