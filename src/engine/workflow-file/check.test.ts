import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { builtinActions as catalog } from '../../contract/actions.ts'
import { checkWorkflow, parseWorkflow } from './check.ts'

const check = (text: string) => parseWorkflow(text, { catalog, file: 'flow.yaml' })
/** Makes a workflow of the given steps, each a line of YAML. */
const steps = (lines: readonly string[], more = '') =>
  `version: v0.1\nname: w\n${more}steps:\n${lines.map((line) => `  - ${line}\n`).join('')}`
const problemsOf = (text: string) =>
  check(text).problems.map(
    ({ line, column, message, hint }) => `${line}:${column} ${message}${hint ? ` | ${hint}` : ''}`,
  )

/** Returns the only problem of a workflow. */
function only(text: string): string {
  const all = problemsOf(text)
  assert.equal(all.length, 1, all.join('\n'))
  return all[0]!
}

test("the workflow runner's own file is valid, and its defaults are filled in", () => {
  const { workflow, problems } = check(`
version: v0.1
name: demo
inventory:
  hosts:
    local: {address: "http://127.0.0.1:7072"}
steps:
  - name: hello
    targets: [local]
    action: cmd.run
    args: {cmd: echo "hello"}
  - name: script
    targets: [local]
    action: shell.run
    args:
      export_vars: true
      script: |
        echo "BOPS_EXPORT:TOKEN=abc" "\${#array[@]}"
    expect_vars: [TOKEN]
    continue_on_error: true
  - name: conditional
    when: \${OK} == "true" && \${COUNT} > 1
    action: noop
`)
  assert.deepEqual(problems, [])
  assert.equal(workflow?.steps[0]?.args.cmd, 'echo "hello"')
  assert.equal(workflow?.steps[0]?.args.export_vars, false)
  assert.equal(workflow?.steps[1]?.args.shell, 'sh')
  assert.equal(workflow?.steps[2]?.continue_on_error, false)
})

test('checking a checked workflow again gives the same result', () => {
  const { workflow } = check(
    steps(['{name: a, action: file.write, args: {path: p, content: "${X}"}, retry: {max_attempts: 2}}']),
  )
  assert.ok(workflow)
  assert.deepEqual(checkWorkflow(workflow, { catalog }), { workflow, problems: [] })
})

test('reports every mistake at once, with its line and column', () => {
  const text = `version: v0.2
nam: demo
inventory:
  hosts:
    web1: {address: "ftp://x"}
steps:
  - name: one
    target: [web1]
    action: cmd.runn
  - name: two
    targets: [web2]
    action: shell.run
    args: {scrip: echo, shell: zsh}
    needs: [onee]
    when: \${A} = 1
    timeout_seconds: 5m
`
  assert.deepEqual(problemsOf(text), [
    '1:1 name is missing | write name: demo',
    '1:10 version must be "v0.1", but is text "v0.2" | write version: v0.1',
    '2:1 unknown key "nam" at the top level | did you mean "name"?',
    '5:21 address in inventory.hosts.web1 is text "ftp://x", but an address starts with http:// or https:// | write address: http://x:7072',
    '8:5 unknown key "target" in step "one" | write targets: [web1]; each one is a host in inventory.hosts',
    '9:13 action in step "one" names "cmd.runn", but there is no such action | did you mean "cmd.run"?',
    '11:15 targets[0] in step "two" names "web2", which is not in inventory.hosts | did you mean "web1"?',
    '13:5 script in args of step "two" is missing | write script: echo hello',
    '13:12 unknown key "scrip" in args of step "two" | did you mean "script"?',
    '13:32 shell in args of step "two" must be "sh" or "bash", but is text "zsh" | did you mean "sh"?',
    '14:13 needs[0] in step "two" names "onee", but there is no such step | did you mean "one"?',
    '15:16 when in step "two" does not parse: "=" is not an operator (at character 6) | write ==',
    '16:22 timeout_seconds in step "two" must be a number, but is text "5m" | write timeout_seconds: 300',
  ])
})

