import assert from 'node:assert/strict'
import test from 'node:test'
import { builtinActions } from '../../contract/actions.ts'
import type { Workflow } from '../../contract/workflow.ts'
import { parseWorkflow } from '../workflow-file/check.ts'
import { withinGroup } from './submission.ts'

const parsed = (yaml: string): Workflow => {
  const { workflow, problems } = parseWorkflow(yaml, { catalog: builtinActions })
  assert.deepEqual(problems, [])
  return workflow!
}
const head = 'version: v0.1\nname: flow\n'
const step = '  - name: one\n    action: cmd.run\n    args: {cmd: ls}\n'

test('puts every host into the group, including the one that is not in the file', () => {
  const bare = withinGroup(parsed(`${head}steps:\n${step}`), 'front', 'app')
  assert.deepEqual(bare.inventory, { hosts: { local: { group: 'front' } } })
  const yaml = `${head}inventory:\n  hosts:\n    a:\n    b: {labels: {gpu: "1"}}\n    c: {group: front}\nsteps:\n${step}`
  assert.deepEqual(withinGroup(parsed(yaml), 'front', 'app').inventory?.hosts, {
    local: { group: 'front' },
    a: { group: 'front' },
    b: { labels: { gpu: '1' }, group: 'front' },
    c: { group: 'front' },
  })
})

const nested = (group: string) => `${head}steps:
  - name: sub
    action: workflow.run
    args:
      workflow:
        version: v0.1
        name: inner
        inventory: {hosts: {box: {group: ${group}}}}
        steps:
          - name: deep
            targets: [box]
            action: cmd.run
            args: {cmd: ls}
`

test('puts sub-workflows into the group too, and leaves the given workflow unchanged', () => {
  const workflow = parsed(nested('front'))
  const before = structuredClone(workflow)
  const within = withinGroup(workflow, 'front', 'app')
  const inner = within.steps[0]!.args.workflow as Workflow
  assert.deepEqual(inner.inventory?.hosts, { local: { group: 'front' }, box: { group: 'front' } })
  assert.deepEqual(workflow, before)
})

test('refuses a host of another group, and names both groups and the repository', () => {
  for (const yaml of [nested('back'), `${head}inventory: {hosts: {box: {group: back}}}\nsteps:\n${step}`])
    assert.throws(() => withinGroup(parsed(yaml), 'front', 'app'), {
      code: 'invalid_argument',
      message: /Host "box" .* is in group "back", but runs for the repository "app" run in group "front"/,
    })
})
