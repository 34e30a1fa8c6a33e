import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Permissions } from '../../contract/agent.ts'
import { Denials } from './denials.ts'

type Mode = Permissions['mode']
type By = Parameters<Denials['answered']>[1]['by']

function denials(mode: Mode, fail_on_denied?: boolean) {
  const found = new Denials({ permissions: Permissions.parse({ mode }), fail_on_denied })
  found.turnBegins()
  return {
    found,
    tool: (
      tool_id: string,
      status: 'pending' | 'completed' | 'failed' | 'denied',
      kind: 'edit' | 'think' = 'edit',
    ) => found.follow({ kind: 'tool', tool_id, title: `Tool ${tool_id}`, tool_kind: kind, status }),
    no: (id: string, by: By, rule?: string) =>
      found.answered(
        { kind: 'permission', request_id: `q${id}`, tool_id: id, title: `Tool ${id}` },
        { by, rule },
      ),
  }
}

test('a denied use is counted once, however its agent reports the denial', () => {
  const { found, tool, no } = denials('rules')
  tool('1', 'pending')
  no('1', 'rule', 'rule 2')
  tool('1', 'failed')
  tool('1', 'denied')
  tool('2', 'failed')
  tool('2', 'denied')
  assert.deepEqual(found.deniedUses, {
    count: 2,
    first: [
      { title: 'Tool 1', by: 'rule', rule: 'rule 2' },
      { title: 'Tool 2', tool_kind: 'edit', by: 'agent' },
    ],
  })
  assert.equal(
    found.summary,
    '2 uses of tools were denied: Tool 1 (by rule 2), Tool 2 (by the agent itself).',
  )
})

test('another turn may use the same ids, and only the first uses are listed one by one', () => {
  const { found, no } = denials('ask')
  for (let turn = 0; turn < 30; turn++) {
    found.turnBegins()
    no('1', 'person')
    no('1', 'person')
  }
  assert.deepEqual([found.deniedUses?.count, found.deniedUses?.first.length], [30, 20])
  assert.match(found.summary!, /^30 uses of tools were denied: (Tool 1 \(by a person\), ){3}and 27 more\.$/)
})

test('by default a session fails if nobody was there to ask, or if no use of a tool succeeded', () => {
  const cases: [by: By, through: boolean, fails: boolean][] = [
    ['nobody', true, true],
    ['timeout', true, true],
    ['rule', true, false],
    ['rule', false, true],
    ['policy', true, false],
    ['policy', false, true],
    ['person', true, false],
    ['person', false, false],
    ['canceled', false, false],
  ]
  for (const [by, through, fails] of cases) {
    const { found, tool, no } = denials('rules')
    // Thinking is not a use of a tool that could have been denied.
    tool('0', 'completed', 'think')
    if (through) tool('1', 'completed')
    found.turnBegins()
    no('2', by)
    assert.equal(found.failure !== undefined, fails, `${by} ${through}`)
  }
})

test('the step may choose that any denial fails it, or none', () => {
  for (const by of ['person', 'rule', 'nobody'] as const) {
    const [any, none] = [denials('rules', true), denials('rules', false)]
    for (const { tool, no } of [any, none]) {
      tool('1', 'completed')
      no('2', by)
    }
    assert.match(any.found.failure!, /says that it is done, but 1 use of a tool was denied: Tool 2/)
    assert.equal(none.found.failure, undefined)
    assert.equal(none.found.deniedUses?.count, 1)
  }
  assert.equal(denials('rules', true).found.failure, undefined)
})

test('after a new prompt, earlier denials no longer fail the session', () => {
  const { found, tool, no } = denials('ask')
  no('1', 'timeout')
  assert.notEqual(found.failure, undefined)
  found.turnBegins()
  found.startTurn()
  tool('1', 'completed')
  assert.equal(found.failure, undefined)
  assert.equal(found.deniedUses?.count, 1)
})

test("an agent's own denial under the mode deny counts as the policy's", () => {
  const { found, tool } = denials('deny')
  tool('1', 'denied')
  assert.equal(found.deniedUses?.first[0]?.by, 'policy')
})
