import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'

/** Returns the problems of steps, each given as a line of YAML. */
function problemsOf(steps: readonly string[], more = ''): string[] {
  const text = `version: v0.1\nname: w\n${more}steps:\n${steps.map((step) => `  - ${step}\n`).join('')}`
  const { workflow, problems } = parseWorkflow(text, { catalog })
  assert.ok(workflow, JSON.stringify(problems))
  return problems.map(
    ({ severity, line, column, message, hint }) => `${line}:${column} ${severity}: ${message} | ${hint}`,
  )
}
const set = '{name: s0, action: vars.set, args: {vars: {V: x}}, needs: []}'

test('warns of a step that reads what another step sets, if neither needs the other', () => {
  assert.deepEqual(problemsOf([set, `{name: b, action: noop, when: '\${V:-none} != "none"'}`]), [
    '5:36 warning: when in step "b" reads V, which step "s0" sets, but the order of the two steps is undefined | write needs: ["s0"], or rename one of the variables',
  ])
})

test('steps that need each other, directly or through others, do not depend on timing', () => {
  const read = (name: string, needs: string) =>
    `{name: ${name}, action: noop, when: '\${V}', needs: [${needs}]}`
  const through = '{name: through, action: noop, needs: [s0]}'
  assert.deepEqual(problemsOf([set, through, read('b', 'through'), read('c', 's0')]), [])
  const late = '{name: s0, action: vars.set, args: {vars: {V: x}}, needs: [b]}'
  assert.deepEqual(problemsOf([late, `{name: b, action: noop, when: '\${V:-}'}`]), [])
  assert.deepEqual(problemsOf([`{name: a, action: vars.set, args: {vars: {V: "\${V:-}x"}}, needs: []}`]), [])
})

test('a variable set by a needed step depends on timing if another step sets it too', () => {
  const other = '{name: s1, action: vars.set, args: {vars: {V: y}}}'
  const [only, ...more] = problemsOf([set, other, `{name: b, action: noop, when: '\${V}', needs: [s0]}`])
  assert.match(only!, /reads V, which step "s1" sets.*\| add "s1" to its needs, or rename one/)
  assert.deepEqual(more, [])
})

test('steps without needs run in order, and so do finally steps and rollbacks', () => {
  const plain = set.replace(', needs: []', '')
  assert.deepEqual(problemsOf([plain, `{name: b, action: noop, when: '\${V}'}`]), [])
  const undo = '{action: file.write, args: {path: p, content: "${V}"}}'
  assert.deepEqual(problemsOf([set, `{name: b, action: noop, rollback: ${undo}}`]), [])
  assert.deepEqual(problemsOf([set], `finally: [{name: f, action: noop, when: '\${V}'}]\n`), [])
})

test('a variable that the file or the step itself sets does not come from the other step', () => {
  const read = `{name: b, action: noop, when: '\${V}'}`
  assert.deepEqual(problemsOf([set, read], 'inputs: {V: {}}\n'), [])
  assert.deepEqual(problemsOf([set, read], 'env: {V: x}\n'), [])
  const write = 'action: file.write, args: {path: p, content: "${V}"}'
  assert.deepEqual(problemsOf([set, `{name: b, env: {V: x}, ${write}}`]), [])
  assert.deepEqual(problemsOf([set, `{name: b, matrix: {V: [x]}, ${write}}`]), [])
  for (const own of ['env: {V: x}', 'matrix: {V: [x]}'])
    assert.deepEqual(problemsOf([set, `{name: b, ${own}, action: noop, when: '\${V} == x'}`]), [])
  const item = '{name: s0, action: vars.set, args: {vars: {ITEM: x}}, needs: []}'
  for (const when of ['1 < 2', '${ITEM} == x'])
    assert.deepEqual(
      problemsOf([
        item,
        `{name: b, foreach: [x], when: '${when}', action: vars.set, args: {vars: {W: "\${ITEM}"}}}`,
      ]),
      [],
    )
})

test('checks every place that is filled in, each variable once per step', () => {
  const places = (step: string) =>
    problemsOf([set, step]).map((line) => line.split(' reads')[0]!.split(': ')[1])
  const write = 'action: file.write, args: {path: "${V}", content: "${V}"}'
  assert.deepEqual(places(`{name: b, ${write}}`), ['path in args of step "b"'])
  assert.deepEqual(places(`{name: b, env: {A: "\${V}", V: x}, ${write}}`), ['A in env of step "b"'])
  assert.deepEqual(places(`{name: b, env: {V: "\${V}"}, ${write}}`), ['V in env of step "b"'])
  assert.deepEqual(places('{name: b, targets: ["${V}"], action: noop}'), ['targets[0] in step "b"'])
  assert.deepEqual(places('{name: b, foreach: "${V}", action: noop}'), ['foreach in step "b"'])
  // Counts only what a step without a host reads itself: its sub-workflow has variables of its own.
  const sub =
    'workflow: {version: v0.1, name: i, inputs: {V: {}}, steps: [{name: i, action: noop, when: "${V}"}]}'
  assert.deepEqual(places(`{name: b, action: workflow.run, args: {${sub}}}`), [])
  assert.deepEqual(places(`{name: b, action: workflow.run, args: {inputs: {V: "\${V}"}, ${sub}}}`), [
    'V in args.inputs of step "b"',
  ])
})

