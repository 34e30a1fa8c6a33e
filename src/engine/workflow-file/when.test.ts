import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ErrandError } from '../../contract/errors.ts'
import { lookupIn } from './template.ts'
import { evaluateWhen, parseWhen } from './when.ts'

const variables: Record<string, string> = {
  OK: 'true',
  COUNT: '2',
  EMPTY: '',
  ZERO: '0',
  NO: 'false',
  NAME: 'a b',
  QUOTE: '" || true || "',
  BIG: '9007199254740993',
}
const holds = (text: string) => evaluateWhen(parseWhen(text), lookupIn(variables))

function errorOf(act: () => unknown): ErrandError {
  try {
    act()
  } catch (error) {
    assert.ok(error instanceof ErrandError, String(error))
    return error
  }
  throw new Error('nothing was thrown')
}

test('expressions evaluate as written', () => {
  const cases: [string, boolean][] = [
    ['${OK} == "true" && ${COUNT} > 1', true],
    ['${OK} == true', true],
    ["${OK} == 'true'", true],
    ['${OK} != true', false],
    ['${COUNT} == 2.0', true],
    ['${COUNT} >= 2 && ${COUNT} <= 2', true],
    ['${COUNT} < 10', true],
    ['${COUNT} > "1"', true],
    ['${MISSING:-3} > ${COUNT}', true],
    ['${EMPTY:-x} == x', true],
    ['${MISSING:-} == ""', true],
    ['${OK}', true],
    ['${EMPTY}', false],
    ['${ZERO}', false],
    ['${NO}', false],
    ['!${NO}', true],
    ['!!${OK}', true],
    ['!${OK} == false', true],
    ['${NO} || ${OK} && ${NO}', false],
    ['(${NO} || ${OK}) && ${OK}', true],
    ['"${NAME}!" == "a b!"', true],
    ['"say \\"hi\\"" == \'say "hi"\'', true],
    ['"$${OK}" == \'$${OK}\'', true],
    ['linux-x64 == linux-x64', true],
    ['-1 < 0.5', true],
    ['1e3 == 1000', true],
    ['(${COUNT}) == (2)', true],
    ['((${COUNT})) > ((1)) && (${OK})', true],
    ['!(${OK}) == true', false],
    ['(${OK} == true) && (${COUNT} != 2)', false],
  ]
  for (const [text, expected] of cases) assert.equal(holds(text), expected, text)
})

test('quotes make an equality compare text', () => {
  assert.equal(holds('1.10 == 1.1'), true)
  assert.equal(holds('"1.10" == 1.1'), false)
})

test('whole numbers are compared exactly, however long they are', () => {
  assert.equal(holds('${BIG} == 9007199254740992'), false)
  assert.equal(holds('${BIG} > 9007199254740992'), true)
})

test('a value never becomes part of the expression', () => {
  assert.equal(holds('${QUOTE} == "x"'), false)
  assert.equal(holds('"${QUOTE}" == "x"'), false)
})

test('does not evaluate what decides nothing', () => {
  assert.equal(holds('${OK} || ${MISSING}'), true)
  assert.equal(holds('${NO} && ${MISSING}'), false)
})

test('an unset variable is an error that suggests the nearest name', () => {
  const error = errorOf(() => holds('${COUNTT} > 1'))
  assert.equal(error.code, 'unset_variable')
  assert.match(error.message, /"COUNTT" is not set/)
  assert.equal(error.hint, 'Did you mean "COUNT"?')
  assert.match(errorOf(() => holds('${MISSING}')).hint!, /\$\{MISSING:-\}/)
})

test('text that is not a number cannot be compared by size', () => {
  const error = errorOf(() => holds('${NAME} > 1'))
  assert.equal(error.code, 'invalid_argument')
  assert.match(error.message, /"a b" is not a number/)
})

