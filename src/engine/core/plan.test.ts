import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions } from '../../contract/actions.ts'
import type { RunSpec } from '../../contract/run.ts'
import type { Workflow } from '../../contract/workflow.ts'
import { parseWorkflow } from '../workflow-file/check.ts'
import { attemptSpec } from './attempt-spec.ts'
import { plan } from './plan.ts'
import { initialState } from './state.ts'

const GB = 1024 ** 3

function workflow(text: string): Workflow {
  const parsed = parseWorkflow(`version: v0.1\nname: flow\n${text}`, { catalog: builtinActions })
  assert.deepEqual(parsed.problems, [])
  return parsed.workflow as Workflow
}

/** Returns the requirements of the first step for a runner, on that host. */
function commands(text: string, host = 'local', blueprint = 'workflow') {
  const planned = plan(workflow(text), builtinActions)
  const state = initialState(planned)
  state.main[0]!.instances.push({ host, status: 'queued', attempts: [] } as never)
  const of = { owner: 'ann', tenant: 'acme', blueprint } as RunSpec
  const at = { number: 1, instance: 0, try: 1 }
  const { requires } = attemptSpec(planned, state, { run_id: 'r', of }, planned.main[0]!, at)
  return JSON.parse(JSON.stringify(requires))
}

test('a step requests its resources, or else its limits', () => {
  const text = (keys: string) => `steps: [{name: a, action: noop, ${keys}}]`
  const amounts = { cpus: 2, memory_bytes: GB }
  assert.deepEqual(commands(text('timeout_seconds: 5')), {})
  assert.deepEqual(commands(text('limits: {cpus: 2, memory: 1GB}')), { ...amounts, largest: amounts })
  assert.deepEqual(commands(text('resources: {cpus: 2}, limits: {cpus: 4, memory: 1GB}')), {
    ...amounts,
    largest: amounts,
  })
})

test('each step says what the largest step on its host requests', () => {
  const text = `
inventory: {hosts: {box: {group: x}, other: {group: y}}}
steps:
  - {name: a, action: noop, targets: [box]}
  - {name: b, action: noop, targets: [box, other], resources: {cpus: 3}}
  - {name: c, action: noop, targets: ["\${WHERE:-box}"], resources: {cpus: 2, memory: 2GB}}
finally:
  - {name: d, action: noop, targets: [other], resources: {cpus: 5}}
`
  assert.deepEqual(commands(text, 'box'), { group: 'x', largest: { cpus: 3, memory_bytes: 2 * GB } })
  assert.deepEqual(commands(text, 'other').largest, { cpus: 5, memory_bytes: 2 * GB })
  assert.deepEqual(commands(text, 'local').largest, { cpus: 2, memory_bytes: 2 * GB })
})

test('each step says which boxes it and the other steps on its host request', () => {
  const text = `
network: models
inventory: {hosts: {box: {group: x}, other: {group: y}}}
steps:
  - {name: a, action: noop, targets: [box]}
  - {name: b, action: noop, targets: [box, other], isolation: container}
  - {name: c, action: workflow.run, isolation: container, args: {workflow: {version: v0.1, name: i, steps: [{name: x, action: noop}]}}}
finally:
  - {name: d, action: noop, isolation: sandbox}
`
  assert.deepEqual(commands(text, 'box').boxes, ['container', 'sandbox'])
  assert.deepEqual(commands(text, 'other').boxes, ['container'])
  assert.deepEqual(commands(text, 'local').boxes, ['sandbox'])
})

test('an agent run is a conversation, which chat-only runners take', () => {
  const text = 'steps: [{name: a, action: noop}]'
  assert.deepEqual(commands(text, 'local', 'agent'), { mode: 'chat' })
  assert.deepEqual(commands(text, 'local', 'workflow'), {})
})
