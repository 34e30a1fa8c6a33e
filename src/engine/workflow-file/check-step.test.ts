import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'

const head = 'version: v0.1\nname: w\nsteps:\n'
const ask = (agent: string) => `{action: agent.run, args: {agent: "${agent}", prompt: x}`
const check = (text: string, more: object = {}) => parseWorkflow(text, { catalog, agents: [], ...more })

test('warns of an unknown agent and names the known ones, and the workflow stays valid', () => {
  const { workflow, problems } = check(`${head}  - ${ask('claud_code')}, name: a}\n`)
  assert.ok(workflow)
  assert.deepEqual(problems, [
    {
      severity: 'warning',
      message: 'agent in args of step "a" names "claud_code", which is unknown here',
      hint: 'did you mean "claude_code"? use claude_code, codex, opencode, copilot, acp, builtin, or an agent that was added to a runner',
      line: 4,
      column: 39,
      path: 'steps[0].args.agent',
    },
  ])
})

test('does not warn of an agent that ships with Errand, that a runner has or that a variable names', () => {
  for (const agent of ['codex', 'builtin', '${AGENT}', 'mine'])
    assert.deepEqual(check(`${head}  - ${ask(agent)}, name: a}\n`, { agents: ['mine'] }).problems, [], agent)
  assert.deepEqual(check(`${head}  - {name: a, action: agent.run, args: {prompt: x}}\n`).problems, [])
})

test('also checks agents of rollbacks, finally steps and sub-workflows', () => {
  const sub = `${head}  - ${ask('two')}, name: b}\n`
  const text = `${head}  - {name: a, action: noop, rollback: ${ask('one')}}}
  - {name: sub, action: workflow.run, args: {file: sub.yaml}}
finally:
  - ${ask('three')}, name: c}
`
  const { workflow, problems } = check(text, { file: 'flow.yaml', readFile: () => sub })
  assert.ok(workflow)
  assert.deepEqual(
    problems.map(({ file, path }) => `${file} ${path}`),
    [
      'sub.yaml steps[0].args.agent',
      'flow.yaml steps[0].rollback.args.agent',
      'flow.yaml finally[0].args.agent',
    ],
  )
})