test('a file that is not a workflow gets a message with the first lines of one', () => {
  assert.match(only(''), /the workflow is empty \| start with version: v0\.1/)
  assert.match(only('# only a comment'), /the workflow is empty/)
  assert.match(only('- a'), /but this is a list/)
  assert.match(only('hello'), /but this is text "hello"/)
  assert.match(problemsOf('name: x')[0]!, /version is missing \| write version: v0\.1/)
  assert.match(only('a: [1'), /not valid YAML/)
  for (const value of [undefined, null, 5, [], 'x'])
    assert.equal(checkWorkflow(value, { catalog }).problems.length, 1)
})

test('a wrong type says what is expected, what is there and often what to write', () => {
  const noop = (more: string) => only(steps([`{name: a, action: noop, ${more}}`]))
  assert.match(noop('targets: local'), /must be a list, but is text "local" \| write targets: \[local\]/)
  assert.match(noop('env: [a]'), /must be a map of keys and values, but is a list/)
  assert.match(noop('continue_on_error: "yes"'), /must be true or false, but is text "yes"/)
  assert.match(noop('timeout_seconds: "5"'), /must be a number, but is text "5" \| write timeout_seconds: 5/)
  assert.match(noop('timeout_seconds: 0'), /timeout_seconds in step "a" must be more than 0/)
  assert.match(noop('retry: {max_attempts: 1.5}'), /max_attempts in retry of step "a" must be a whole number/)
  assert.match(noop('env:'), /env in step "a" must be .*, but is empty \| give it a value/)
  assert.match(noop('env: {1A: x}'), /1A in env of step "a" is not a valid key: a variable name/)
  assert.match(noop('env: {A: [x]}'), /must be text, a number or true or false, but is a list/)
  assert.match(
    noop('outputs: {A: stdot}'),
    /must be "stdout", "stderr", .* or "value".*did you mean "stdout"/,
  )
  assert.match(
    noop('outputs: {A: {from: stdout, rgex: x}}'),
    /unknown key "rgex" in outputs.A of step "a" \| did you mean "regex"/,
  )
  assert.match(noop('depends_on: [b]'), /write needs: \[b\]/)
  assert.match(noop('foreach: 5'), /must be a list or text, but is the number 5/)
  assert.match(
    only(steps(['{name: a, action: cmd.run, args: {cmd: true}}'])),
    /must be text, but is true \| put it in quotes: "true"/,
  )
  assert.match(only(steps(['just text'])), /step 1 must be a map/)
  assert.match(only('version: v0.1\nname: w\nsteps: []'), /steps must not be empty/)
})

test('arguments are checked by their action, including those of rollbacks', () => {
  assert.match(
    only(steps(['{name: a, action: cmd.run}'])),
    /args in step "a" is missing \| write args: \{cmd: echo hello\}/,
  )
  assert.match(only(steps(['{name: a, action: noop, args: {x: 1}}'])), /unknown key "x" in args of step "a"/)
  assert.match(
    only(steps(['{name: a, action: noop, rollback: {action: cmd.run, args: {cmdd: x, cmd: y}}}'])),
    /unknown key "cmdd" in rollback.args of step "a" \| did you mean "cmd"/,
  )
  assert.match(
    only(steps(['{name: a, action: noop, rollback: {action: nope}}'])),
    /action in rollback of step "a" names "nope"/,
  )
  assert.match(
    only(steps(['{name: a, action: noop, rollback: {action: approval.wait}}'])),
    /does not run on a host/,
  )
})

test('refuses in a file, and in a sub-workflow, what only a command may create, and names that command', () => {
  const step = 'steps: [{name: s, action: bot.serve, args: {}}]'
  const problemsOf = (text: string) =>
    parseWorkflow(`version: v0.1\nname: b\n${text}`, {
      catalog,
      readFile: () => `version: v0.1\nname: c\n${step}`,
    }).problems.map(({ line, message, hint }) => [line, message, hint])
  const messages = [
    3,
    'action in step "s" names "bot.serve", which a file cannot use',
    'start it with: errand bot start',
  ]
  assert.deepEqual(problemsOf(step), [messages])
  assert.deepEqual(problemsOf('steps: [{name: w, action: workflow.run, args: {file: c.yaml}}]'), [messages])
})

