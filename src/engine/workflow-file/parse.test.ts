import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseYaml } from './parse.ts'

const first = (text: string) => {
  const [problem] = parseYaml(text).problems
  return (
    problem && { at: `${problem.line}:${problem.column}`, message: problem.message, hint: problem.hint ?? '' }
  )
}

test('finds keys, values and characters in the file', () => {
  const text = [
    'name: demo',
    'steps:',
    '  - {name: a, when: "${A} = 1"}',
    '  - name: b',
    '    args:',
    '      script: |',
    '        one',
    '          two ${',
    'base: &base {x: [1, 2]}',
    'more: {<<: *base, y: 1}',
    'same: *base',
  ].join('\n')
  const { locate } = parseYaml(text)
  const at = (path: (string | number)[], what: 'key' | 'value' | number) => {
    const { line, column } = locate(path, what)!
    return `${line}:${column}`
  }
  assert.equal(at(['name'], 'key'), '1:1')
  assert.equal(at(['name'], 'value'), '1:7')
  assert.equal(at(['steps', 0, 'when'], 'key'), '3:15')
  assert.equal(at(['steps', 0, 'when'], 5), '3:27')
  assert.equal(at(['steps', 1], 'value'), '4:5')
  assert.equal(at(['steps', 1, 'action'], 'value'), '4:5')
  assert.equal(at(['steps', 1, 'args', 'script'], 'one\n  two '.length), '8:15')
  assert.equal(at(['more', 'x', 1], 'value'), '9:21')
  assert.equal(at(['more', 'y'], 'key'), '10:19')
  assert.equal(at(['same', 'x'], 'key'), '9:14')
  assert.equal(at(['nothing', 'here'], 'value'), '1:1')
})

test('a number that becomes a variable keeps its digits', () => {
  const text = [
    'env: {V: 1.10, N: 5}',
    'timeout_seconds: 1.0',
    'inputs: {a: {default: 010, enum: [010, 1e3]}}',
    'steps:',
    '  - {matrix: {PY: [3.9, 3.10]}, foreach: [0x1F], env: {D: 2.0}}',
    '  - {args: {vars: {E: 3.50}, max_output_bytes: 1e3, workflow: {env: {W: 4.0}}}}',
  ].join('\n')
  assert.deepEqual(parseYaml(text).value, {
    env: { V: '1.10', N: 5 },
    timeout_seconds: 1,
    inputs: { a: { default: '010', enum: ['010', '1e3'] } },
    steps: [
      { matrix: { PY: [3.9, '3.10'] }, foreach: ['0x1F'], env: { D: '2.0' } },
      { args: { vars: { E: '3.50' }, max_output_bytes: 1000, workflow: { env: { W: '4.0' } } } },
    ],
  })
})

test('a YAML mistake says where, what and what to do', () => {
  const cases: [string, string, RegExp, RegExp?][] = [
    ['a: 1\nb: 2\na: 3', '3:1', /key "a" appears twice/],
    ['a: {b: 1, __proto__: 2}', '1:11', /"__proto__" is not allowed as a name/, /another/],
    ['a:\n\t- b', '2:1', /tab/, /spaces/],
    ['a: 1\n---\nb: 2', '2:1', /several YAML documents/],
    ['a: "x', '1:6', /Missing closing/],
    ['a: [${X}]', '1:6', /not valid YAML/, /"\$\{NAME\}"/],
    ['when: "${A}" == "x"', '1:14', /not valid YAML/, /whole value/],
    ['when: !x == 1', '1:7', /as a tag/, /in quotes/],
    ['a: *x', '1:4', /no anchor &x/, /in quotes/],
    ['a: &a [*a]', '1:8', /inside its own anchor/],
    ['a: &a {<<: *a}', '1:12', /inside its own anchor/],
    ['['.repeat(30_000), '1:', /nested too deeply/],
  ]
  for (const [text, at, message, hint] of cases) {
    const found = first(text)!
    assert.ok(found.at.startsWith(at), `${text.slice(0, 30)}: ${found.at}`)
    assert.match(found.message, message)
    if (hint) assert.match(found.hint, hint)
  }
})

test('aliases cannot make a small file large', () => {
  const levels = Array.from(
    { length: 12 },
    (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(',')}]`,
  )
  assert.match(first(`a0: &a0 [1, 1]\n${levels.join('\n')}`)!.message, /too large/)
  assert.match(first(`x: &x 1\nl:\n${'- *x\n'.repeat(3000)}`)!.message, /too many anchors and aliases/)
})

test('reports one mistake per line, and twenty in total', () => {
  assert.equal(parseYaml('a: 1\n'.repeat(100)).problems.length, 20)
  assert.equal(parseYaml('- a\nb: 1').problems.length, 1)
})
