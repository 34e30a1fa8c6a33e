import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ErrandError } from '../contract/errors.ts'
import { type Condition, type Operand, parseCondition, printCondition } from './condition.ts'

const name = (text: string): Operand => ({ type: 'name', path: text.split('.') })
const is = (text: string): Condition => ({ type: 'test', operand: name(text) })

test('"or" binds less than "and", and "and" less than "not"; words equal signs', () => {
  const expected: Condition = {
    type: 'or',
    terms: [is('a'), { type: 'and', terms: [is('b'), { type: 'not', term: is('c') }] }],
  }
  for (const text of ['a || b && !c', 'a or b and not c', ' a||b&&!c ', 'a or (b && (not c))'])
    assert.deepEqual(parseCondition(text), expected, text)
  assert.deepEqual(parseCondition('not stage == "live"'), {
    type: 'not',
    term: {
      type: 'compare',
      operator: '==',
      left: name('stage'),
      right: { type: 'constant', value: 'live' },
    },
  })
})

test('values are dotted names, texts, numbers, true, false and null, and changed with a glob', () => {
  const operands: Record<string, Operand> = {
    'a.b-c.0': { type: 'name', path: ['a', 'b-c', '0'] },
    nothing: name('nothing'),
    'x.null': name('x.null'),
    '\'it is "x"\'': { type: 'constant', value: 'it is "x"' },
    '"a\\"b\\\\c\\d"': { type: 'constant', value: 'a"b\\c\\d' },
    '-1.5e3': { type: 'constant', value: -1500 },
    '.5': { type: 'constant', value: 0.5 },
    true: { type: 'constant', value: true },
    null: { type: 'constant', value: null },
    'changed("src/**/*.ts")': { type: 'changed', glob: 'src/**/*.ts' },
    "changed ( 'a b' )": { type: 'changed', glob: 'a b' },
  }
  for (const [text, operand] of Object.entries(operands))
    assert.deepEqual(parseCondition(text), { type: 'test', operand }, text)
})

function messageOf(text: string): string {
  try {
    parseCondition(text)
  } catch (error) {
    assert.ok(error instanceof ErrandError && error.code === 'invalid_playbook', String(error))
    const { column } = error.details as { column: number }
    return `${column} ${error.message} | ${error.hint}`
  }
  return 'no mistake'
}

test('an unreadable condition is refused with the position and what to write instead', () => {
  const mistakes: Record<string, string> = {
    '': '1 the condition is empty | write one, such as lint_enabled == true, or remove it',
    'a = 1': '3 "=" is not an operator | write ==',
    'a & b': '3 "&" is not an operator | write &&',
    'a == ':
      '6 expected a value, but the condition ends | a value is a name, "text", a number, true, false or null',
    'a == b == c': '8 == is not expected here | compare two values at a time; join comparisons with && or ||',
    '(a) == b': '5 == is not expected here | compare two values at a time; join comparisons with && or ||',
    '(a && b': '8 a ")" is missing | close the parenthesis',
    'a)': '2 ) is not expected here | check the parentheses',
    'a b': '3 expected && or || before b | put text of several words in quotes',
    'a is true': '3 expected && or || before is | write ==',
    'a AND b': '3 expected && or || before AND | write && or and',
    '!!a': '2 expected a value, but found ! | put a second "not" in parentheses: !(!ready)',
    '"a': '1 a quote is not closed | end the text with "',
    $CI: '1 a name cannot begin with "$" | write only the name: lint_enabled, or env.CI',
    '1.2.3 == a': '1 "1" is not expected here | put text in quotes',
    'a. == 1': '2 "." is not expected here | put text in quotes',
    'success()': '1 unknown function success() | the only function is changed("glob")',
    changed: '1 changed needs a glob | write changed("src/**")',
    'changed(src)': '9 changed takes a glob in quotes | write changed("src/**")',
    'changed("a", "b")': '12 "," is not expected here | put text in quotes',
    'changed("a" "b")': '13 changed takes one glob | write changed("{src,test}/**"), or join two with ||',
    'env.GITHUB_TOKEN == "x"':
      '1 env.GITHUB_TOKEN is a credential, and conditions cannot read credentials | remove it: steps do not get credentials of the platform either',
    [`${'('.repeat(200)}a`]: '102 the condition is nested too deeply | at most 100 levels',
    ['a'.repeat(10_001)]: '1 the condition has 10001 characters | at most 10000 are allowed',
  }
  for (const [text, expected] of Object.entries(mistakes)) assert.equal(messageOf(text), expected, text)
  assert.match(messageOf('changed("[z-a]")'), /^9 "\[z-a\]" is not a valid glob: /)
  assert.match(messageOf(`changed("${'a'.repeat(501)}")`), /it has 501 characters; the maximum is 500/)
})

const constant = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (number === 0 ? 0 : number)),
  fc.constantFrom(true, false, null),
)
const operand: fc.Arbitrary<Operand> = fc.oneof(
  constant.map((value): Operand => ({ type: 'constant', value })),
  fc
    .stringMatching(/^[A-Za-z_][\w-]{0,5}(\.[A-Za-z0-9_][\w-]{0,5}){0,2}$/)
    .filter((text) => !['and', 'or', 'not', 'true', 'false', 'null', 'changed'].includes(text))
    .filter((text) => !text.startsWith('env.'))
    .map(name),
  fc.constantFrom('src/**', '*.{ts,js}', 'a"b\\*').map((glob): Operand => ({ type: 'changed', glob })),
)
const asWritten = { noNullPrototype: true }
const { condition } = fc.letrec<{
  condition: Condition
  joined: Condition
  not: Condition
  compare: Condition
  test: Condition
}>((tie) => ({
  condition: fc.oneof({ maxDepth: 5 }, tie('test'), tie('compare'), tie('not'), tie('joined')),
  test: operand.map((each) => ({ type: 'test' as const, operand: each })),
  compare: fc.record(
    {
      type: fc.constant('compare' as const),
      operator: fc.constantFrom(
        '==' as const,
        '!=' as const,
        '<' as const,
        '<=' as const,
        '>' as const,
        '>=' as const,
      ),
      left: operand,
      right: operand,
    },
    asWritten,
  ),
  not: fc.record({ type: fc.constant('not' as const), term: tie('condition') }, asWritten),
  joined: fc.record(
    {
      type: fc.constantFrom('or' as const, 'and' as const),
      terms: fc.array(tie('condition'), { minLength: 2, maxLength: 3 }),
    },
    asWritten,
  ),
}))

test('a condition stays the same when printed and parsed', () => {
  fc.assert(
    fc.property(condition, (one) => {
      assert.deepEqual(parseCondition(printCondition(one)), one)
    }),
    { numRuns: 300 },
  )
})

test('any text is a condition or an error with a position in it', () => {
  const piece = fc.constantFrom(
    'a',
    'a.b',
    '(',
    ')',
    '!',
    '&&',
    '||',
    'and',
    'not',
    '==',
    '<',
    '"x"',
    '1',
    '-',
    '.',
    ' ',
    '"',
    'changed(',
    'null',
  )
  const any = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.array(piece, { maxLength: 20 }).map((all) => all.join('')),
  )
  fc.assert(
    fc.property(any, (text) => {
      try {
        const parsed = parseCondition(text)
        assert.deepEqual(parseCondition(printCondition(parsed)), parsed)
      } catch (error) {
        if (!(error instanceof ErrandError)) throw error
        const { column } = error.details as { column: number }
        assert.ok(column >= 1 && column <= text.length + 1 && error.hint)
      }
    }),
    { numRuns: 1000 },
  )
})
