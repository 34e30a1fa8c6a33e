import assert from 'node:assert/strict'
import test from 'node:test'
import { MAX_UPDATE_BYTES } from '../../contract/agent.ts'
import { answerValue, schemaCheck } from './answer-value.ts'
import { boundedUpdate } from './update-pipeline.ts'

const schema = {
  type: 'object',
  properties: { n: { type: 'integer' }, tags: { type: 'array', items: { type: 'string' } } },
  required: ['n'],
}

const cases: [schema: Record<string, unknown>, fitting: unknown[], wrong: unknown[]][] = [
  [{ required: ['a'] }, [{ a: 1 }, 'no object'], [{}]],
  [{ type: 'object', required: ['a'], properties: { b: {} } }, [{ a: null }], [{ b: 1 }]],
  [{ properties: { a: { type: 'string' } } }, [{}, { a: 'x' }, 1], [{ a: 1 }]],
  [{ type: ['object', 'null'], required: ['a'] }, [null, { a: 1 }], [{}, 1]],
  [{ items: { type: 'string' } }, [['a'], {}], [[1]]],
  [{ type: 'array', minItems: 2, maxItems: 3 }, [[1, 2]], [[1], [1, 2, 3, 4]]],
  [{ type: 'array', prefixItems: [{ type: 'string' }], items: false }, [['a'], []], [['a', 1], [1]]],
  [
    { uniqueItems: true },
    [
      [1, 2],
      [{ a: 1 }, { a: 2 }],
    ],
    [
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
    ],
  ],
  [{ contains: { type: 'number' }, maxContains: 1 }, [['a', 1]], [['a'], [1, 2]]],
  [{ enum: [1, { a: 1 }, null] }, [1, { a: 1 }, null], [2, { a: 2 }]],
  [{ const: { a: [1] } }, [{ a: [1] }], [{ a: [2] }, 'a']],
  [{ minLength: 2, maxLength: 3, pattern: '^[a-zäö\\-]+$' }, ['äö', 'a-b', 1], ['a', 'aaaa', 'AB']],
  [{ pattern: '\\_' }, ['a_b'], ['ab']],
  [{ format: 'date-time' }, ['2026-01-01T00:00:00Z', 1], ['today']],
  [{ type: 'integer' }, [1, -2, 3.0], [1.5, '1']],
  [{ minimum: 1, exclusiveMaximum: 3 }, [1, 2.9, 'x'], [0.9, 3]],
  [{ exclusiveMinimum: 1, maximum: 3 }, [1.1, 3], [1, 3.1]],
  [{ multipleOf: 0.1 }, [0.3, 7], [0.35]],
  [{ minProperties: 1, maxProperties: 1 }, [{ a: 1 }], [{}, { a: 1, b: 1 }]],
  [{ properties: { a: {} }, additionalProperties: false }, [{ a: 1 }], [{ a: 1, b: 1 }]],
  [
    { patternProperties: { '^n': { type: 'number' } }, additionalProperties: { type: 'string' } },
    [{ n1: 1, a: 'x' }],
    [{ n1: 'x' }, { a: 1 }],
  ],
  [{ propertyNames: { pattern: '^a' } }, [{ ab: 1 }], [{ b: 1 }]],
  [{ dependentRequired: { a: ['b'] } }, [{}, { a: 1, b: 1 }], [{ a: 1 }]],
  [{ allOf: [{ type: 'object' }, { required: ['a'] }] }, [{ a: 1 }], [{}, 1]],
  [{ anyOf: [{ required: ['a'] }, { required: ['b'] }] }, [{ b: 1 }], [{}]],
  [{ oneOf: [{ type: 'number' }, { type: 'integer' }] }, [1.5], [1, 'x']],
  [{ not: { type: 'string' } }, [1], ['x']],
  [
    JSON.parse('{"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}'),
    [{ a: 1, b: 1 }, { c: 1 }],
    [{ a: 1 }, {}],
  ],
  [{ properties: { a: false } }, [{}], [{ a: 1 }]],
  [{ definitions: { 'a/b': { type: 'string' } }, items: { $ref: '#/definitions/a~1b' } }, [['x']], [[1]]],
  [
    { type: 'object', properties: { next: { $ref: '#' } }, required: ['n'] },
    [{ n: 1, next: { n: 2 } }],
    [{ n: 1, next: {} }],
  ],
  [{}, [1, null, {}], []],
  [{ type: 'object', properties: { a: {} }, unevaluatedProperties: false }, [{ a: 1 }], [{ b: 1 }]],
]

test('the value is the whole answer, its last JSON block, or the last object in it', () => {
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

test('a mismatch is described in words', () => {
  const read = answerValue(schema)
  assert.deepEqual(read('nothing here'), { wrong: 'the answer contains no JSON value' })
  const wrong = read('{"n": "x", "tags": [1]}')
  assert.ok('wrong' in wrong)
  assert.match(wrong.wrong, /at n: .*at tags\.0: /)
})

test('endless braces are searched quickly', () => {
  assert.ok('wrong' in answerValue(schema)(`${'{'.repeat(200_000)}}`))
})

test('blocks that are opened and never closed are searched quickly', () => {
  assert.deepEqual(answerValue(schema)('a```\n'.repeat(500_000)), {
    wrong: 'the answer contains no JSON value',
  })
})

test('a value that cannot be checked does not match', () => {
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

test('only the first of many mistakes are listed', () => {
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

test('each keyword works, even without a type and for undeclared names', () => {
  for (const [schema, fitting, wrong] of cases) {
    const check = schemaCheck(schema)
    for (const value of fitting) assert.deepEqual(check(value), [], JSON.stringify([schema, value]))
    for (const value of wrong) assert.notDeepEqual(check(value), [], JSON.stringify([schema, value]))
  }
})

test('a mistake is reported with its place', () => {
  const check = schemaCheck({
    properties: { a: { items: { required: ['b'], additionalProperties: { enum: [1, 2] } } } },
  })
  assert.deepEqual(check({ a: [{ b: 1 }, { c: 3 }] }), [
    "at a.1: must have required property 'b'",
    'at a.1.c: must be equal to one of the allowed values: [1,2]',
  ])
})

test('a draft 7 schema is read as draft 7', () => {
  const check = schemaCheck({
    $schema: 'http://json-schema.org/draft-07/schema#',
    items: [{ type: 'string' }],
    dependencies: { a: ['b'] },
  })
  assert.deepEqual([check(['x', 1]), check({ a: 1, b: 1 })], [[], []])
  assert.equal(check([1]).length + check({ a: 1 }).length, 2)
})

test('an invalid schema is refused', () => {
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ type: 'obejct' }, /data\/type must be equal to one of the allowed values/],
    [{ properties: { a: 'string' } }, /data\/properties\/a must be object/],
    [{ required: 'a' }, /data\/required must be array/],
    [{ minLength: '3' }, /data\/minLength must be integer/],
    [{ items: [{}] }, /data\/items must be object/],
    [{ pattern: '(' }, /regular expression|format "regex"/],
    [{ $ref: 'https://example.com/schema' }, /can't resolve reference/],
    [{ $ref: '#/$defs/none' }, /can't resolve reference/],
  ]
  for (const [schema, message] of wrong) assert.throws(() => schemaCheck(schema), message)
})