test('reports a mistake with its column and what to write instead', () => {
  const cases: [string, number, RegExp, RegExp?][] = [
    ['', 1, /empty/],
    ['${OK} = true', 7, /"=" is not an operator/, /write ==/],
    ['${OK} & ${NO}', 7, /"&" is not/, /&&/],
    ['${OK} and ${NO}', 7, /"and" is not/, /&&/],
    ['not ${OK}', 1, /"not" is not/, /!/],
    ['${OK} == "tr', 10, /quote is not closed/],
    ['(${OK}', 7, /"\)" is missing/],
    ['(${OK} == true) == true', 17, /parentheses before == is true or false/, /compare values/],
    ['${OK} == (${NO} == a)', 17, /expected "\)", but found ==/],
    ['${OK} == (1', 12, /"\)" is missing/],
    ['(abc) > 1', 1, /compares numbers, but abc is not a number/],
    [`a == ${'('.repeat(200)}`, 106, /nested too deeply/],
    ['${OK})', 6, /\) is not expected/],
    ['${OK} ==', 9, /expected a value, but the expression ends/],
    ['&& ${OK}', 1, /expected a value, but found &&/],
    ['${OK} == a b', 12, /expected && or \|\| before b/],
    ['${OK} == a == b', 12, /== is not expected/, /join/],
    ['${OK} is defined', 7, /"is" is not an operator/, /\$\{NAME:-\} != ""/],
    ['${OK} in a', 7, /"in" is not an operator/, /\|\|/],
    ['${COUNT} + 1 == 2', 10, /"\+" is not an operator/, /calculate/],
    ['${COUNT} -gt 2', 10, /"-gt" is not an operator/, /write >/],
    ['${OK} =~ "a"', 7, /"=~" is not an operator/, /outputs/],
    ['always()', 1, /no function always\(\)/, /finally/],
    ['${OK} == true && failure()', 18, /no function failure\(\)/, /ERRAND_RUN_STATUS/],
    ['contains(${OK}, "a")', 1, /no function contains/, /outputs/],
    ['$(test -f x)', 1, /an expression cannot run a command/, /outputs/],
    ['{{ OK }}', 1, /"\{" does not begin a variable/, /\$\{NAME\}/],
    ['${{ env.OK }}', 1, /"\$\{\{ env.OK \}\}" is not a variable/, /write \$\{OK\}/],
    ['v${COUNT} == v2', 2, /no operator between two values/, /quotes/],
    ['$OK', 1, /does not begin a variable/, /write \$\{OK\}$/],
    ['${O K}', 1, /"\$\{O K\}" is not a variable/],
    ['"${O K}" == x', 2, /"\$\{O K\}" is not a variable/],
    ['${COUNT} > many', 12, /compares numbers, but many is not a number/],
    ['abc > 1', 1, /compares numbers, but abc is not a number/],
    [`${'('.repeat(200)}a`, 101, /nested too deeply/],
    ['x'.repeat(10_001), 1, /10001 characters/],
  ]
  for (const [text, column, message, hint] of cases) {
    const error = errorOf(() => parseWhen(text))
    assert.equal(error.code, 'invalid_workflow', text)
    assert.match(error.message, message, text)
    if (hint) assert.match(error.hint ?? '', hint, text)
    assert.deepEqual(error.details, { column }, text)
  }
})

test('any text either parses or gets an error with a place', () => {
  const piece = fc.constantFrom(
    '${A}',
    '"x"',
    "'",
    '&&',
    '||',
    '!',
    '(',
    ')',
    '==',
    '>',
    ' ',
    'a',
    '1',
    '$',
    '=',
    '\\',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(piece).map((parts) => parts.join('')),
        fc.string(),
      ),
      (text) => {
        try {
          parseWhen(text)
        } catch (error) {
          assert.ok(error instanceof ErrandError)
          const { column } = error.details as { column: number }
          assert.ok(column >= 1 && column <= text.length + 1)
        }
      },
    ),
  )
})
