import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'

const problemsOf = (text: string) => {
  const { workflow, problems } = parseWorkflow(text, { catalog })
  assert.equal(workflow === undefined, problems.length > 0, text)
  return problems.map(({ line, column, message, hint }) => `${line}:${column} ${message} | ${hint}`)
}
const inStep = (keys: string) => `version: v0.1\nname: w\nsteps:\n  - {name: a, action: noop, ${keys}}\n`
const atTop = (keys: string) => `version: v0.1\nname: w\n${keys}\nsteps: [{name: a, action: noop}]\n`

test('accepts what a file may request', () => {
  for (const keys of [
    'isolation: none',
    'isolation: sandbox',
    'isolation: none, network: all',
    'network: models',
    'isolation: sandbox, network: {allow: [github.com, "*.npmjs.org", "db:5432@private"]}',
    'isolation: container, network: none, image: "node:22"',
  ])
    for (const text of [inStep(keys), atTop(keys.replaceAll(/, (?=[a-z]+:)/g, '\n'))])
      assert.deepEqual(problemsOf(text), [], text)
  // The file gives the kind, the step the image, and vice versa.
  assert.deepEqual(problemsOf(`${atTop('isolation: container').slice(0, -3)}, image: "node:22"}]\n`), [])
  assert.deepEqual(problemsOf(`${atTop('image: "node:22"').slice(0, -3)}, isolation: container}]\n`), [])
  const sub = 'args: {workflow: {version: v0.1, name: i, steps: [{name: x, action: noop}]}}'
  assert.deepEqual(problemsOf(inStep(`isolation: sandbox, ${sub}`).replace('noop', 'workflow.run')), [])
})

test('reports what a file may not request with its place and what to write', () => {
  const expected: Record<string, string[]> = {
    'isolation: docker': [
      '4:40 isolation in step "a" must be "none", "sandbox" or "container", but is text "docker" | write isolation: container',
    ],
    'isolation: sandbx': [
      '4:40 isolation in step "a" must be "none", "sandbox" or "container", but is text "sandbx" | did you mean "sandbox"?',
    ],
    'network: github.com': [
      '4:38 network in step "a" must be "none", "models" or "all", but is text "github.com" | write network: {allow: [github.com]}',
    ],
    'network: [github.com]': [
      '4:38 network in step "a" must be "none", "models", "all" or a map of keys and values, but is a list | write network: {allow: [github.com]}',
    ],
    'network: {allow: github.com}': [
      '4:46 allow in network of step "a" must be a list, but is text "github.com" | write allow: [github.com]',
    ],
    'network: {allow: ["https://github.com/x"]}': [
      '4:47 network.allow[0] in step "a" is text "https://github.com/x", but a host is written as name, *.name, name:port or name:port@private | write github.com',
    ],
    'network: {allow: []}': [
      '4:46 allow in network of step "a" must not be empty | write allow: [api.example.com]',
    ],
    'isolation: none, network: models': [
      '4:46 network in step "a" needs a box, but isolation is none | without a box, processes open their own sockets and can reach everything; write isolation: sandbox, or leave isolation out',
    ],
    'image: "node:22"': [
      '4:29 image in step "a" has no effect: the step does not run in a container | write isolation: container beside it, or leave image out',
    ],
    'isolation: container, image: "--privileged"': [
      '4:58 image in step "a" is text "--privileged", but an image is written as name, name:tag or registry/name:tag | write isolation: container and image: node:22',
    ],
  }
  for (const [keys, problems] of Object.entries(expected))
    assert.deepEqual(problemsOf(inStep(keys)), problems, keys)
  assert.deepEqual(problemsOf(atTop('isolation: none\nnetwork: none')), [
    '4:1 network needs a box, but isolation is none | without a box, processes open their own sockets and can reach everything; write isolation: sandbox, or leave isolation out',
  ])
  const waits = inStep('isolation: sandbox, args: {message: "?"}').replace('noop', 'approval.wait')
  assert.deepEqual(problemsOf(waits), [
    '4:38 isolation in step "a" cannot be used: approval.wait does not run on a host | leave isolation out',
  ])
})
