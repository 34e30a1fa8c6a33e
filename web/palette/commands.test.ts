import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fitting, rank } from './commands.ts'

const named = (...words: string[]) => words.map((word) => ({ id: word, word }))
const words = (search: string, ...of: string[]) => fitting(named(...of), search).map(({ word }) => word)

test('each word of a search must occur, in any order and case', () => {
  assert.ok(rank('Retry last deploy-web', 'WEB retry') > 0)
  assert.equal(rank('Retry last deploy-web', 'retry docs'), 0)
  assert.ok(rank('anything', '') > 0)
})

test('a match at the start of the text comes before one at the start of a word, and that before others', () => {
  assert.deepEqual(words('dep', 'undepicted', 'Run deploy', 'deploy'), ['deploy', 'Run deploy', 'undepicted'])
})

test('equal matches stay in order, and pattern characters are literal', () => {
  assert.deepEqual(words('', 'b', 'a'), ['b', 'a'])
  assert.deepEqual(words('.*', 'all', 'a .* b'), ['a .* b'])
})
