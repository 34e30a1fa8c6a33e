import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutputSource } from '../../contract/workflow.ts'
import { MAX_VALUE_BYTES, OutputValues } from './output-values.ts'

function valuesOf(outputs: Record<string, OutputSource>, stdout: string | Buffer, exitCode = 0) {
  const values = new OutputValues({ attempt_id: 'r.1', outputs })
  const bytes = Buffer.from(stdout)
  for (let at = 0; at < bytes.length; at += 50_000) values.push('stdout', bytes.subarray(at, at + 50_000))
  const { values: found, unset } = values.evaluate(exitCode)
  return { ...Object.fromEntries(found), unset }
}

test('a stream loses one trailing newline, and the exit code is a value', () => {
  const outputs: Record<string, OutputSource> = { A: 'stdout', E: 'stderr', C: 'exit_code' }
  assert.deepEqual(valuesOf(outputs, 'two\nlines\n\n', 3), { A: 'two\nlines\n', E: '', C: '3', unset: [] })
})

test('json takes the value at a path, and regex its first group', () => {
  const outputs: Record<string, OutputSource> = {
    NAME: { from: 'stdout', json: 'items[0].name' },
    DEEP: { from: 'stdout', json: '.items.0' },
    ALL: { from: 'stdout', regex: '"n":\\d+' },
    GROUP: { from: 'stdout', regex: '"n":(\\d+)' },
  }
  const found = valuesOf(outputs, '{"items":[{"name":"ü","n":42}]}\n')
  assert.deepEqual(found, { NAME: 'ü', DEEP: '{"name":"ü","n":42}', ALL: '"n":42', GROUP: '42', unset: [] })
})

test('a missing value leaves the variable unset and says why', () => {
  const outputs: Record<string, OutputSource> = {
    A: { from: 'stdout', json: 'a.constructor' },
    B: { from: 'stdout', regex: 'nothing' },
  }
  assert.deepEqual(valuesOf(outputs, '{"a":{}}').unset, [
    'Output A was not set: its JSON has nothing at a.constructor.',
    'Output B was not set: nothing matches /nothing/.',
  ])
  assert.match(valuesOf({ A: { from: 'stdout', json: 'a' } }, 'no json').unset[0]!, /it is not valid JSON/)
})

test('a long value is cut between characters, with its size and a reference', () => {
  const text = 'ü'.repeat(MAX_VALUE_BYTES)
  const found = valuesOf({ A: 'stdout' }, `x${text}`) as Record<string, unknown>
  assert.equal(found.A, `x${'ü'.repeat(MAX_VALUE_BYTES / 2 - 1)}`)
  assert.equal(found.A_SIZE, String(2 * MAX_VALUE_BYTES + 1))
  assert.equal(found.A_REF, 'r.1/stdout')
})

test('a value exactly at the limit is stored whole', () => {
  const text = 'x'.repeat(MAX_VALUE_BYTES)
  assert.deepEqual(valuesOf({ A: 'stdout' }, `${text}\n`), { A: text, unset: [] })
})

test('a pattern that never finishes blocks nothing: its variable is unset, and the others are set', () => {
  const outputs: Record<string, OutputSource> = {
    BAD: { from: 'stdout', regex: '^(a+)+$' },
    GOOD: { from: 'stdout', regex: '^a' },
  }
  const { unset, ...found } = valuesOf(outputs, `${'a'.repeat(64)}!`)
  assert.deepEqual(found, { GOOD: 'a' })
  assert.deepEqual(unset, ['Output BAD was not set: the pattern takes too long: use a simpler one.'])
})

test('if there is no value the default is used, and nothing is reported', () => {
  const outputs: Record<string, OutputSource> = { A: { from: 'stdout', regex: 'nothing', default: '' } }
  assert.deepEqual(valuesOf(outputs, 'text'), { A: '', unset: [] })
})
