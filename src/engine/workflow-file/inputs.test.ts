import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrandError } from '../../contract/errors.ts'
import { Workflow } from '../../contract/workflow.ts'
import { fieldProblems, inputValues, resolveInputs } from './inputs.ts'

const workflow = Workflow.parse({
  version: 'v0.1',
  name: 'w',
  inputs: {
    env: { required: true, enum: ['dev', 'prod'] },
    count: { type: 'number', default: 3 },
    loud: { type: 'boolean' },
    note: {},
  },
  steps: [{ name: 'a', action: 'noop' }],
})

test('given values and defaults become variables, as text', () => {
  assert.deepEqual(resolveInputs(workflow, { env: 'dev', loud: true }), {
    env: 'dev',
    count: '3',
    loud: 'true',
  })
  assert.deepEqual(resolveInputs(workflow, { env: 'dev', count: '1e3', other: 5 }), {
    env: 'dev',
    count: '1e3',
    other: '5',
  })
})

test('reports all mistakes at once', () => {
  try {
    resolveInputs(workflow, { enw: 'dev', count: 'many', loud: 'yes' })
    assert.fail('nothing was thrown')
  } catch (error) {
    assert.ok(error instanceof ErrandError)
    assert.equal(error.code, 'invalid_argument')
    assert.match(error.message, /input env is missing \(you gave enw\)/)
    assert.match(error.message, /input count must be a number, but is text "many"/)
    assert.match(error.message, /input loud must be true or false, but is text "yes"/)
    assert.match(error.hint!, /--var env=/)
    assert.deepEqual(
      (error.details as { input: string }[]).map(({ input }) => input),
      ['env', 'count', 'loud'],
    )
  }
})

test('refuses a value outside the choices', () => {
  assert.throws(
    () => resolveInputs(workflow, { env: 'test' }),
    /input env must be dev or prod, but is text "test"/,
  )
})

test('reports a mistake at its field, including a name that is not an input', () => {
  assert.deepEqual(fieldProblems(workflow, { env: 'dev', count: '4' }), [])
  assert.deepEqual(fieldProblems(workflow, { count: 'many', lout: 'true' }), [
    { name: 'env', message: 'needs a value' },
    { name: 'count', message: 'must be a number, but is text "many"' },
    { name: 'lout', message: '"w" has no input with this name', hint: 'did you mean "loud"?' },
  ])
})

test("given values are only those that differ from the file's, without credentials", () => {
  const file = Workflow.parse({
    version: 'v0.1',
    name: 'w',
    inputs: { region: { default: 'eu' }, API_TOKEN: {} },
    env: { MODE: 'fast', GREETING: 'hi ${region}' },
    steps: [{ name: 'a', action: 'noop' }],
  })
  const vars = { region: 'eu', API_TOKEN: 's', MODE: 'fast', GREETING: 'hi eu', OTHER: '1' }
  assert.deepEqual(inputValues(file, vars), { OTHER: '1' })
  assert.deepEqual(inputValues(file, { ...vars, region: 'us', MODE: 'slow' }), {
    region: 'us',
    MODE: 'slow',
    OTHER: '1',
  })
})

test('reports the first of thousands of wrong values', () => {
  const many = <T>(value: T, of = 'many') =>
    Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`${of}${index}`, value]))
  const wide = Workflow.parse({ ...workflow, inputs: many({ required: true }, 'wanted') })
  for (const provided of [many('x', 'wantid'), many('x', 'other'), {}]) {
    assert.equal(fieldProblems(wide, provided).length, 20)
    assert.throws(
      () => resolveInputs(wide, provided),
      (error: ErrandError) => (error.details as unknown[]).length === 20 && error.message.length < 3_000,
    )
  }
  assert.equal(fieldProblems(workflow, { env: 'dev', ...many('x') }).length, 20)
})