test('leaves the content of a variable to the run', () => {
  const { workflow } = check(
    steps([
      '{name: a, targets: ["${HOST}"], action: file.write, args: {path: "${P}", content: "", mode: "${MODE}"}}',
    ]),
  )
  assert.equal(workflow?.steps[0]?.args.mode, '${MODE}')
  assert.match(
    only(steps(['{name: a, action: cmd.run, args: {cmd: x, max_output_bytes: "${N}"}}'])),
    /must be a number, but is text "\$\{N\}" \| a variable is text/,
  )
})

test('arguments that the engine itself uses must be valid at once', () => {
  assert.match(
    only(steps(['{name: a, action: approval.wait, args: {on_timeout: "${X}"}}'])),
    /on_timeout in args of step "a" must be "approve" or "reject"/,
  )
})

test('finds a ${ that is not a variable in every text except commands and scripts', () => {
  assert.deepEqual(
    check(steps(['{name: a, action: cmd.run, args: {cmd: "echo ${1} ${x%%.*}"}}'])).problems,
    [],
  )
  assert.match(
    only(steps(['{name: a, action: cmd.run, args: {cmd: x, cwd: "a${1}"}}'])),
    /^4:\d+ cwd in args of step "a" is not valid: "\$\{1\}" is not a variable/,
  )
  assert.match(only(steps(['{name: a, action: noop, env: {A: "${b c}"}}'])), /A in env of step "a"/)
  assert.match(only(steps(['{name: a, action: noop, foreach: "${b c}"}'])), /foreach in step "a"/)
  assert.match(only(steps(['{name: a, action: noop, targets: ["${b c}"]}'])), /targets\[0\] in step "a"/)
  assert.match(only(steps(['{name: a, action: noop}'], 'env: {A: "${"}\n')), /A in env is not valid/)
  assert.match(only(steps(['{name: a, action: noop}'], 'outputs: {A: "${"}\n')), /A in outputs is not valid/)
  assert.match(
    only(steps(['{name: a, action: noop}'], 'concurrency: {group: "${"}\n')),
    /group in concurrency is not valid/,
  )
})

test('step names are unique, and needs name other steps without a cycle', () => {
  const noop = (name: string, needs?: string) =>
    `{name: ${name}, action: noop${needs === undefined ? '' : `, needs: [${needs}]`}}`
  assert.match(only(steps([noop('a'), noop('a')])), /^5:12 name "a" is already used by steps\[0\]/)
  assert.match(only(`${steps([noop('a')])}finally:\n  - ${noop('a')}\n`), /name "a" is already used/)
  assert.match(
    only(`${steps([noop('a')])}finally:\n  - ${noop('b', 'a')}\n`),
    /needs in step "b" cannot be used/,
  )
  assert.match(
    only(`${steps([noop('a', 'b')])}finally:\n  - ${noop('b')}\n`),
    /names "b", which is a finally step/,
  )
  assert.match(only(steps([noop('a', 'a')])), /names the step itself/)
  assert.match(only(steps([noop('a'), noop('b', 'a, a')])), /names "a" twice/)
  assert.match(
    only(steps([noop('a', 'c'), noop('b', 'a'), noop('c', 'b')])),
    /wait for each other: a -> c -> b -> a/,
  )
  assert.deepEqual(check(steps([noop('a'), noop('b', 'a'), noop('c', 'a'), noop('d', 'b, c')])).problems, [])
  const long = Array.from({ length: 5000 }, (_, i) => noop(`s${i}`, `s${(i + 1) % 5000}`))
  assert.match(only(steps(long)), /wait for each other/)
})

