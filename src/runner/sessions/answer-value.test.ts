import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_UPDATE_BYTES } from '../../contract/agent.ts'
import { answerValue } from './answer-value.ts'
import { boundedUpdate } from './update-pipeline.ts'

const schema = {
  type: 'object',
  properties: { n: { type: 'integer' }, tags: { type: 'array', items: { type: 'string' } } },
  required: ['n'],
}

test('the value is the whole answer, its last block of JSON, or the last object in it', () => {
  const read = answerValue(schema)
  const answers = [
    '{"n": 1}',
    'Here it is:\n```json\n{"n": 9}\n```\nno, this:\n```json\n{"n": 1}\n```\nDone.',
    'I think {not json} and so {"n": 1, "tags": ["{", "}"]}',
    'see {"n": 1, "deep": {"a": [1, {"b": 2}]}} .',
  ]
  for (const answer of answers) {
    const found = read(answer)
    assert.ok('json' in found, `${answer}: ${JSON.stringify(found)}`)
    assert.equal(JSON.parse(found.json).n, 1)
  }
})

test('what does not fit is told in words', () => {
  const read = answerValue(schema)
  assert.deepEqual(read('nothing here'), { wrong: 'the answer holds no JSON value' })
  const wrong = read('{"n": "x", "tags": [1]}')
  assert.ok('wrong' in wrong)
  assert.match(wrong.wrong, /at n: .*at tags\.0: /)
})

test('braces without end are looked through in no time', () => {
  assert.ok('wrong' in answerValue(schema)(`${'{'.repeat(200_000)}}`))
})

test('openings of blocks that nothing closes are looked through in no time', () => {
  assert.deepEqual(answerValue(schema)('a```\n'.repeat(500_000)), { wrong: 'the answer holds no JSON value' })
})

test('a value that cannot be checked does not fit', () => {
  const deep = '['.repeat(200_000) + ']'.repeat(200_000)
  // It could be checked, but not masked.
  const lessDeep = '{"a":'.repeat(4_000) + 1 + '}'.repeat(4_000)
  const endless = JSON.stringify(`${'a'.repeat(60)}!`)
  for (const [pattern, answer] of [
    ['', deep],
    ['', lessDeep],
    ['^(a+)+$', endless],
  ] as const) {
    const found = answerValue({ pattern })(answer)
    assert.ok('wrong' in found && found.wrong.startsWith('it could not be checked: '), JSON.stringify(found))
  }
})

test('of many mistakes the first are told', () => {
  const found = answerValue({ items: { type: 'string' } })(JSON.stringify(Array(1000).fill(1)))
  assert.ok('wrong' in found && found.wrong.length < 1000, JSON.stringify(found))
  assert.match(found.wrong, /; and 980 more$/)
})

test('an update is cut to its limit', () => {
  const text = 'ä'.repeat(400_000)
  const diffs = Array.from({ length: 50 }, (_, i) => ({ path: `f${i}`, new_text: text }))
  const update = boundedUpdate({ kind: 'tool', tool_id: 't', output: text, diffs })
  assert.ok(Buffer.byteLength(JSON.stringify(update)) <= MAX_UPDATE_BYTES)
  assert.ok(update.kind === 'tool' && update.output?.includes('bytes in all'))
  const small = { kind: 'message', text: 'hi' } as const
  assert.equal(boundedUpdate(small), small)
})
