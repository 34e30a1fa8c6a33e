import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'
import { formatProblemWithSource } from './problem.ts'

test('a credential in env is warned of by its name, and its line is not shown', () => {
  const text = `version: v0.1
name: w
env: {API_KEY: sesame-open, SORT_KEY: name, TABLE_TOKEN: sesame-2, OTHER_TOKEN: "\${API_KEY}"}
outputs: {T: "\${TABLE_TOKEN}"}
steps:
  - name: a
    action: cmd.run
    env: {DB_PASSWORD: abc}
    args: {cmd: x}
`
  const { workflow, problems } = parseWorkflow(text, { catalog: builtinActions })
  assert.ok(workflow)
  const shown = problems.map((problem) => formatProblemWithSource(problem, text))
  assert.ok(!/sesame|abc/.test(shown.join('')), shown.join('\n'))
  assert.deepEqual(
    problems.map(({ severity, line, path }) => [severity, line, path]),
    [
      ['warning', 3, 'env.API_KEY'],
      ['warning', 3, 'env.TABLE_TOKEN'],
      ['warning', 8, 'steps[0].env.DB_PASSWORD'],
    ],
  )
  assert.match(shown[0]!, /API_KEY in env looks like a credential[\s\S]+errand secrets set API_KEY/)
  assert.match(shown[1]!, /stands in clear in the run/)
  assert.match(shown[2]!, /too short to be masked/)
})