test('needed files come from steps that have ended by then, one name or glob each, inside the workspace', () => {
  const step = (name: string, file?: string, needs?: string) =>
    `{name: ${name}, action: noop${needs === undefined ? '' : `, needs: [${needs}]`}${file === undefined ? '' : `, needs_files: [${file}]`}}`
  assert.deepEqual(
    check(steps([step('a'), step('b', '{step: a, name: x}, {step: a, glob: "*", to: y}')])).problems,
    [],
  )
  const graph = [step('a'), step('b', undefined, 'a'), step('c', '{step: a, name: x}', 'b')]
  assert.deepEqual(check(steps(graph)).problems, [])
  for (const [list, problem] of [
    [
      [step('a', '{step: b, name: x}'), step('b')],
      /step in needs_files\[0\] .*names "b", which does not run before this step/,
    ],
    [[step('a', '{step: a, name: x}')], /does not run before this step/],
    [[step('a'), step('b', '{step: a, name: x}'), step('c', undefined, 'a')], /write needs: \[a\]/],
    [[step('aa'), step('b', '{step: ab, name: x}')], /there is no such step \| did you mean "aa"/],
    [[step('a'), step('b', '{step: a}')], /names no file/],
    [[step('a'), step('b', '{step: a, name: x, glob: y}')], /has both a name and a glob/],
    [[step('a'), step('b', '{step: a, name: x, to: ../y}')], /leads out of the workspace/],
  ] as const)
    assert.match(only(steps([...list])), problem)
})

