import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fillArgs, fillText, lookupIn, templateMistakes } from './template.ts'

const lookup = lookupIn({ A: '1', EMPTY: '', TRICK: '${A} $& $1' })

test('fills in variables and their defaults', () => {
  assert.equal(fillText('a ${A}${A} ${B:-x y} ${EMPTY:-z} [${EMPTY}]', lookup), 'a 11 x y z []')
})

test('a dollar that begins no variable stays', () => {
  assert.equal(fillText('$A $ $$ $(x) ${1} ${ $5', lookup), '$A $ $$ $(x) ${1} ${ $5')
})

test('a doubled dollar writes a plain ${', () => {
  assert.equal(fillText('$${A} $$${A}', lookup), '${A} $${A}')
})

test('filled-in text is not evaluated again', () => {
  assert.equal(fillText('${TRICK}', lookup), '${A} $& $1')
})

test('an unset variable names itself and the nearest set one', () => {
  assert.throws(() => fillText('${HOTS}', lookupIn({ HOST: 'a', A: '1' })), {
    code: 'unset_variable',
    message: 'Variable "HOTS" is not set.',
    hint: 'Did you mean "HOST"?',
  })
})

test('fills in arguments at any depth, except raw ones and keys', () => {
  const args = { cmd: 'echo ${A}', headers: { '${A}': ['${A}', 5, null, { x: '${A}' }] }, __proto__: null }
  assert.deepEqual(fillArgs(args, ['cmd'], lookup), {
    cmd: 'echo ${A}',
    headers: { '${A}': ['1', 5, null, { x: '1' }] },
  })
})

test('each ${ that is not a variable is a mistake with its place', () => {
  assert.deepEqual(
    templateMistakes('${A} ${1} $${x} ${A:-${B}} ${').map(({ index }) => index),
    [5, 16, 27],
  )
  assert.match(templateMistakes('${A:-${B}}')[0]!.message, /inside its default/)
  assert.equal(templateMistakes('${'.repeat(1000)).length, 20)
})

test('text without mistakes is filled in completely, for any values', () => {
  const part = fc.oneof(
    fc
      .constantFrom('${V}', '${V:-d}', '$', '{', '}', 'x', ' ')
      .map((text) => ({ text, plain: text === '${V}' || text === '${V:-d}' ? undefined : text })),
  )
  fc.assert(
    fc.property(fc.array(part), fc.string({ minLength: 1 }), (parts, value) => {
      const text = parts.map((one) => one.text).join(' ')
      const expected = parts.map((one) => one.plain ?? value).join(' ')
      assert.equal(fillText(text, { get: () => value, names: () => [] }), expected)
    }),
  )
})
