import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ErrandError } from '../contract/errors.ts'
import { checkPlaybooks, type PlaybookSource, parsePlaybooks, validPlaybooks } from './parse.ts'

const file = '.errand/playbook.yaml'
const problemsOf = (text: string, source: PlaybookSource = { file }) =>
  parsePlaybooks(text, source).problems.map(
    ({ line, column, message, hint }) => `${line}:${column} ${message}${hint ? ` | ${hint}` : ''}`,
  )
/** Makes a playbook of one step with these keys beside its name and command. */
const step = (keys: string) => `name: p\nsteps:\n  - {name: a, command: "true", ${keys}}\n`

test('a playbook of the coding-task runner parses unchanged, with its defaults', () => {
  const { playbooks, problems } = parsePlaybooks(
    `
name: Backend Task Playbook
steps:
  - {name: Install dependencies, command: npm install, timeout_seconds: 300, retry_count: 2}
  - {name: Run linter, command: npm run lint, condition: lint_enabled == true, fail_fast: false}
  - {name: Run unit tests, command: npm test, timeout_seconds: 600, fail_fast: true}
`,
    { file },
  )
  assert.deepEqual(problems, [])
  const defaults = {
    timeout_seconds: 300,
    retry_count: 0,
    fail_fast: true,
    phase: 'test',
    allow_failure: false,
    commits: false,
  }
  assert.deepEqual(playbooks, [
    {
      name: 'Backend Task Playbook',
      steps: [
        { ...defaults, name: 'Install dependencies', command: 'npm install', retry_count: 2 },
        {
          ...defaults,
          name: 'Run linter',
          command: 'npm run lint',
          condition: 'lint_enabled == true',
          fail_fast: false,
        },
        { ...defaults, name: 'Run unit tests', command: 'npm test', timeout_seconds: 600 },
      ],
    },
  ])
})

test('every own field is kept, and a number in env stays as written', () => {
  const keys =
    'phase: setup, allow_failure: true, commits: true, condition: false, env: {PYTHON: 3.10}, artifacts: ["out/**/*.xml"]'
  const { playbooks } = parsePlaybooks(
    `playbooks:\n  - required_skill: backend\n    ${step(keys).replaceAll('\n', '\n    ')}`,
    { file },
  )
  assert.deepEqual(playbooks?.[0], {
    name: 'p',
    required_skill: 'backend',
    steps: [
      {
        name: 'a',
        command: 'true',
        condition: false,
        timeout_seconds: 300,
        retry_count: 0,
        fail_fast: true,
        phase: 'setup',
        allow_failure: true,
        commits: true,
        env: { PYTHON: '3.10' },
        artifacts: ['out/**/*.xml'],
      },
    ],
  })
})

test('all mistakes are reported together, each with its position and what to write instead', () => {
  assert.deepEqual(
    problemsOf(`nmae: p
steps:
  - {name: a, comand: npm test, timeout: 5m}
  - {name: b, command: npm test, condition: 'lint_enabled = true', retry_count: -1}
  - {name: "", command: 7, condition: "changed('[z-a]')", artifacts: [../x, "[z-a]"]}
`),
    [
      '1:1 name is missing',
      '1:1 unknown key "nmae" at the top level | did you mean "name"?',
      '3:5 command in step "a" is missing',
      '3:15 unknown key "comand" in step "a" | did you mean "command"?',
      '3:33 unknown key "timeout" in step "a" | write timeout_seconds',
      '4:59 condition in step "b" cannot be read at character 14: "=" is not an operator | write ==',
      '4:81 retry_count in step "b" must be at least 0 | write retry_count: 1, or more',
      '5:12 name in step 3 is not valid: it is empty',
      '5:25 command in step 3 must be text, but is the number 7 | put it in quotes: "7"',
      `5:48 condition in step 3 cannot be read at character 9: '[z-a]' is not a valid glob: Range out of order in character class | write it as in changed("src/**/*.ts")`,
      '5:71 artifacts[0] in step 3 leads outside the repository | write it relative to the root of the repository',
      '5:77 artifacts[1] in step 3 is not a valid glob: Range out of order in character class | a range goes from the lower to the higher character: [a-z]',
    ],
  )
})