test('targets are hosts of the inventory, or local', () => {
  const of = (targets: string, hosts = '{web1: null}') =>
    steps([`{name: a, action: noop, targets: [${targets}]}`], `inventory: {hosts: ${hosts}}\n`)
  assert.deepEqual(check(of('web1, local, "${H}"')).problems, [])
  assert.match(only(of('web2')), /did you mean "web1"/)
  assert.match(only(of('database')), /write inventory: \{hosts: \{database: /)
  assert.match(only(of('web1, web1')), /twice/)
  assert.match(only(of('any', '[web1]')), /hosts in inventory must be a map/)
})

test('refuses settings that exclude each other, and steps that cannot reach each other', () => {
  assert.match(
    only(steps(['{name: a, action: noop, matrix: {A: [1]}, foreach: [1]}'])),
    /foreach in step "a" cannot be combined with matrix/,
  )
  assert.match(
    only(steps(['{name: a, action: approval.wait, targets: [local]}'])),
    /targets in step "a" cannot be used: approval\.wait does not run on a host/,
  )
  assert.match(
    only(steps(['{name: a, action: approval.wait, retry: {max_attempts: 2}}'])),
    /retry in step "a" cannot be used/,
  )
  assert.match(only(steps(['{name: a, action: approval.wait, timeout_seconds: 5}'])), /under args/)
  assert.deepEqual(check(steps(['{name: a, action: approval.wait, matrix: {A: [1, 2]}}'])).problems, [])
  assert.match(
    only(steps(['{name: a, action: cmd.run, args: {cmd: x}, expect_vars: [X]}'])),
    /names "X", which the step cannot export \| write export_vars: true/,
  )
  assert.match(
    only(steps(['{name: a, action: cmd.run, args: {cmd: x}, expect_vars: ["a b"]}'])),
    /is text "a b", but a variable name is at most 128 letters/,
  )
  assert.deepEqual(
    check(steps(['{name: a, action: cmd.run, args: {cmd: x}, expect_vars: [X], outputs: {X: stdout}}']))
      .problems,
    [],
  )
  assert.match(
    only(steps(['{name: a, action: noop, outputs: {A: {from: stdout, regex: "("}}}'])),
    /is not a valid regular expression/,
  )
  assert.match(
    only(
      `${steps(['{name: a, action: noop}'])}finally: [{name: b, action: noop, rollback: {action: noop}}]\n`,
    ),
    /has no effect/,
  )
  const wide = `[${Array.from({ length: 101 }, (_, i) => i).join(', ')}]`
  assert.match(
    only(steps([`{name: a, action: noop, matrix: {A: ${wide}, B: ${wide}}}`])),
    /run 10201 times \| the limit is 10000/,
  )
})

test('the default and choices of an input fit its type', () => {
  const of = (input: string) => only(steps(['{name: a, action: noop}'], `inputs: {i: {${input}}}\n`))
  assert.match(of('type: number, default: abc'), /default in inputs\.i must be a number, but is text "abc"/)
  assert.match(of('type: boolean, default: 1'), /must be true or false, but is the number 1/)
  assert.match(of('enum: [a, b], default: c'), /must be a or b, but is text "c"/)
  assert.match(of('type: number, enum: [1, x]'), /enum\[1\].*must be a number/)
  assert.match(of('type: int'), /must be "string", "number" or "boolean"/)
})

test('warns of text that looks like a variable but is not', () => {
  assert.deepEqual(
    problemsOf(
      steps(['{name: a, action: noop, when: OK == "true" && ${B}}'.replace(/when: (.*)}$/, "when: '$1'}")]),
    ),
    [
      '4:35 when in step "a" uses no variable: OK is plain text, so the result is always the same | a variable is written ${OK}',
    ],
  )
  assert.match(only(steps(["{name: a, action: noop, when: '!deploy'}"])), /deploy is plain text/)
  for (const fine of ['true', '1 == 1', '${A} == ok', 'ok == "${A}"', '"a" == "b"', 'linux-x64 == "x"'])
    assert.deepEqual(problemsOf(steps([`{name: a, action: noop, when: '${fine}'}`])), [])
  const cmd = 'echo ${{ secrets.TOKEN }}'
  const { workflow, problems } = check(steps([`{name: a, action: cmd.run, args: {cmd: '${cmd}'}}`]))
  assert.ok(workflow)
  assert.deepEqual(
    problems.map(({ column, severity, message, hint }) => [column, severity, message, hint]),
    [
      [
        50,
        'warning',
        'cmd in args of step "a" contains ${{ secrets.TOKEN }}, which is not shell syntax',
        'write "$TOKEN", and secrets: [TOKEN] in the step',
      ],
    ],
  )
})

test('reports many mistakes up to a limit', () => {
  const { problems } = check(steps(Array.from({ length: 3000 }, (_, i) => `{name: s${i}, action: nope}`)))
  assert.equal(problems.length, 21)
  assert.match(problems.map(({ message }) => message).join(), /more than 20 problems/)
})

test('thousands of mistakes and very long names do not make a long list', () => {
  const key = (index: number) => `k${index}: 1`
  const many = Array.from({ length: 5000 }, (_, index) => key(index))
  const long = 'x'.repeat(200_000)
  for (const text of [
    steps([`{name: a, action: cmd.run, args: {${many.join(', ')}}}`]),
    steps(['{name: a, action: noop}']) + many.join('\n'),
    steps([`{name: a, action: noop, ${long}: 1}`]),
    steps([`{name: a, action: noop, needs: [${long}]}`]),
    steps(Array.from({ length: 9000 }, () => '0')),
  ]) {
    const { problems } = check(text)
    assert.ok(problems.length > 0 && problems.length <= 21, `${problems.length} problems`)
    const { length } = JSON.stringify(problems)
    assert.ok(length < 20_000, `${length} characters: ${JSON.stringify(problems).slice(0, 300)}`)
  }
})

test('checking any value returns problems and does not throw', () => {
  const key = fc.constantFrom(
    'version',
    'name',
    'steps',
    'finally',
    'inventory',
    'hosts',
    'inputs',
    'env',
    'action',
    'args',
    'needs',
    'targets',
    'when',
    'matrix',
    'foreach',
    'outputs',
    'rollback',
    'expect_vars',
    'retry',
    'cmd',
    'workflow',
    'file',
    '__proto__',
    'constructor',
  )
  const leaf = fc.oneof(
    fc.constantFrom('v0.1', 'cmd.run', 'workflow.run', 'approval.wait', 'a', '${A}', '${', 'constructor'),
    fc.anything({ maxDepth: 0 }),
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      leaf,
      fc.dictionary(key, tie('value')),
      fc.array(tie('value'), { maxLength: 4 }),
    ),
  }))
  const workflow = fc.record({
    version: fc.constant('v0.1'),
    name: fc.constant('w'),
    steps: fc.array(fc.dictionary(key, value)),
    env: value,
    inputs: value,
    inventory: value,
  })
  fc.assert(
    fc.property(fc.oneof(value, workflow), (document) => {
      const checked = checkWorkflow(document, { catalog })
      assert.equal(checked.workflow === undefined, checked.problems.length > 0)
    }),
    { numRuns: 1000 },
  )
})

test('reports an object without the usual prototype like any other', () => {
  const strange = Object.assign(Object.create(null), { constructor: { name: Object.create(null) } })
  const { problems } = checkWorkflow(
    { version: 'v0.1', name: strange, steps: [{ name: 'a', action: 'noop' }] },
    { catalog },
  )
  assert.match(problems[0]!.message, /name must be text, but is a map/)
})
