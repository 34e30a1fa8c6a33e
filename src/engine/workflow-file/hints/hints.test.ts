import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { builtinActions as catalog } from '../../../contract/actions.ts'
import { Step, Workflow } from '../../../contract/workflow.ts'
import { checkWorkflow, parseWorkflow } from '../check.ts'
import { asMap } from '../loose-values.ts'
import type { Problem } from '../problems.ts'
import { wordsOfFile } from './file-keys.ts'
import { keysOf } from './hints.ts'
import type { Instead, Words } from './instead.ts'
import { wordsByPlace } from './other-keys.ts'
import { wordsOfStep } from './step-keys.ts'
import { otherActions, otherValues } from './values.ts'

type Map = Record<string, unknown>

/** Values that may appear where another system's word does. */
const givens = [
  undefined,
  null,
  3,
  true,
  'web',
  '30s',
  'echo hi',
  '${A}',
  ['a', 'b'],
  { A: 1 },
  [{ name: 'A', value: 'x' }],
  [],
]

/** Makes a workflow with `keys` at `place`, or where the hint says. */
function withKeys(place: string, { at }: Instead, keys: Map): Map {
  const step: Map = { name: 'a', action: 'noop' }
  const file: Map = { version: 'v0.1', name: 'w', steps: [step] }
  const action = Object.hasOwn(catalog, place) ? place : undefined
  const args = { ...mainArgument[action ?? ('inputs' in keys ? 'workflow.run' : 'cmd.run')] }
  if (at === 'at the top level') Object.assign(file, keys)
  else if (at === 'in the step' || at === 'beside args') Object.assign(step, keys)
  else if (at === 'under args' || action)
    Object.assign(step, {
      action: action ?? ('inputs' in keys ? 'workflow.run' : 'cmd.run'),
      args: Object.assign(args, keys),
    })
  else {
    const [root, ...within] = place.split('.')
    let map = root === 'file' ? file : step
    for (const name of within) {
      const inner = { ...mainArgument[name === '*' ? place : name] }
      map[name === '*' ? 'NAME' : name] = inner
      map = inner
    }
    if (place === 'step' && (asMap(keys.args)?.cmd ?? keys.cwd)) step.action = 'cmd.run'
    Object.assign(map, keys)
  }
  return file
}

/** Keys that must accompany others, by action or place. */
const mainArgument: Readonly<Record<string, Map>> = {
  'cmd.run': { cmd: 'x' },
  'shell.run': { script: 'x' },
  'http.request': { url: 'http://x' },
  'file.write': { path: 'p', content: 'c' },
  'workflow.run': { file: 'x' },
  'agent.run': { prompt: 'x' },
  'vars.set': { vars: {} },
  retry: { max_attempts: 2 },
  inventory: { hosts: {} },
  concurrency: { group: 'g' },
  rollback: { action: 'cmd.run', args: { cmd: 'x' } },
  'step.outputs.*': { from: 'stdout' },
}

/** Returns the mistakes of a workflow, without those about undefined names. */
function mistakes(workflow: unknown): string[] {
  const readFile = () =>
    'version: v0.1\nname: part\ninputs: {A: {}, NAME: {}}\nsteps: [{name: a, action: noop}]\n'
  return checkWorkflow(workflow, { catalog, readFile })
    .problems.filter(
      ({ severity, message }) =>
        severity === 'error' && !/not in inventory.hosts|no such step|names the step itself/.test(message),
    )
    .map(({ path, message, hint }) => `${path}: ${message} | ${hint}`)
}

test('what a hint says to write is valid where it says so', () => {
  const places: [string, Words][] = [
    ['file', wordsOfFile],
    ['step', wordsOfStep],
    ...Object.entries(wordsByPlace),
  ]
  let written = 0
  for (const [place, words] of places)
    for (const [names, instead] of words)
      for (const value of givens) {
        const keys = keysOf(instead, value)
        if (keys === undefined) {
          assert.ok(instead.say, `${place}: ${names}`)
          continue
        }
        written++
        assert.deepEqual(
          mistakes(withKeys(place, instead, { ...keys })),
          [],
          `${place}: ${names} of ${JSON.stringify(value)}`,
        )
      }
  for (const [names, instead] of otherActions)
    assert.deepEqual(mistakes(withKeys('step', instead, { ...keysOf(instead, '') })), [], names)
  assert.ok(written > 1000)
})

