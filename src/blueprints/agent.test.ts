import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import fc from 'fast-check'
import { builtinActions } from '../contract/actions.ts'
import type { RunRecord } from '../contract/run.ts'
import type { Workflow } from '../contract/workflow.ts'
import { checkWorkflow, parseWorkflow } from '../engine/workflow-file/check.ts'
import { fillArgs } from '../engine/workflow-file/template.ts'
import { agentRun, continuationRun } from './agent.ts'

const dollars = fc
  .array(fc.constantFrom('$', '{', '}', 'A', ':-', '${A}', '$${', ' '), { minLength: 1, maxLength: 12 })
  .map((parts) => `x${parts.join('')}`)

/** Returns the arguments that the step gets in the end. */
function argsOf(workflow: unknown): Record<string, unknown> {
  const checked = checkWorkflow(workflow, { catalog: builtinActions })
  assert.deepEqual(checked.problems, [])
  const { action, args } = (checked.workflow as Workflow).steps[0]!
  return fillArgs(args, builtinActions[action]!.raw, { get: () => 'FILLED', names: () => [] })
}

test('any text in a request reaches the agent unchanged, also through continued runs', () => {
  fc.assert(
    fc.property(dollars, dollars, dollars, (prompt, cwd, arg) => {
      const { workflow } = agentRun({ prompt, cwd, extra_args: [arg], verify: [arg] })
      const args = argsOf(workflow)
      assert.deepEqual([args.prompt, args.cwd, args.extra_args, args.verify], [prompt, cwd, [arg], [arg]])
      const checked = checkWorkflow(workflow, { catalog: builtinActions }).workflow
      const record = { run_id: 'r', blueprint: 'agent', status: 'success', workflow: checked } as RunRecord
      const next = argsOf(continuationRun(record, { session_id: cwd }, { prompt: arg }).workflow)
      assert.deepEqual([next.prompt, next.cwd, next.extra_args, next.verify], [arg, cwd, [arg], [arg]])
      assert.deepEqual(next.session, { session_id: cwd, workspace_of: 'r' })
    }),
  )
})

test("a request's secrets and artifacts become those of its step, also in a continued run", () => {
  const secrets = { KEY: { secret: 'MODEL_KEY', as: 'env' as const } }
  const { workflow } = agentRun({ prompt: 'x', secrets, artifacts: ['out/**'] })
  const checked = checkWorkflow(workflow, { catalog: builtinActions }).workflow!
  assert.deepEqual(checked.steps[0]!.secrets, secrets)
  const record = { run_id: 'r', blueprint: 'agent', status: 'success', workflow: checked } as RunRecord
  const next = continuationRun(record, { session_id: 's' }, { prompt: 'y' }).workflow as unknown as Workflow
  assert.deepEqual(next.steps[0]!.secrets, secrets)
  for (const { steps } of [checked, next]) assert.deepEqual(steps[0]!.artifacts, ['out/**'])
})

test('continuing a run that never loaded its session continues the session of the run before it', () => {
  const recordOf = (run_id: string, fields: object) => {
    const { workflow } = checkWorkflow(fields, { catalog: builtinActions })
    return { run_id, blueprint: 'agent', workflow } as unknown as RunRecord
  }
  const first = recordOf('run_a', agentRun({ prompt: 'x' }).workflow)
  assert.throws(() => continuationRun(first, {}, { prompt: 'y' }), { code: 'no_input' })
  const next = continuationRun(first, { session_id: 's$1' }, { prompt: 'y' })
  const last = continuationRun(recordOf('run_b', next.workflow), {}, { prompt: 'z' })
  assert.deepEqual(argsOf(last.workflow).session, { session_id: 's$1', workspace_of: 'run_a' })
})

test('the name of a run comes from the beginning of its prompt', () => {
  const nameOf = (prompt: string) => agentRun({ prompt }).workflow.name
  assert.equal(nameOf('  fix\n\tthe \u0000 test '), 'fix the test')
  assert.equal(nameOf('\ufefffix\u200b the\u2028\u202e test\u00ad'), 'fix the test')
  assert.equal(nameOf('\n'), 'agent')
  assert.equal([...(nameOf('🙂'.repeat(200)) as string)].length, 80)
})

test('every workflow in the page on agents is valid', () => {
  const page = readFileSync(new URL('../../docs/agents.md', import.meta.url), 'utf8')
  const blocks = [...page.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1]!)
  assert.ok(blocks.length >= 2)
  for (const block of blocks) {
    const indented = block.replaceAll(/^/gm, '      ')
    const step = `version: v0.1\nname: x\nsteps:\n  - name: one\n    action: agent.run\n    args:\n      prompt: x\n${indented}`
    const { problems } = parseWorkflow(block.startsWith('version:') ? block : step, {
      catalog: builtinActions,
    })
    assert.deepEqual(problems, [], block)
  }
})