test('knows what a step sets from outputs, expect_vars, its script and a sub-workflow', () => {
  const read = '{name: b, action: noop, when: "${V}"}'
  for (const setter of [
    'action: cmd.run, args: {cmd: x}, outputs: {V: stdout}',
    'action: cmd.run, args: {cmd: x, export_vars: true}, expect_vars: [V]',
    'action: cmd.run, args: {cmd: "echo BOPS_EXPORT:V=1", export_vars: true}',
    'action: shell.run, args: {script: "echo BOPS_EXPORT:V=1", export_vars: true}',
    'action: workflow.run, args: {workflow: {version: v0.1, name: i, outputs: {V: x}, steps: [{name: i, action: noop}]}}',
  ])
    assert.match(
      problemsOf([`{name: s0, ${setter}, needs: []}`, read]).join(),
      /reads V, which step "s0" sets/,
    )
  assert.deepEqual(
    problemsOf(['{name: s0, action: cmd.run, args: {cmd: "echo BOPS_EXPORT:V=1"}, needs: []}', read]),
    [],
  )
})

test('checks commands and scripts as far as the variable surely comes from the environment', () => {
  const reads = (cmd: string) =>
    problemsOf([set, `{name: b, action: shell.run, args: {script: ${JSON.stringify(cmd)}}}`]).length === 1
  for (const text of ['echo "$V"', 'echo ${V:-x}', "echo 'a' $V", '#!/bin/bash\necho $V', 'echo "it\'s $V"'])
    assert.ok(reads(text), text)
  for (const text of [
    'echo x',
    'V=1; echo $V',
    'read V && echo $V',
    'for V in a b; do echo $V; done',
    "echo '$V'",
    'echo \\$V "\\$V"',
    'true # $V',
    '. ./settings; echo $V',
    'eval "$(settings)"; echo $V',
    "cat <<'EOF'\n$V\nEOF",
    '#!/usr/bin/env perl\nmy $V = 1; print $V',
  ])
    assert.ok(!reads(text), text)
  assert.match(
    problemsOf([set, '{name: b, action: agent.run, args: {prompt: x, verify: [test -n "$V"]}}']).join(),
    /verify\[0\] .*reads V/,
  )
})

test('a sub-workflow is a separate graph with its own warnings', () => {
  const inner = `{version: v0.1, name: i, steps: [${set}, {name: b, action: noop, when: "\${V}"}]}`
  assert.match(
    problemsOf([`{name: w, action: workflow.run, args: {workflow: ${inner}}}`]).join(),
    /^4:\d+ warning: when in step "b" reads V/,
  )
})

test('checks thousands of steps in a moment', () => {
  const steps = Array.from({ length: 2000 }, (_, index) => {
    const needs = index === 0 ? '[]' : `[s${index - 1}]`
    return `{name: s${index}, action: vars.set, args: {vars: {V: "\${V:-}x"}}, needs: ${needs}}`
  })
  assert.deepEqual(problemsOf(steps), [])
  const [only] = problemsOf([...steps, '{name: last, action: noop, when: "${V}"}'])
  assert.match(only!, /step "last" reads V, which step "s0" sets/)
})

test('however many warnings there are, the file is valid, and no mistake is hidden', () => {
  const reads = Array.from({ length: 150 }, (_, index) => `{name: r${index}, action: noop, when: "\${V}"}`)
  const all = problemsOf([set, ...reads])
  assert.equal(all.length, 21)
  assert.match(all.join('\n'), /warning: more than 20 warnings; the rest is not shown/)
  const inner = `{version: v0.1, name: i, steps: [${[set, ...reads].join(', ')}]}`
  const { workflow, problems } = parseWorkflow(
    `version: v0.1\nname: w\nsteps:\n  - {name: w, action: workflow.run, args: {workflow: ${inner}}}\n  - {name: x, action: cmd.run}`,
    { catalog },
  )
  assert.equal(workflow, undefined)
  assert.equal(problems.filter(({ severity }) => severity === 'error').length, 1)
})
