import * as z from 'zod'
import type { ActionCatalog } from '../../contract/actions.ts'
import { Workflow } from '../../contract/workflow.ts'

type Json = Record<string, unknown>

/**
 * Returns the file format as JSON Schema (draft 7, which editors know best), with the arguments of each action. It
 * covers what a schema can express; `errand validate` finds more.
 */
export function workflowSchema(catalog: ActionCatalog): Json {
  const schema = jsonSchema(Workflow)
  const properties = schema.properties as { steps: Json; finally: Json }
  const step = properties.steps.items as Json
  const fields = step.properties as { action: Json; rollback: Json }
  const inFiles = Object.entries(catalog).filter(([, { made_by }]) => made_by === undefined)
  const all = new Map(inFiles.map(([name, { args }]) => [name, argsSchema(args)]))
  byAction(step, all)
  byAction(fields.rollback, new Map([...all].filter(([name]) => catalog[name]!.place === 'host')))
  properties.steps.items = { $ref: '#/definitions/step' }
  properties.finally.items = { $ref: '#/definitions/step' }

  const { $schema, ...rest } = schema
  const actions = [...all].map(([name, args]) => [argsName(name), { title: `Arguments of ${name}`, ...args }])
  return {
    $schema,
    title: 'Errand workflow',
    description: 'An Errand workflow file, version v0.1',
    ...rest,
    definitions: { step: { title: 'Step', ...step }, ...Object.fromEntries(actions) },
  }
}

function argsName(action: string): string {
  return `args.${action}`
}

/** Makes `args` depend on the action beside it, and required when that action needs arguments. */
function byAction(schema: Json, actions: ReadonlyMap<string, Json>): void {
  const properties = schema.properties as { action: Json }
  properties.action = { ...properties.action, enum: [...actions.keys()] }
  schema.allOf = [...actions].map(([name, args]) => ({
    if: { properties: { action: { const: name } }, required: ['action'] },
    // biome-ignore lint/suspicious/noThenProperty: it is JSON Schema's own word
    then: {
      properties: { args: { $ref: `#/definitions/${argsName(name)}` } },
      ...(args.required ? { required: ['args'] } : {}),
    },
  }))
}

function argsSchema(args: z.core.$ZodType): Json {
  const { $schema: _, ...schema } = jsonSchema(args)
  const inner = schema.properties as Json | undefined
  if (inner?.workflow) inner.workflow = { $ref: '#' }
  return allowVariables(schema) as Json
}

/** Allows a variable wherever a text must match a pattern or choice; the result is checked once it is filled in. */
function allowVariables(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(allowVariables)
  if (typeof schema !== 'object' || schema === null) return schema
  const { description, default: fallback, ...own } = schema as Json
  if (own.type === 'string' && ('enum' in own || 'pattern' in own)) {
    return { description, default: fallback, anyOf: [own, { type: 'string', pattern: '\\$\\{' }] }
  }
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, allowVariables(value)]))
}

function jsonSchema(schema: z.core.$ZodType): Json {
  return z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any' }) as Json
}