test("keywords of other systems are answered with Errand's own", () => {
  const hints: Record<string, RegExp> = {
    'run: x': /write command$/,
    'retries: 3': /write retry_count, the number of extra tries$/,
    'if: always()': /write condition$/,
    'continueOnError: true': /write allow_failure: true, or fail_fast: false/,
    'fail-fast: true': /write fail_fast: true$/,
    'required_skill: backend': /write required_skill at the top level$/,
    'needs: [b]': /allowed here: name, command, condition, timeout_seconds/,
  }
  for (const [keys, hint] of Object.entries(hints)) {
    const all = problemsOf(step(keys))
    assert.equal(all.length, 1, keys)
    assert.match(all[0]!, hint)
  }
  assert.match(problemsOf('name: p\nskill: x\nsteps: [{name: a, command: b}]')[0]!, /write required_skill$/)
  assert.match(
    problemsOf('name: p\nretry_count: 1\nsteps: [{name: a, command: b}]')[0]!,
    /write retry_count in the step$/,
  )
})

test('a file without a playbook gets a hint about how to begin one', () => {
  const example = 'begin with name: tests and steps:, and a step: - {name: unit tests, command: npm test}'
  assert.deepEqual(problemsOf(''), [`undefined:undefined the playbook is empty | ${example}`])
  assert.deepEqual(problemsOf('- {name: a, command: b}'), [
    '1:1 a playbook must be a map of keys and values, but this is a list | write name: tests, and the list under steps:',
  ])
  assert.deepEqual(problemsOf('name: p\nsteps: []'), ['2:8 steps must not be empty'])
  assert.deepEqual(problemsOf('playbooks: 3'), [
    '1:12 playbooks must be a list, but is the number 3 | write each playbook after "- ", or a single one under playbook:',
  ])
  assert.match(problemsOf('name: x\nplaybooks: []')[0]!, /1:1 "name" cannot be used together with playbooks/)
  assert.match(problemsOf('a: [')[0]!, /not valid YAML/)
  const bytes = parsePlaybooks(Buffer.from([0xff, 0xfe, 0]), { file })
  assert.equal(bytes.problems[0]?.message, 'the file is not valid UTF-8')
  assert.match(problemsOf('#'.repeat(300_000))[0]!, /more than 256 KiB/)
})

test('only the playbook part of a file with other content is checked', () => {
  const part: PlaybookSource = { file: 'errand.yaml', form: 'part' }
  assert.deepEqual(parsePlaybooks('groups: {a: {}}', part), { playbooks: [], problems: [] })
  const { playbooks } = parsePlaybooks('url: x\nplaybook:\n  name: p\n  steps: [{name: a, command: b}]', part)
  assert.equal(playbooks?.[0]?.name, 'p')
  assert.deepEqual(problemsOf('url: x\nplaybooks:\n  - {name: p, steps: [{name: a, comand: b}]}', part), [
    '3:23 command in step "a" is missing',
    '3:33 unknown key "comand" in step "a" | did you mean "command"?',
  ])
})

test('a thrown error has all problems, each with its file', () => {
  assert.throws(
    () => validPlaybooks(parsePlaybooks('name: p\nsteps: [{name: a, comand: b}]', { file })),
    (error: ErrandError) => {
      assert.equal(error.code, 'invalid_playbook')
      assert.match(error.message, /^\.errand\/playbook\.yaml has 2 mistakes: .* \(line 2, column 9\)$/)
      const { problems } = error.details as { problems: { file: string; path: string }[] }
      assert.deepEqual(
        problems.map(({ file, path }) => [file, path]),
        [
          [file, 'steps[0].command'],
          [file, 'steps[0].comand'],
        ],
      )
      return true
    },
  )
})

test('any value and any text is a playbook or has problems', () => {
  const key = fc.constantFrom(
    'name',
    'steps',
    'command',
    'condition',
    'env',
    'artifacts',
    'playbooks',
    '__proto__',
    'x',
  )
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 4 }),
    ),
  }))
  fc.assert(
    fc.property(value, (one) => {
      const { playbooks, problems } = checkPlaybooks(one, { file })
      assert.equal(playbooks === undefined, problems.length > 0)
    }),
    { numRuns: 300 },
  )
})
