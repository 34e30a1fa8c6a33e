import assert from 'node:assert/strict'
import { test } from 'node:test'
import { schemaCheck } from './json-schema.ts'

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

test('each keyword holds, also beside no type and for names that are not described', () => {
  for (const [schema, fitting, wrong] of cases) {
    const check = schemaCheck(schema)
    for (const value of fitting) assert.deepEqual(check(value), [], JSON.stringify([schema, value]))
    for (const value of wrong) assert.notDeepEqual(check(value), [], JSON.stringify([schema, value]))
  }
})

test('what is wrong is told with its place', () => {
  const check = schemaCheck({
    properties: { a: { items: { required: ['b'], additionalProperties: { enum: [1, 2] } } } },
  })
  assert.deepEqual(check({ a: [{ b: 1 }, { c: 3 }] }), [
    "at a.1: must have required property 'b'",
    'at a.1.c: must be equal to one of the allowed values: [1,2]',
  ])
})

test('a schema of draft 7 is read as one', () => {
  const check = schemaCheck({
    $schema: 'http://json-schema.org/draft-07/schema#',
    items: [{ type: 'string' }],
    dependencies: { a: ['b'] },
  })
  assert.deepEqual([check(['x', 1]), check({ a: 1, b: 1 })], [[], []])
  assert.equal(check([1]).length + check({ a: 1 }).length, 2)
})

test('what is no schema is refused', () => {
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
