import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatProblem, formatProblemWithSource, type Problem, sortProblems } from './problems.ts'

const problem: Problem = {
  severity: 'error',
  message: 'unknown key "target" in step "x"',
  hint: 'did you mean "targets"?',
  file: 'flow.yaml',
  line: 2,
  column: 3,
  path: 'steps[0].target',
}

test('shows a problem with its place and hint', () => {
  assert.equal(
    formatProblem(problem),
    'flow.yaml:2:3: error: unknown key "target" in step "x"\n  hint: did you mean "targets"?',
  )
  assert.equal(formatProblem({ severity: 'warning', message: 'm', path: '' }), 'warning: m')
})

test('with the source, a caret is under the place', () => {
  assert.equal(
    formatProblemWithSource(problem, 'a:\n  target: x\r\n'),
    'flow.yaml:2:3: error: unknown key "target" in step "x"\n  2 |   target: x\n    |   ^\n  hint: did you mean "targets"?',
  )
})

test('shows the part of a long line around the place', () => {
  const [, line, caret] = formatProblemWithSource(
    { ...problem, column: 501 },
    `\n${'.'.repeat(500)}X${'.'.repeat(500)}`,
  ).split('\n')
  assert.ok(line!.length < 120)
  assert.equal(line![caret!.indexOf('^')], 'X')
})

test('the content of a file cannot steer the terminal', () => {
  const shown = formatProblemWithSource({ ...problem, message: 'a\u001b[2J' }, 'x\n\u001b[31m\n')
  assert.ok(!shown.includes('\u001b'))
})

test('problems are ordered by file and place, each once', () => {
  const at = (file: string, line: number): Problem => ({ ...problem, file, line })
  const sorted = sortProblems([at('b', 2), at('a', 1), at('b', 1), at('b', 2)])
  assert.deepEqual(
    sorted.map(({ file, line }) => `${file}${line}`),
    ['b1', 'b2', 'a1'],
  )
})
