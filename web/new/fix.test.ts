import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fixAt, fixOf } from './fix.ts'

const text = 'version: v0.1\nstps:\n  - acton: cmd.rum\n    args: {cmd: "cmd.rum"}\n'
const problem = (line: number, column: number, message: string, hint?: string) => ({
  ...{ severity: 'error' as const, path: '' },
  ...{ line, column, message, hint },
})
const fixed = (fix: ReturnType<typeof fixOf>) =>
  fix === undefined ? undefined : text.slice(0, fix.from) + fix.word + text.slice(fix.to)

test('the quoted word is replaced by the suggested one, on its line only', () => {
  const key = problem(2, 1, 'unknown key "stps" at the top level', 'did you mean "steps"?')
  assert.equal(fixed(fixOf(text, key)), text.replace('stps', 'steps'))
  const value = problem(3, 12, 'there is no action "cmd.rum"', 'did you mean "cmd.run"? See docs')
  assert.equal(fixed(fixOf(text, value)), text.replace('cmd.rum\n', 'cmd.run\n'))
})

test('a problem without a suggested word, or whose word is not there, is not fixed', () => {
  assert.equal(fixOf(text, problem(2, 1, 'unknown key "stps"', 'write steps')), undefined)
  assert.equal(fixOf(text, problem(1, 1, 'unknown key "stps"', 'did you mean "steps"?')), undefined)
  assert.equal(fixOf(text, problem(3, 5, 'unknown key "cto"', 'did you mean "x"?')), undefined)
  assert.equal(fixOf(text, problem(99, 5, '"a"', 'did you mean "b"?')), undefined)
})

test('the problem on the line comes first, then the next one below, then the first', () => {
  const problems = [
    problem(2, 1, '"stps"', 'did you mean "steps"?'),
    problem(3, 5, '"acton"', 'did you mean "action"?'),
  ]
  const wordAt = (offset: number) => fixAt(text, offset, problems)?.word
  assert.equal(wordAt(0), 'steps')
  assert.equal(wordAt(text.indexOf('acton')), 'action')
  assert.equal(wordAt(text.length), 'steps')
  assert.equal(fixAt(text, 0, []), undefined)
})
