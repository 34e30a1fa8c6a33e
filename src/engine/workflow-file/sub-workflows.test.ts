import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { checkWorkflow, parseWorkflow } from './check.ts'

const head = 'version: v0.1\nname: w\n'
const run = (args: string) => `${head}steps: [{name: sub, action: workflow.run, args: {${args}}}]`
const leaf = `${head}inputs: {a: {type: number, required: true}}\nsteps: [{name: x, action: noop}]`

function check(files: Record<string, string>, file = 'flow.yaml') {
  const readFile = (path: string) => {
    if (!Object.hasOwn(files, path)) throw new Error(`no such file: ${path}`)
    return files[path]!
  }
  const { workflow, problems } = parseWorkflow(files['flow.yaml']!, { catalog, file, readFile })
  return { workflow, told: problems.map((one) => `${one.file}:${one.line} ${one.message}`), problems }
}

test('reads and checks a file, and inserts it', () => {
  const { workflow, told } = check({
    'flow.yaml': run('file: parts/leaf.yaml, inputs: {a: 1}'),
    'parts/leaf.yaml': leaf,
  })
  assert.deepEqual(told, [])
  const args = workflow?.steps[0]?.args as { file?: string; workflow: { steps: unknown[] }; inputs: unknown }
  assert.equal(args.file, undefined)
  assert.deepEqual(args.inputs, { a: 1 })
  assert.deepEqual(args.workflow.steps, [{ name: 'x', action: 'noop', args: {}, continue_on_error: false }])
  assert.deepEqual(checkWorkflow(workflow, { catalog }).problems, [])
})

test("a sub-workflow's mistakes have the name of its file, across folders", () => {
  const { told } = check(
    {
      'flow.yaml': run('file: parts/a.yaml'),
      'parts/a.yaml': run('file: more/b.yaml'),
      'parts/more/b.yaml': `${head}steps: [{name: x, action: nop}]`,
    },
    'flows/flow.yaml',
  )
  assert.deepEqual(told, [
    'flows/parts/more/b.yaml:3 action in step "x" names "nop", but there is no such action',
  ])
  assert.match(
    check({ 'flow.yaml': run('file: a.yaml'), 'a.yaml': 'a: [' }).told[0]!,
    /^a\.yaml:1 not valid YAML/,
  )
})

test('refuses a file that leads back to itself, is missing or is nested too deep', () => {
  const circle = { 'flow.yaml': run('file: sub/a.yaml'), 'sub/a.yaml': run('file: ../flow.yaml') }
  assert.match(
    check(circle).told[0]!,
    /^sub\/a\.yaml:3 .* leads back to itself: flow\.yaml -> sub\/a\.yaml -> flow\.yaml/,
  )
  assert.match(check({ 'flow.yaml': run('file: b.yaml') }).told[0]!, /cannot be read: no such file: b\.yaml/)
  const deep = Object.fromEntries(
    Array.from({ length: 13 }, (_, i) => [`f${i}.yaml`, run(`file: f${i + 1}.yaml`)]),
  )
  assert.match(
    check({ 'flow.yaml': run('file: f0.yaml'), ...deep }).told[0]!,
    /nested more than 10 levels deep/,
  )
})

test('files that use each other twice cannot make a workflow grow without limit', () => {
  const twice = (next: string) =>
    `${head}steps:\n${Array.from({ length: 8 }, (_, i) => `  - {name: s${i}, action: workflow.run, args: {file: ${next}}}\n`).join('')}`
  const files = Object.fromEntries(
    Array.from({ length: 8 }, (_, i) => [`f${i}.yaml`, twice(`f${i + 1}.yaml`)]),
  )
  const { told } = check({
    'flow.yaml': twice('f0.yaml'),
    ...files,
    'f8.yaml': `${head}steps: [{name: x, action: noop}]`,
  })
  assert.match(told.join('\n'), /at most|one file too many/)
})

test('checks an inline workflow in its place', () => {
  const nested = `${head}steps:\n  - name: sub\n    action: workflow.run\n    args:\n      workflow:\n        version: v0.1\n        name: inner\n        steps:\n          - {name: x, actoin: noop}\n`
  const { problems } = check({ 'flow.yaml': nested })
  assert.deepEqual(
    problems.map(({ line, column, path, message }) => [line, column, path, message]),
    [
      [11, 13, 'steps[0].args.workflow.steps[0].action', 'action in step "x" is missing'],
      [11, 23, 'steps[0].args.workflow.steps[0].actoin', 'unknown key "actoin" in step "x"'],
    ],
  )
})

test('inputs must fit the sub-workflow, as far as they are known', () => {
  const of = (args: string) => check({ 'flow.yaml': run(args), 'l.yaml': leaf }).told
  assert.match(of('file: l.yaml')[0]!, /inputs of step "sub" does not fit workflow "w": input a is missing/)
  assert.match(of('file: l.yaml, inputs: {a: x}')[0]!, /input a must be a number/)
  assert.deepEqual(of('file: l.yaml, inputs: {a: "${N}", other: 1}'), [])
})

test('exactly one of file and workflow is required, and a file needs a reader', () => {
  assert.match(check({ 'flow.yaml': run('inputs: {}') }).told[0]!, /step "sub" names no workflow to run/)
  assert.match(check({ 'flow.yaml': run('file: a, workflow: {}') }).told[0]!, /has both file and workflow/)
  assert.match(check({ 'flow.yaml': run('file: "${F}"') }).told[0]!, /cannot contain a variable/)
  const [problem] = parseWorkflow(run('file: a.yaml'), { catalog }).problems
  assert.match(problem!.message, /cannot be read here/)
  assert.match(problem!.hint!, /args\.workflow/)
})
