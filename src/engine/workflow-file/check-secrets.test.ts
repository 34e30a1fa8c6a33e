import assert from 'node:assert/strict'
import test from 'node:test'
import { builtinActions, builtinActions as catalog } from '../../contract/actions.ts'
import { parseWorkflow } from './check.ts'
import { formatProblemWithSource } from './problems.ts'

const problems = (text: string) =>
  parseWorkflow(`version: v0.1\nname: x\n${text}`, { catalog }).problems.map(
    ({ line, message, hint }) => `${line}: ${message} (${hint})`,
  )

for (const [what, text, expected] of [
  [
    'when',
    'when: ${S} == "x"',
    /^8: when in step "one" uses the secret "S" \(secrets can be used only in args/,
  ],
  ['targets', 'targets: ["${S}"]', /^8: .*uses the secret "S"/],
  ['foreach', 'foreach: ${S}', /^8: foreach in step "one" uses the secret "S"/],
  ['env', 'env: {A: "x ${S}"}', /^8: A in env of step "one" uses the secret "S"/],
] as const)
  test(`a secret in ${what} of its own step is an error`, () => {
    const found = problems(`
steps:
  - name: one
    action: noop
    secrets: [S]
    ${text}
`)
    assert.match(found.join('\n'), expected)
  })

test('a step may use its secrets in its arguments and in those of its rollback', () => {
  const text = `
steps:
  - name: push
    action: http.request
    secrets: {TOKEN: deploy_token, KEY: {mounted: key.pem, as: file}}
    args: {url: "https://example.org", headers: {authorization: "Bearer \${TOKEN}"}, body: "\${KEY:-none}"}
    rollback: {action: http.request, args: {url: "https://example.org/\${TOKEN}"}}
  - {name: shell, action: cmd.run, secrets: [OTHER], args: {cmd: 'use "\${OTHER}" and "\${TOKEN}"', cwd: "/$\${TOKEN}"}}
finally:
  - {name: end, action: file.write, secrets: [TOKEN], args: {path: a, content: "\${TOKEN}"}}
`
  assert.deepEqual(problems(text), [])
})

test('a secret in texts of the file, in other steps, in output_path or in vars.set is an error', () => {
  const found = problems(`
env: {A: "\${S}"}
outputs: {B: "\${S}"}
concurrency: {group: "\${S}"}
steps:
  - {name: one, action: cmd.run, secrets: [S], args: {cmd: x, output_path: "/tmp/\${S}"}}
  - {name: two, action: file.write, args: {path: a, content: "\${S}"}}
  - {name: three, action: vars.set, secrets: [S], args: {vars: {C: "\${S}"}}}
`)
  assert.equal(found.length, 6, found.join('\n'))
  assert.match(
    found[4]!,
    /uses the secret "S", which its step does not name \(add it to the step: secrets: \[S\]/,
  )
  assert.match(found[5]!, /a secret cannot become a variable/)
})

test('a secret whose variable has another meaning is an error', () => {
  const found = problems(`
inputs: {A: {}}
env: {B: x}
steps:
  - {name: one, action: noop, env: {C: x}, matrix: {D: [1]}, secrets: [A, B, C, D, E, ERRAND_X]}
  - {name: two, action: cmd.run, args: {cmd: x}, outputs: {E: stdout}}
  - {name: three, action: noop, foreach: [1], secrets: {ITEM: x}}
`)
  assert.equal(found.length, 7, found.join('\n'))
  assert.match(
    found[0]!,
    /is called "A", which is an input \(use another variable for it: secrets: {OTHER_NAME: A}/,
  )
  assert.match(found[4]!, /"E", which is a variable that step "two" sets/)
})

test('reports a variable of an unnamed step as belonging to another step', () => {
  const found = problems(`
steps:
  - {action: cmd.run, args: {cmd: x}, outputs: {E: stdout}}
  - {name: two, action: noop, secrets: [E]}
`)
  assert.match(found.join('\n'), /"E", which is a variable that another step sets/)
})

test('reports invalid entries of secrets with their places', () => {
  const found = problems(`
steps:
  - {name: one, action: noop, secrets: [A, A]}
  - {name: two, action: noop, secrets: {A: {mounted: x, secret: y}, B: {as: files}, C: {mounted: ../x}, D: {form: env}}}
  - {name: three, action: approval.wait, secrets: [A]}
`)
  const all = found.join('\n')
  for (const part of [
    /5: secrets in step "one" names a secret twice/,
    /6: mounted in secrets.A of step "two" cannot be combined with secret/,
    /as in secrets.B of step "two" must be "env", "file" or "mask"/,
    /mounted in secrets.C of step "two" .*must be the name of a file, not a path/,
    /unknown key "form" in secrets.D of step "two"/,
    /7: secrets in step "three" cannot be used: approval.wait does not run on a host/,
  ])
    assert.match(all, part)
})

test('warns of a credential in env by its name, and does not show its line', () => {
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
  assert.match(shown[1]!, /is stored as plain text/)
  assert.match(shown[2]!, /too short to be masked/)
})