test('what a hint says to write instead of a value of the wrong type is valid', () => {
  for (const [place, value] of Object.entries(otherValues)) {
    const action = Object.keys(catalog).find((name) => place.startsWith(`${name}.`))
    const itself = ['step', 'file.inventory.hosts.*', 'file.inputs.*'].includes(place)
    const holder = action ?? (itself ? place : place.split('.').slice(0, -1).join('.'))
    for (const values of givens) {
      const instead = value(values, { action: 'cmd.run' })
      const keys = instead && keysOf(instead, values)
      if (keys === undefined) assert.ok(instead === undefined || instead.say, place)
      else
        assert.deepEqual(
          mistakes(withKeys(holder, instead!, { ...keys })),
          [],
          `${place} of ${JSON.stringify(values)}`,
        )
    }
  }
})

/** Words of the validation library, which do not help a person. */
const raw =
  /Invalid (input|option|type|key)|expected (string|number|boolean|object|array|record|int|one of)|received|Unrecognized|Too (small|big)|wrong type|\[object|undefined|NaN/

function assertHelpful(problems: readonly Problem[]): void {
  for (const { severity, message, hint } of problems) {
    assert.doesNotMatch(message.replace(/"(\\.|[^"])*"/g, '""'), raw, message)
    if (severity === 'error' && !message.startsWith('more than')) assert.ok(hint, message)
    assert.doesNotMatch(
      (hint ?? '').replace(/"(\\.|[^"])*"|'[^']*'/g, '""'),
      /\[object|\bundefined\b|NaN/,
      hint,
    )
  }
}

test('whatever value a key has, each mistake is reported in plain words, with a hint', () => {
  const words = [wordsOfFile, wordsOfStep, ...Object.values(wordsByPlace)].flatMap((all) =>
    all.flatMap(([names]) => names.split(' ')),
  )
  const known = [
    ...Object.keys(Workflow.shape),
    ...Object.keys(Step.shape),
    'hosts',
    'max_attempts',
    'backoff',
    'group',
    'from',
    'memory',
    'cpus',
    'required',
    'type',
    'A',
  ]
  const key = fc.oneof(
    fc.constantFrom(...known),
    fc.constantFrom(...words),
    fc.constantFrom('constructor', 'toString', 'two words', '1'),
  )
  const leaf = fc.oneof(
    fc.constantFrom(
      'v0.1',
      ...Object.keys(catalog),
      'script.shell',
      '30s',
      '${A}',
      '${{ x }}',
      '(${A}) ==',
      '',
      'always()',
    ),
    fc.integer({ min: -1, max: 5 }),
    fc.boolean(),
    fc.constant(null),
    fc.string({ maxLength: 5 }),
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      leaf,
      fc.dictionary(key, tie('value'), { maxKeys: 5 }),
      fc.array(tie('value'), { maxLength: 3 }),
    ),
  }))
  const step = fc.dictionary(key, value, { maxKeys: 6 })
  const args = fc.record({
    name: fc.constant('a'),
    action: fc.constantFrom(...Object.keys(catalog)),
    args: fc.dictionary(key, value, { maxKeys: 4 }),
  })
  const file = fc.record({
    version: fc.constant('v0.1'),
    name: fc.constant('w'),
    steps: fc.oneof(value, fc.array(fc.oneof(step, args))),
  })
  const whole = fc
    .tuple(file, fc.dictionary(key, value, { maxKeys: 4 }))
    .map(([known, more]) => ({ ...more, ...known }))
  fc.assert(
    fc.property(fc.oneof(value, whole), (document) => {
      assertHelpful(checkWorkflow(document, { catalog }).problems)
      assertHelpful(parseWorkflow(stringify(document), { catalog }).problems)
    }),
    { numRuns: 500 },
  )
})
