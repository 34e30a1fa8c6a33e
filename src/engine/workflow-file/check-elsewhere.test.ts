import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'

/** Returns the warnings about steps, each given as a line of YAML; `more` holds other keys of the file. */
function warnings(steps: readonly string[], more = ''): string[] {
  const text = `version: v0.1\nname: w\n${more}steps:\n${steps.map((step) => `  - ${step}\n`).join('')}`
  const { workflow, problems } = parseWorkflow(text, { catalog, warnsOfHub: true })
  assert.ok(workflow, JSON.stringify(problems))
  return problems.map(({ line, column, message }) => `${line}:${column} ${message}`)
}
const cmd = (text: string, more = '') => `{name: s, action: cmd.run, args: {cmd: '${text}'}${more}}`

test('a variable that only your own shell can set is reported once, where it is read', () => {
  assert.deepEqual(warnings([cmd('echo $EDITOR "${EDITOR}"')]), [
    '4:50 cmd in args of step "s" reads EDITOR, which is not set on a runner of a hub',
  ])
})

test('does not report variables that a runner passes on, the shell sets or the file gives', () => {
  const fine = 'echo $HOME $PATH $PWD $RANDOM $ERRAND_RUN_ID $1 $# ${NAME:-none} ${CI:+x}'
  assert.deepEqual(warnings([cmd(fine)]), [])
  assert.deepEqual(warnings([cmd('echo $A $B $C', ', env: {C: x}')], 'env: {A: x}\ninputs: {B: {}}\n'), [])
  assert.deepEqual(warnings([cmd('echo $ITEM $T', ', foreach: [a], secrets: [T]')]), [])
  const sets = '{name: v, action: vars.set, args: {vars: {A: x}}}'
  assert.deepEqual(warnings([sets, cmd('echo $A')]), [])
  assert.deepEqual(
    warnings([cmd('A=1; echo $A'), cmd('sed s/x/$EDITOR/').replace('name: s', 'name: t')]).length,
    1,
  )
})

test('says nothing about variables if a program may export them', () => {
  const exporting = '{name: v, action: cmd.run, args: {cmd: ./print, cwd: /opt, export_vars: true}}'
  assert.deepEqual(warnings([exporting, cmd('echo $A')]), [])
})

test('reports a path in your own folder, in a command and as its folder', () => {
  assert.deepEqual(warnings([cmd('./deploy.sh prod && cat ../secret.txt')]), [
    '4:45 cmd in args of step "s" names ./deploy.sh, but the workspace of a run on a hub starts empty',
    '4:69 cmd in args of step "s" names ../secret.txt, but the workspace of a run on a hub starts empty',
  ])
  assert.deepEqual(warnings(["{name: s, action: cmd.run, args: {cmd: 'make', cwd: app}}"]), [
    '4:57 cwd in args of step "s" names app, but the workspace of a run on a hub starts empty',
  ])
})

test('does not report a path that a checkout or a step can have created', () => {
  const run = cmd('./deploy.sh')
  assert.deepEqual(warnings([run], 'workspace: {repo: "https://example.org/a.git"}\n'), [])
  const made = '{name: m, action: file.write, args: {path: deploy.sh, content: x}}'
  assert.deepEqual(warnings([made, run]), [])
  assert.deepEqual(warnings([cmd('printf x > run.sh; ./run.sh')]), [])
  assert.deepEqual(warnings([cmd('git clone https://example.org/a.git && ./a/run')]), [])
  assert.deepEqual(warnings([cmd('cd /srv && ./start')]), [])
  assert.deepEqual(warnings(['{name: s, action: cmd.run, args: {cmd: ./start, cwd: /srv}}']), [])
  assert.deepEqual(warnings([cmd('find . -name x; ls ..; echo 1.5/2 https://x.org/./y')]), [])
})

test('warns only on request', () => {
  const text = `version: v0.1\nname: w\nsteps:\n  - ${cmd('./deploy.sh $EDITOR')}\n`
  assert.deepEqual(parseWorkflow(text, { catalog }).problems, [])
})
