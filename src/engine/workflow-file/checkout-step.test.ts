import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { checkWorkflow, parseWorkflow } from './check.ts'
import { withCheckoutToken } from './checkout-step.ts'

const REPO = 'https://git.example.com/o/r'
const head = `version: v0.1\nname: w\nworkspace: {repo: "${REPO}", ref: v1}\n`
const read = (text: string) => {
  const { workflow, problems } = parseWorkflow(text, { catalog })
  assert.deepEqual(problems, [], text)
  return workflow!
}

test('workspace: becomes a first step on each host, which all others need', () => {
  const listed = read(`${head}steps: [{name: a, action: noop}, {name: b, action: noop}]\n`)
  assert.equal(listed.workspace, undefined)
  assert.deepEqual(
    listed.steps.map(({ name, needs }) => [name, needs]),
    [
      ['workspace', undefined],
      ['a', undefined],
      ['b', undefined],
    ],
  )
  const { action, args, targets, secrets } = listed.steps[0]!
  assert.deepEqual(
    [action, args, targets, secrets],
    ['git.workspace', { repo: REPO, ref: 'v1', token_env: 'GIT_TOKEN' }, undefined, undefined],
  )
  const graph = read(
    `${head}inventory: {hosts: {x: {}, y: {}}}
steps:
  - {name: ask, action: approval.wait}
  - {name: a, action: noop, targets: [x]}
  - {name: b, action: noop, needs: [a], targets: [x, y]}
finally: [{name: c, action: noop}]
`,
  )
  assert.deepEqual(
    graph.steps.map(({ name, needs, targets }) => [name, needs, targets]),
    [
      ['workspace', undefined, ['x', 'y', 'local']],
      ['ask', ['workspace'], undefined],
      ['a', ['workspace'], ['x']],
      ['b', ['a'], ['x', 'y']],
    ],
  )
  // The stored text is read again for a repeat of the run.
  const again = checkWorkflow(graph, { catalog }).workflow!
  assert.deepEqual(
    again.steps.map(({ name, needs }) => [name, needs]),
    graph.steps.map(({ name, needs }) => [name, needs]),
  )
})

test("its token is the secret that the file names, or else the hub's", () => {
  const steps = 'steps: [{name: a, action: noop}]\n'
  const own = read(head.replace('ref: v1', 'secrets: {TOKEN: deploy}') + steps)
  assert.deepEqual([own.steps[0]!.secrets, own.steps[0]!.args.token_env], [{ TOKEN: 'deploy' }, 'TOKEN'])
  assert.equal(withCheckoutToken(own, 'GIT_TOKEN'), own)
  const without = read(head + steps)
  assert.deepEqual(withCheckoutToken(without, 'GITHUB_TOKEN').steps[0]!.secrets, {
    GIT_TOKEN: 'GITHUB_TOKEN',
  })
  assert.equal(withCheckoutToken(without, undefined), without)
  const none = read(`version: v0.1\nname: w\n${steps}`)
  assert.equal(withCheckoutToken(none, 'GIT_TOKEN'), none)
})

test('a sub-workflow has its own checkout if it asks for one', () => {
  const inner = `{version: v0.1, name: i, workspace: {repo: "${REPO}"}, steps: [{name: x, action: noop}]}`
  const { steps } = read(
    `version: v0.1\nname: w\nsteps: [{name: a, action: workflow.run, args: {workflow: ${inner}}}]\n`,
  )
  const { workflow } = steps[0]!.args as { workflow: { steps: { name: string }[] } }
  assert.deepEqual(
    workflow.steps.map(({ name }) => name),
    ['workspace', 'x'],
  )
})

test('reports mistakes in it with their place', () => {
  const problemsOf = (text: string) =>
    parseWorkflow(text, { catalog }).problems.map(({ line, message, hint }) => `${line} ${message} | ${hint}`)
  const noop = 'steps: [{name: a, action: noop}]\n'
  assert.match(problemsOf(head.replace('ref:', 'reff:') + noop)[0]!, /^3 .*reff.* \| .*ref/)
  assert.match(problemsOf(`version: v0.1\nname: w\nworkspace: {ref: v1}\n${noop}`)[0]!, /^3 .*repo/)
  assert.match(
    problemsOf(`${head}steps: [{name: workspace, action: noop}]\n`)[0]!,
    /^4 name "workspace" is reserved/,
  )
  const target = '"${HOST}"'
  assert.match(
    problemsOf(`${head}steps: [{name: a, action: noop, targets: [${target}], matrix: {HOST: [x]}}]\n`)[0]!,
    /^4 .*contains a variable.* \| name the hosts/,
  )
})
