import assert from 'node:assert/strict'
import { test } from 'node:test'
import { globPattern } from './untrusted-input.ts'

const fits = (glob: string, ...paths: string[]): string[] =>
  paths.filter((path) => globPattern(glob).test(path))

test('signs stand for what they stand for in a shell, all else for itself', () => {
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

test('what would keep a regular expression busy for years is answered', () => {
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
