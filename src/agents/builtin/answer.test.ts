import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerReader } from './answer.ts'

/** Reads chunks as services send them, which does not always match the types. */
function read(...choices: object[]) {
  const reader = new AnswerReader(400)
  for (const choice of choices) reader.take({ choices: [choice] })
  return reader.answer
}
const calls = (...tool_calls: object[]) => ({ delta: { tool_calls } })

test('several tool calls at once are assembled from their pieces', () => {
  const answer = read(
    calls({ index: 0, id: 'a', function: { name: 'one', arguments: '' } }),
    calls({ index: 1, id: 'b', function: { name: 'two', arguments: '{"x"' } }),
    calls({ index: 0, function: { arguments: '{}' } }, { index: 1, function: { arguments: ':1}' } }),
    { delta: {}, finish_reason: 'tool_calls' },
  )
  assert.deepEqual(answer.calls, [
    { id: 'a', name: 'one', arguments: '{}' },
    { id: 'b', name: 'two', arguments: '{"x":1}' },
  ])
  assert.equal(answer.finish, 'stop')
})

test('complete calls with the same index, and calls without an id, stay separate', () => {
  const whole = (id: string, name: string) => ({ index: 0, id, function: { name, arguments: '{}' } })
  assert.deepEqual(
    read(calls(whole('a', 'one')), calls(whole('b', 'two'))).calls.map(({ name }) => name),
    ['one', 'two'],
  )
  assert.deepEqual(read(calls({ function: { name: 'one', arguments: '{}' } })).calls, [
    { id: '', name: 'one', arguments: '{}' },
  ])
})

test('an answer without an end has no finish reason, and the other field names for thoughts are known', () => {
  assert.equal(read({ delta: { content: 'Half' } }).finish, undefined)
  assert.equal(read({ delta: { refusal: 'No.' } }, { delta: {}, finish_reason: 'stop' }).finish, 'refusal')
  const reader = new AnswerReader(400)
  assert.deepEqual(reader.take({ choices: [{ delta: { reasoning: 'Hm.' } }] }), { text: '', thought: 'Hm.' })
  assert.deepEqual(reader.take({}), { text: '', thought: '' })
})

test('usage is estimated for an answer without token counts', () => {
  const answered = (usage: unknown) => {
    const reader = new AnswerReader(400)
    reader.take({ choices: [{ delta: { content: 'x'.repeat(40) }, finish_reason: 'stop' }] })
    reader.take({ choices: [], usage: usage as never })
    return reader.answer.usage
  }
  const estimated = { input_tokens: 100, cached_input_tokens: 0, output_tokens: 10 }
  for (const wrong of [0, -5, 'many', null])
    assert.deepEqual(answered({ prompt_tokens: wrong, completion_tokens: wrong }), estimated)
  for (const none of [undefined, null, {}]) assert.deepEqual(answered(none), estimated)
  assert.deepEqual(answered({ prompt_tokens: 7, completion_tokens: 3 }), {
    ...{ input_tokens: 7, cached_input_tokens: 0, output_tokens: 3 },
  })
  // An incomplete answer is requested again.
  assert.equal(read({ delta: { content: 'Half' } }).usage, undefined)
})
