import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { Step, Workflow } from '../../contract/workflow.ts'
import { parseWorkflow } from './check.ts'

const page = readFileSync(new URL('../../../docs/workflows.md', import.meta.url), 'utf8')

test('every example on the page about workflow files is valid', () => {
  const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1]!)
  assert.ok(examples.length > 15)
  for (const example of examples) {
    const text = /^version:/m.test(example) ? example : `version: v0.1\nname: example\n${example}`
    assert.deepEqual(parseWorkflow(text, { catalog }).problems, [], example)
  }
})

test('the page mentions every key, action and argument', () => {
  const arguments_ = Object.values(catalog).flatMap(({ args }) =>
    Object.keys((args as { shape?: object }).shape ?? {}),
  )
  const names = [
    ...Object.keys(Workflow.shape),
    ...Object.keys(Step.shape),
    ...Object.keys(catalog),
    ...arguments_,
  ]
  for (const name of names) assert.match(page, new RegExp(`\\b${name}\\b`), name)
})
