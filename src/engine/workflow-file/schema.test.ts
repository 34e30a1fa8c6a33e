import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as z from 'zod'
import { builtinActions } from '../../contract/actions.ts'
import { workflowSchema } from './schema.ts'

const schema = workflowSchema({
  ...builtinActions,
  'my.own': { args: z.strictObject({ word: z.enum(['a', 'b']) }), raw: [], place: 'host' },
}) as unknown as Record<string, Record<string, unknown>>

/** Returns the references of the schema, by `#/…`. */
function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' ? [String(inner)] : references(inner),
  )
}

test('the schema knows the keys of a step and the arguments of each action', () => {
  const step = schema.definitions!.step as {
    properties: Record<string, { enum?: string[] }>
    allOf: unknown[]
  }
  assert.ok(Object.keys(step.properties).includes('continue_on_error'))
  assert.ok(step.properties.action!.enum!.includes('my.own'))
  assert.ok(Object.hasOwn(schema.definitions!, 'args.my.own'))
  assert.equal(step.properties.action!.enum!.includes('bot.serve'), false)
  const inFiles = Object.values(builtinActions).filter(({ made_by }) => made_by === undefined)
  // One for each of these actions, and one for my.own.
  assert.equal(step.allOf.length, inFiles.length + 1)
})

test('the schema contains everything that it refers to', () => {
  const found = references(schema)
  assert.ok(found.length > 10)
  for (const reference of found) {
    const name = reference.replace('#/definitions/', '')
    assert.ok(reference === '#' || Object.hasOwn(schema.definitions!, name), reference)
  }
})

test('every key has a description for the editor', () => {
  const step = schema.definitions!.step as { properties: Record<string, { description?: string }> }
  for (const [name, { description }] of Object.entries(step.properties)) assert.ok(description, name)
})

test('a choice may be a variable', () => {
  const args = schema.definitions!['args.my.own'] as { properties: { word: { anyOf: unknown[] } } }
  assert.equal(args.properties.word.anyOf.length, 2)
})

test('the published schema is up to date (if not: errand schema > docs/schema/workflow.json, and format it)', () => {
  const published = readFileSync(new URL('../../../docs/schema/workflow.json', import.meta.url), 'utf8')
  assert.deepEqual(JSON.parse(published), JSON.parse(JSON.stringify(workflowSchema(builtinActions))))
})
