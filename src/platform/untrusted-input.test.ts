import assert from 'node:assert/strict'
import { test } from 'node:test'
import { globPattern, isNestedDeeper, passedLimit } from './untrusted-input.ts'

const fits = (glob: string, ...paths: string[]): string[] =>
  paths.filter((path) => globPattern(glob).test(path))

test('glob characters mean what they mean in a shell, and all others match themselves', () => {
  assert.deepEqual(fits('*.t?', 'a.ts', '.ts', 'a.tsx', 'b/a.ts', 'a.t/'), ['a.ts', '.ts'])
  assert.deepEqual(fits('a/**/b', 'a/b', 'a/x/b', 'a/x/y/b', 'a//b', 'ab'), ['a/b', 'a/x/b', 'a/x/y/b'])
  assert.deepEqual(fits('**/*-[!0-9].{js,{c,m}ts}', 'x/a-b.js', 'a-b.mts', 'a-1.js', 'a-b.ts'), [
    'x/a-b.js',
    'a-b.mts',
  ])
  assert.deepEqual(fits('build/', 'build/a/b', 'build'), ['build/a/b'])
  assert.deepEqual(fits('a-b+(c).$^|', 'a-b+(c).$^|', 'a-bc'), ['a-b+(c).$^|'])
  assert.deepEqual(fits('\\*\\{a,b\\}', '*{a,b}', 'xa'), ['*{a,b}'])
  assert.deepEqual(fits('{a,b', '{a,b', 'a'), ['{a,b'])
  assert.deepEqual(fits('?[😀x]', '😀😀', 'ax', '😀'), ['😀😀', 'ax'])
  assert.throws(() => globPattern('[z-a]'))
})

test('an input that would keep a regular expression busy for years is answered', () => {
  for (const [glob, path] of [
    [`${'*a'.repeat(100)}b`, 'a'.repeat(1000)],
    [`${'**a'.repeat(100)}b`, 'a'.repeat(1000)],
    [`${'**/'.repeat(100)}x`, 'a/'.repeat(1000)],
    [`${'{*,**}'.repeat(50)}b`, 'a'.repeat(1000)],
  ] as const) {
    assert.equal(globPattern(glob).test(path), false)
    assert.equal(globPattern(glob).test(`${path}${glob.at(-1)}`), true)
  }
})

test('the entry limit counts entries of all lists and objects, and the depth limit counts nesting', () => {
  const value = JSON.parse('{"a": [1, {"b": 2}], "c": {"d": []}, "e": "text"}')
  assert.equal(passedLimit(value, { entries: 7, depth: 3 }), undefined)
  assert.equal(passedLimit(value, { entries: 6, depth: 3 }), 'entries')
  assert.equal(passedLimit(value, { entries: 7, depth: 2 }), 'depth')
  assert.ok(isNestedDeeper(value, 2) && !isNestedDeeper(value, 3))
  for (const plain of ['text', 1, null, undefined])
    assert.equal(passedLimit(plain, { entries: 0, depth: 0 }), undefined)
  const deep = JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`)
  assert.equal(passedLimit(deep, { entries: 5_000, depth: 5_000 }), undefined)
  assert.equal(passedLimit(deep, { depth: 4_999 }), 'depth')
})
